"""Tools that take free text (`custom`), where there are none: functions of one text, and back again.

No other format has them for every model: Claude's and Gemini's functions take JSON objects, and of the servers of Chat
Completions few know the type. So such a tool is declared as a function with one parameter, `input`; a call of it is
told as a call of the tool, with what stands in `input`, or with all that was written where that is no such object. The
text is told in one piece, since what a call's JSON says is sure at its end. A grammar binds what the model writes, and
no function does: it is named as lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from providers.chat import Tool as ChatTool
from providers.dialects.responses.shapes import CustomCall, FunctionCall, Tool

#: Types of tools that the caller runs, and that are called by name.
CALLED = ("function", "custom")
_PARAMETERS = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The text that the tool is given, as it is."}},
    "required": ["input"],
    "additionalProperties": False,
}


class _Given(Struct, forbid_unknown_fields=True):
    input: str


_given = msgspec.json.Decoder(_Given)
_encoder = msgspec.json.Encoder()


def names(tools: Sequence[Tool] | None) -> frozenset[str]:
    """What the tools that take free text are called."""
    return frozenset(tool.name for tool in tools or () if tool.type == "custom" and tool.name is not None)


def function(tool: Tool) -> ChatTool:
    """The function that stands for such a tool."""
    return ChatTool(tool.name or "", tool.description, _PARAMETERS)


def call(item: CustomCall) -> FunctionCall:
    """The call of that function."""
    arguments = _encoder.encode(_Given(item.input)).decode()
    return FunctionCall(item.call_id, item.name, arguments, item.extra_content)


def text(arguments: str) -> str:
    """What the tool is given by a call of the function."""
    try:
        return _given.decode(arguments).input
    except msgspec.DecodeError:
        return arguments
