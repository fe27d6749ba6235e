"""What the gateway does to an answer itself: stops, a tool's arguments as text, the schema."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.schemas import BadSchema, checking
from providers.amending import Amending, Stops, amended
from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    Choice,
    Citation,
    Finish,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from providers.dialect import Amends
from providers.errors import Misshapen

SCHEMA = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}}},
    "required": ["rows"],
}
GOOD, BAD = '{"rows": [{"id": 1}]}', '{"rows": [{"id": "one"}]}'


def fed(amending: Amending, *chunks: ChatChunk) -> list[ChatChunk]:
    return [told for chunk in chunks for told in amending.feed(chunk)]


def text_of(chunks: list[ChatChunk], choice: int = 0) -> str:
    return "".join(one.text for one in chunks if isinstance(one, TextDelta) and one.choice == choice)


def first_complete(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first sequence to be complete begins, found a character at a time."""
    for end in range(1, len(text) + 1):
        found = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if found:
            return min(found)
    return None


letters = st.text("abc", max_size=20)
sequences = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4).map(tuple)


@given(text=letters, stops=sequences, cuts=st.lists(st.integers(0, 20)))
def test_a_stop_is_found_however_the_text_is_cut(text: str, stops: tuple[str, ...], cuts: list[int]) -> None:
    watch, told, found = Stops(stops), "", None
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for begin, end in pairwise(places):
        piece, found = watch.feed(text[begin:end])
        told += piece
        if found is not None:
            break
    else:
        told += watch.last()
    at = first_complete(text, stops)
    assert told == (text if at is None else text[:at])
    assert (found is None) == (at is None)


@given(text=letters, stops=sequences)
def test_no_more_is_held_back_than_may_begin_a_stop(text: str, stops: tuple[str, ...]) -> None:
    watch = Stops(stops)
    _, found = watch.feed(text)
    if found is None:
        assert any(stop.startswith(watch.held) and stop != watch.held for stop in stops) or not watch.held
        assert not any(text.endswith(stop[:size]) for stop in stops for size in range(len(watch.held) + 1, len(stop)))


def test_of_a_stream_nothing_is_told_after_the_stop() -> None:
    amending = Amending(Amends(stops=("END",)), None, choices=1)
    told = fed(amending, Begin("i", "m"), TextDelta("one E"), TextDelta("ND two"), TextDelta("three"), Finish("length"))
    assert told == [Begin("i", "m"), TextDelta("one "), Finish("stop", 0, "END")]
    assert amending.stopped
    assert amending.over


def test_each_choice_has_its_own_stop() -> None:
    amending = Amending(Amends(stops=("X",)), None, choices=2)
    told = fed(amending, TextDelta("aX", 0), TextDelta("b", 1))
    assert not amending.over, "the other one goes on"
    told += fed(amending, TextDelta("c", 0), TextDelta("c", 1), Finish("length", 1))
    assert (text_of(told, 0), text_of(told, 1)) == ("a", "bc")
    assert [one for one in told if isinstance(one, Finish)] == [Finish("stop", 0, "X"), Finish("length", 1)]


@pytest.mark.parametrize(
    "after",
    [Finish("length"), ToolCallDelta(0, "{}", "c", "find"), ReasoningDelta("hm")],
    ids=lambda one: type(one).__name__,
)
def test_what_is_held_back_is_told_when_something_else_comes(after: ChatChunk) -> None:
    amending = Amending(Amends(stops=("END",)), None, choices=1)
    assert fed(amending, TextDelta("one EN"), after) == [TextDelta("one "), TextDelta("EN"), after]


def test_what_is_held_back_of_a_broken_stream_was_said() -> None:
    amending = Amending(Amends(stops=("END",)), None, choices=1)
    assert fed(amending, TextDelta("one EN")) == [TextDelta("one ")]
    assert amending.broken() == [TextDelta("EN")]


def test_probabilities_end_with_the_text() -> None:
    rows = [{"token": token, "logprob": -0.5} for token in ("one", " E", "ND")]
    told = fed(
        Amending(Amends(stops=("END",)), None, choices=1),
        TextDelta("one END", logprobs=Raw(json.dumps({"content": rows}).encode())),
    )
    assert isinstance(told[0], TextDelta)
    assert told[0].logprobs is not None
    assert json.loads(bytes(told[0].logprobs))["content"] == rows[:1]


def reply(*parts: Any, finish: str = "stop", **more: Any) -> ChatReply:
    return ChatReply("i", "m", [Choice(list(parts), finish, **more)], Usage(3, 4))


def test_a_whole_answer_ends_before_its_stop() -> None:
    cited = [Citation("a", "", 0, 3), Citation("b", "", 4, 9)]
    given_ = reply(Text("one E"), Text("ND two"), ToolCall("c", "find", "{}"), finish="tool_calls", citations=cited)
    (choice,) = amended(given_, Amends(stops=("END",)), None).choices
    assert choice == Choice([Text("one ")], "stop", "END", None, cited[:1])


def test_a_whole_answer_without_a_stop_stays_as_it_is() -> None:
    given_ = reply(Text("one EN"), ToolCall("c", "find", "{}"), finish="tool_calls")
    assert amended(given_, Amends(stops=("END",)), None) == given_


ANSWER = Amends(answer="shape", schema=SCHEMA)


def test_the_arguments_of_the_answering_tool_are_the_text() -> None:
    given_ = reply(Text("Here:"), ToolCall("c", "shape", GOOD), finish="tool_calls")
    (choice,) = amended(given_, ANSWER, checking(SCHEMA)).choices
    assert (choice.parts, choice.finish_reason) == ([Text(GOOD)], "stop")


def test_the_arguments_are_the_text_of_a_stream_too() -> None:
    told = fed(
        Amending(ANSWER, checking(SCHEMA), choices=1),
        TextDelta("Here:"),
        ToolCallDelta(0, "", "c", "shape"),
        ToolCallDelta(0, GOOD[:5]),
        ToolCallDelta(0, GOOD[5:]),
        Finish("tool_calls"),
    )
    assert told == [TextDelta(GOOD[:5]), TextDelta(GOOD[5:]), Finish("stop")]


def test_a_tool_of_the_callers_own_is_called_instead() -> None:
    calls = [ToolCallDelta(0, "", "c", "find"), ToolCallDelta(0, "{}"), Finish("tool_calls")]
    told = fed(Amending(ANSWER, checking(SCHEMA), choices=1), TextDelta("Let me look."), *calls)
    assert told == [TextDelta("Let me look."), *calls], "and there is no shape to follow"


def test_calls_beside_the_answer_are_numbered_from_nought() -> None:
    told = fed(
        Amending(ANSWER, None, choices=1),
        ToolCallDelta(0, GOOD, "c", "shape"),
        ToolCallDelta(1, "{}", "d", "find"),
        Finish("tool_calls"),
    )
    assert told == [TextDelta(GOOD), ToolCallDelta(0, "{}", "d", "find"), Finish("tool_calls")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BAD, r"'\$\.rows\[0\]\.id'.*\"one\" is not of type \"integer\""),
        ("{", "not valid JSON"),
        ("{}", "at '\\$'.*rows"),
    ],
)
def test_what_does_not_follow_the_schema_is_told_with_its_place(text: str, why: str) -> None:
    with pytest.raises(Misshapen, match=why) as caught:
        amended(reply(Text(text)), Amends(schema=SCHEMA), checking(SCHEMA))
    assert caught.value.code == "schema_mismatch"
    with pytest.raises(Misshapen, match=why):
        fed(Amending(Amends(schema=SCHEMA), checking(SCHEMA), choices=1), TextDelta(text), Finish("stop"))


@pytest.mark.parametrize("finish", ["length", "refusal", "content_filter"])
def test_what_was_cut_short_says_so_and_is_not_judged(finish: str) -> None:
    given_ = reply(Text("{"), finish=finish)
    assert amended(given_, Amends(schema=SCHEMA), checking(SCHEMA)) == given_
    told = fed(Amending(Amends(schema=SCHEMA), checking(SCHEMA), choices=1), TextDelta("{"), Finish(finish))
    assert told == [TextDelta("{"), Finish(finish)]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "thing"}, "thing"),
        ({"$ref": "https://example.com/schema.json"}, "example.com"),
        ({"$ref": "file:///etc/hostname"}, "hostname"),
        ({"type": "string", "pattern": "(?=a)b"}, "regex"),
    ],
)
def test_a_schema_that_cannot_be_used_says_why_and_nothing_is_fetched(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(BadSchema, match=why):
        checking(schema)


@pytest.mark.parametrize(
    "draft",
    [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
    ],
)
def test_the_draft_is_the_one_the_schema_names(draft: str) -> None:
    with pytest.raises(Misshapen):
        checking({"$schema": draft, "type": "integer"})('"one"')
    # `prefixItems` is of 2020-12: the older ones do not know it.
    check = checking({"$schema": draft, "prefixItems": [{"type": "integer"}]})
    if "2020" in draft:
        with pytest.raises(Misshapen):
            check('["one"]')
    else:
        check('["one"]')
