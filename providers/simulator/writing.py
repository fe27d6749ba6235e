"""What a simulated model says: a pure function of the question and a seed.

    text    "[simulated] <model> read: <the last user message, shortened>." and then prose up to the wanted length
    JSON    a value of the schema asked for (`schema.example`), in a code fence where it was asked for in words; of an
            enum the value that the question names, else one that is drawn, as scores are: the same for the same prompt
    tools   a call of each tool that must be called, its arguments an example of the tool's schema

A tool is called when `tool_choice` names or requires one, or when a directive asks; under `auto` the model answers in
text. After a tool result it answers in text that quotes the result, whatever the directive before it asked: it has been
obeyed, and a caller that runs tools until there is an answer would never come to an end. Tokens are characters divided
by four, rounded up; the limit on output counts thinking and text together, as the real ones do.

Directives, anywhere in the last user message, each to the end of its word:

    #sim tokens=50            say exactly that many tokens (fewer than the opening sentence cuts it)
    #sim tool=a   tools=a,b   call these of the offered tools, at once
    #sim refuse | filter      the model declines | the provider's filter blocks
    #sim think                think first, in a dialect that shows thinking
    #sim fail=<trouble>       any word of `config.Trouble`, or 500, 503, 529, 429, 401 for the first four kinds
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args
from zlib import crc32

import msgspec
from msgspec import Struct

from providers.simulator.config import Trouble
from providers.simulator.physics import CHARS_PER_TOKEN, tokens
from providers.simulator.schema import JsonSchema, example

Finish = Literal["stop", "length", "tools", "stop_sequence", "refusal", "filter"]

MARK = "[simulated] "
ECHO_CHARS = 80
REFUSAL = MARK + "I cannot help with that."
THOUGHT = MARK + "The user asks something; I weigh what I was told, find no scale heavier than the other, and answer."
SIGNATURE = "c2lt"  # how the signature of every thought begins
_PROSE = (
    "A steelyard is a balance with one short arm and one long arm. ",
    "The load hangs from the short arm, and a small weight slides along the long one. ",
    "When the load changes, the weight moves until the beam is level again. ",
    "Notches on the beam tell what the load weighs. ",
    "No scale knows beforehand what will be laid on it. ",
    "It measures, it moves, and it measures again. ",
    "Merchants carried such balances for two thousand years. ",
    "A good one is light, plain and hard to cheat. ",
)
_DIRECTIVE = re.compile(r"#sim\s+(\w+)(?:=([^\s]+))?")
_STATUS: dict[str, Trouble] = {
    "500": "down",
    "503": "overloaded",
    "529": "overloaded",
    "429": "throttled",
    "401": "unauthorized",
}
_TROUBLES = frozenset(get_args(Trouble))
_json = msgspec.json.Encoder()


class Tool(Struct, frozen=True):
    """A tool on offer."""

    name: str
    schema: JsonSchema


class Ask(Struct, kw_only=True):
    """A chat request, the same for every dialect."""

    model: str
    prompt: str  # every text of the request, in order
    last_user: str
    tool_result: str | None = None  # of the last message, when it is one
    images: int = 0
    tools: Sequence[Tool] = ()
    #: auto, none, required, or the names of which at least the first must be called.
    tool_choice: str | Sequence[str] = "auto"
    parallel: bool = True
    json: bool = False
    fenced: bool = False
    schema: JsonSchema | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    n: int = 1
    stream: bool = False
    thinking: bool = False
    show_thinking: bool = True
    cacheable: bool = True
    seed: int = 0


class Call(Struct, frozen=True):
    """A tool call."""

    name: str
    arguments: Mapping[str, Any]
    encoded: str


class Answer(Struct, kw_only=True):
    """What the model said, the same for every dialect."""

    text: str = ""
    thought: str = ""
    calls: Sequence[Call] = ()
    finish: Finish = "stop"
    stopped_by: str | None = None

    @property
    def thought_tokens(self) -> int:
        """Tokens spent before speaking."""
        return tokens(len(self.thought))

    @property
    def tokens(self) -> int:
        """All output tokens: thinking, text and tool arguments."""
        return self.thought_tokens + tokens(len(self.text)) + sum(tokens(len(call.encoded)) for call in self.calls)


class Directives(Struct, frozen=True):
    """What the last user message orders the simulator to do."""

    tokens: int | None = None
    tools: tuple[str, ...] = ()
    refuse: bool = False
    filter: bool = False
    think: bool = False
    fail: Trouble | None = None


_NO_DIRECTIVES = Directives()


def directives(text: str) -> Directives:
    """Read the directives; unknown ones are ignored, because any text may hold the mark."""
    if "#sim" not in text:
        return _NO_DIRECTIVES
    found = {str(name): str(value) for name, value in _DIRECTIVE.findall(text)}
    wanted = found.get("tools") or found.get("tool") or ""
    fail = found.get("fail", "")
    fail = _STATUS.get(fail, fail)
    return Directives(
        tokens=int(found["tokens"]) if found.get("tokens", "").isdecimal() else None,
        tools=tuple(name for name in wanted.split(",") if name),
        refuse="refuse" in found,
        filter="filter" in found,
        think="think" in found,
        fail=cast(Trouble, fail) if fail in _TROUBLES else None,
    )


def write(ask: Ask, orders: Directives, drawn_tokens: int, nth: int = 0, lot: float = 0.0) -> Answer:
    """Answer the question.

    Args:
        ask: the question.
        orders: its directives.
        drawn_tokens: how much the model would say of itself, in tokens.
        nth: which of several alternatives; they differ in their prose.
        lot: what decides where a schema leaves a choice.
    """
    thought = THOUGHT if ask.thinking or orders.think else ""
    limit = None if ask.max_tokens is None else max(0, ask.max_tokens - tokens(len(thought)))
    if orders.filter:
        return Answer(finish="filter")
    if orders.refuse:
        return Answer(text=REFUSAL, finish="refusal")
    called = _called(ask, orders)
    if called:
        arguments = [(tool.name, example(tool.schema)) for tool in called]
        calls = tuple(Call(name, made or {}, _json.encode(made or {}).decode()) for name, made in arguments)
        return Answer(thought=thought, calls=calls, finish="tools")
    text = _document(ask, lot) if ask.json else _prose(ask, orders.tokens, drawn_tokens, nth)
    finish: Finish = "stop"
    stopped_by = None
    for stop in ask.stop:
        if stop and (at := text.find(stop)) >= 0:
            text, finish, stopped_by = text[:at], "stop_sequence", stop
    if limit is not None and tokens(len(text)) > limit:
        text, finish, stopped_by = text[: limit * CHARS_PER_TOKEN], "length", None
    return Answer(text=text, thought=thought, finish=finish, stopped_by=stopped_by)


def pieces(text: str, step: int = CHARS_PER_TOKEN) -> list[str]:
    """Cut a text as a stream delivers it: one token each unless told otherwise."""
    return [text[at : at + step] for at in range(0, len(text), step)]


def sign(thought: str) -> str:
    """The signature of a thought, by which a dialect knows it again when the caller sends it back."""
    return f"{SIGNATURE}{crc32(thought.encode()):08x}"


def draw(ask: Ask, seed: int) -> float:
    """A number in (0, 1) that belongs to this prompt, this seed and the caller's own: the same every time."""
    return (crc32(ask.prompt.encode(errors="surrogatepass"), (ask.seed ^ seed) & 0xFFFFFFFF) + 0.5) / 2**32


def _called(ask: Ask, orders: Directives) -> list[Tool]:
    if not ask.tools or ask.tool_choice == "none":
        return []
    by_name = {tool.name: tool for tool in ask.tools}
    obeyed = ask.tool_result is not None and ask.tool_choice == "auto"
    names: list[str] = [] if obeyed else [name for name in orders.tools if name in by_name]
    if not names and ask.tool_choice == "required":
        names = [ask.tools[0].name]
    elif not isinstance(ask.tool_choice, str):
        names = [name for name in names if name in ask.tool_choice] or [ask.tool_choice[0]]
    return [by_name[name] for name in (names if ask.parallel else names[:1]) if name in by_name]


def _document(ask: Ask, lot: float) -> str:
    made = {"simulated": True, "model": ask.model} if ask.schema is None else example(ask.schema, ask.last_user, lot)
    written = _json.encode(made).decode()
    return f"```json\n{written}\n```" if ask.fenced else written


def _prose(ask: Ask, exact: int | None, drawn: int, nth: int) -> str:
    said = " ".join(ask.last_user.split())
    said = said if len(said) <= ECHO_CHARS else said[: ECHO_CHARS - 1] + "…"
    opening = f"{MARK}{ask.model} read: {said or 'nothing'}. "
    if ask.tool_result is not None:
        opening += f"The tool said: {' '.join(ask.tool_result.split())[:ECHO_CHARS]}. "
    chars = (drawn if exact is None else exact) * CHARS_PER_TOKEN
    if exact is None and chars <= len(opening):
        return opening.rstrip()
    first = (crc32(ask.prompt.encode(errors="surrogatepass"), ask.seed & 0xFFFFFFFF) + nth) % len(_PROSE)
    cycle = "".join(_PROSE[first:] + _PROSE[:first])
    missing = chars - len(opening)
    return (opening + cycle * (missing // len(cycle) + 1))[:chars]
