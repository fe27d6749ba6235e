"""One tool call at a time, kept on the way back."""

from __future__ import annotations

import pytest

from providers.chat import (
    ChatChunk,
    ChatReply,
    Choice,
    Finish,
    Part,
    Reasoning,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from providers.single import FirstCall, first_call
from providers.sse import Event

_FIRST, _SECOND = ToolCall("c1", "f", "{}", signature="s"), ToolCall("c2", "f", "{}")


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([], []),
        ([Text("Hi")], [Text("Hi")]),
        ([_FIRST], [_FIRST]),
        ([Reasoning("Hm."), _FIRST, _SECOND, Text("Both.")], [Reasoning("Hm."), _FIRST, Text("Both.")]),
        # Two calls that say the same are two calls.
        ([ToolCall("c", "f", "{}"), ToolCall("c", "f", "{}")], [ToolCall("c", "f", "{}")]),
    ],
)
def test_of_an_answer_the_first_call_is_left(parts: list[Part], left: list[Part]) -> None:
    reply = ChatReply("id", "m", [Choice(list(parts), "tool_calls"), Choice([_SECOND])], Usage(1, 2))
    first_call(reply)
    assert reply == ChatReply("id", "m", [Choice(left, "tool_calls"), Choice([_SECOND])], Usage(1, 2))


class _Decoder:
    """Says all that it has at the first event."""

    def __init__(self, *chunks: ChatChunk) -> None:
        self.chunks = list(chunks)
        self.complete = False
        self.opaque = True

    def feed(self, event: Event) -> list[ChatChunk]:
        self.complete = True
        return self.chunks

    def usage_only(self, event: Event) -> bool:
        return event.data == b"usage"


def test_of_a_stream_the_first_call_of_each_choice_is_left() -> None:
    kept: list[ChatChunk] = [
        TextDelta("Hi"),
        ToolCallDelta(0, id="c1", name="f"),
        ToolCallDelta(0, '{"a":'),
        ToolCallDelta(3, "{}", id="c3", name="f", choice=1),
        ToolCallDelta(0, "1}"),
        Finish("tool_calls"),
    ]
    others: list[ChatChunk] = [ToolCallDelta(1, id="c2", name="g"), ToolCallDelta(4, "{}", id="c4", choice=1)]
    decoder = FirstCall(_Decoder(*kept[:4], *others, *kept[4:]))
    assert decoder.feed(Event("", b"", b"")) == kept


def test_for_the_rest_it_is_the_decoder_beneath() -> None:
    decoder = FirstCall(_Decoder())
    assert (decoder.complete, decoder.opaque) == (False, True)
    assert decoder.usage_only(Event("", b"usage", b""))
    assert not decoder.usage_only(Event("", b"more", b""))
    decoder.feed(Event("", b"", b""))
    assert decoder.complete
