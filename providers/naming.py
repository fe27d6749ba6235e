"""Names of functions that not every provider takes: written plainly on the way there, and given back on the way home.

Letters, digits, `_` and `-`, a letter or `_` first and 64 in all, are what OpenAI, Anthropic and Google take alike;
each refuses something of what another takes (dots, colons, a digit first, more of them) with a 400. A translated
request writes any other name as what is left of it and a digest: the same function has the same name in every turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

from msgspec.structs import replace

from providers.between import Between
from providers.chat import ChatChunk, ChatReply, ChatRequest, Part, ToolCall, ToolCallDelta, ToolResult
from providers.dialect import StreamDecoder

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ODD = re.compile(r"[^A-Za-z0-9_-]")
#: Characters of the digest: enough that no two of a request's functions meet.
_DIGEST = 8
#: What is left of a name, beside the digest and the marks around it.
_KEPT = 64 - _DIGEST - len("f_") - len("_")


def plainly(request: ChatRequest, dialect: str) -> tuple[ChatRequest, Mapping[str, str]]:
    """The request with plain names for a provider of this dialect, and the caller's by those that stand for them.

    What is in the provider's own words already keeps its bytes.
    """
    if request.dialect == dialect or "tools" not in request.needs:
        return request, {}
    said = request.conversation()
    names = {tool.name: plain(tool.name) for tool in said.tools if not _PLAIN.fullmatch(tool.name)}
    if not names:
        return request, names

    def renamed(part: Part) -> Part:
        if isinstance(part, ToolCall):
            return replace(part, name=names.get(part.name, part.name))
        if isinstance(part, ToolResult) and part.name is not None:
            return replace(part, name=names.get(part.name, part.name))
        return part

    turns = [replace(turn, parts=[renamed(part) for part in turn.parts]) for turn in said.turns]
    tools = [replace(tool, name=names.get(tool.name, tool.name)) for tool in said.tools]
    choice = said.tool_choice
    if choice is not None:
        allowed = [names.get(name, name) for name in choice.allowed]
        choice = replace(choice, name=choice.name and names.get(choice.name, choice.name), allowed=allowed)
    told = replace(said, turns=turns, tools=tools, tool_choice=choice)
    return replace(request, _conversation=told), {written: given for given, written in names.items()}


def plain(name: str) -> str:
    """What stands for this name."""
    left = _ODD.sub("_", name)[:_KEPT]
    start = "" if left[:1].isalpha() or left[:1] == "_" else "f_"
    return f"{start}{left}_{sha256(name.encode()).hexdigest()[:_DIGEST]}"


def give_back(reply: ChatReply, names: Mapping[str, str]) -> None:
    """Call the functions what the caller called them."""
    for choice in reply.choices:
        for part in choice.parts:
            if isinstance(part, ToolCall):
                part.name = names.get(part.name, part.name)


class GivenBack(Between):
    """A stream's decoder that calls the functions what the caller called them."""

    def __init__(self, decoder: StreamDecoder, names: Mapping[str, str]) -> None:
        """By these names."""
        super().__init__(decoder)
        self._names = names

    def changed(self, chunk: ChatChunk) -> ChatChunk | None:
        """The chunk with the caller's name."""
        if isinstance(chunk, ToolCallDelta) and chunk.name is not None:
            chunk.name = self._names.get(chunk.name, chunk.name)
        return chunk
