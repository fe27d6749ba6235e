"""The JSON in a text is told character for character, whatever stands around it and however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schemas import checking
from providers.amending import Amending, amended
from providers.chat import (
    ChatChunk,
    ChatReply,
    Choice,
    Citation,
    Cited,
    Finish,
    Part,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from providers.dialect import Amends
from providers.errors import Misshapen
from providers.kernel import Kernel

BARE = Amends(schema={"type": "object"}, bare=True)
CHECK = checking({"type": "object"})
#: Every character that decides something, and some that do not.
characters = st.text('{}[]"\\`\n:, aé')
values = st.recursive(st.none() | st.integers() | characters, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
objects = st.dictionaries(characters, values, max_size=3)
#: Words have no brackets: see the law.
words = st.text("`json\n :\"\\'", max_size=12)


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(min(place, len(text)) for place in places)})
    return [text[begin:end] for begin, end in pairwise(edges)]


@given(value=objects, before=words, after=characters, places=st.lists(st.integers(0, 60)), indent=st.booleans())
def test_the_value_is_found_in_what_is_said_around_it(
    value: dict[str, Any], before: str, after: str, places: list[int], indent: bool
) -> None:
    written = json.dumps(value, ensure_ascii=False, indent=2 if indent else None)
    kernel = Kernel()
    assert "".join(map(kernel.feed, cut(before + written + after, places))) == written
    assert kernel.last() == ""


@given(text=words, places=st.lists(st.integers(0, 12)))
def test_words_without_a_value_are_all_given_back(text: str, places: list[int]) -> None:
    kernel = Kernel()
    assert "".join(map(kernel.feed, cut(text, places))) == ""
    assert kernel.last() == text


def streamed(*chunks: ChatChunk) -> list[ChatChunk]:
    amending = Amending(BARE, CHECK, choices=1)
    return [told for chunk in chunks for told in amending.feed(chunk)]


def whole(*parts: Part, finish: str = "stop") -> list[Part]:
    reply = ChatReply("i", "m", [Choice(list(parts), finish)], Usage())
    return amended(reply, BARE, CHECK).choices[0].parts


def test_a_fence_is_left_out_and_nothing_waits_for_the_end() -> None:
    told = streamed(TextDelta("Sure:\n```js"), TextDelta('on\n{"a"'), TextDelta(": 1}\n``"), TextDelta("`"))
    assert told == [TextDelta('{"a"'), TextDelta(": 1}")]
    assert whole(Reasoning("Hm."), Text('```json\n{"a": 1}\n```')) == [Reasoning("Hm."), Text('{"a": 1}')]


@pytest.mark.parametrize("said", ["I would rather not.", "[1, 2]", "Use {this}.", '{"a": 1'])
def test_what_is_no_object_is_an_error(said: str) -> None:
    with pytest.raises(Misshapen):
        whole(Text(said))
    with pytest.raises(Misshapen):
        streamed(TextDelta(said), Finish("stop"))


def test_a_refusal_and_an_answer_cut_short_are_told_as_they_are() -> None:
    for finish, said in (("refusal", "I will not."), ("length", "Let me"), ("length", '{"a": ')):
        assert whole(Text(said), finish=finish) == [Text(said)]
        assert streamed(TextDelta(said), Finish(finish)) == [TextDelta(said), Finish(finish)]


def test_words_before_a_call_are_told_with_it() -> None:
    call = ToolCallDelta(0, "{}", "c", "find")
    told = streamed(TextDelta("Let me "), TextDelta("look."), ReasoningDelta("Hm."), call, Finish("tool_calls"))
    assert told == [ReasoningDelta("Hm."), TextDelta("Let me look."), call, Finish("tool_calls")]
    parts: list[Part] = [Text("Let me look."), ToolCall("c", "find", "{}")]
    assert whole(*parts, finish="tool_calls") == parts


def test_a_stream_that_breaks_gives_back_what_was_held() -> None:
    amending = Amending(BARE, CHECK, choices=1)
    assert amending.feed(TextDelta("Let me")) == []
    assert amending.broken() == [TextDelta("Let me")]


def test_stops_are_looked_for_in_the_value_alone() -> None:
    amends = Amends(stops=("\n",), bare=True)
    reply = ChatReply("i", "m", [Choice([Text('```\n{"a": 1,\n"b": 2}```')], "stop")], Usage())
    assert amended(reply, amends, None).choices[0].parts == [Text('{"a": 1,')]
    amending = Amending(amends, None, choices=1)
    told = amending.feed(TextDelta('```\n{"a": 1,\n"b": 2}```'))
    assert told == [TextDelta('{"a": 1,'), Finish("stop", 0, "\n")]


def test_sources_are_those_of_the_value_and_keep_their_places_in_it() -> None:
    def page(start: int, end: int) -> Citation:
        return Citation("https://e.com", "E", start, end)

    text = 'Sure: {"a": "b"} Done.'
    given = [page(0, 5), page(2, 9), page(12, 15), page(13, 22), page(17, 22)]
    kept = [page(0, 3), page(6, 9), page(7, 10)]
    choice = Choice([Text(text)], "stop", citations=given)
    assert amended(ChatReply("i", "m", [choice], Usage()), BARE, CHECK).choices[0].citations == kept
    assert streamed(TextDelta(text[:9]), TextDelta(text[9:]), Cited(given))[-1] == Cited(kept)
    refused = Choice([Text("I will not.")], "refusal", citations=[page(0, 5)])
    assert amended(ChatReply("i", "m", [refused], Usage()), BARE, CHECK).choices[0] == refused
