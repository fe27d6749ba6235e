"""A stream that is looked through says what the whole text would have become, however it is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guardrails.flowing import Flowing
from gateway.guardrails.matching import Blocked, Matcher, Rule
from gateway.guardrails.patterns import KNOWN, own
from gateway.guardrails.scripts import Languages
from gateway.settings.guardrails import Language

TEXT = (
    "Mail alice.b@mail.example.com or +49 151 2345-6789; card 12 4111 1111 1111 1111 07, DE89 3704 0044 0532 0130 00 "
    "EUR. Key sk-proj-abcdefghij1234567890 and\n-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\nz\n-----END RSA PRIVATE "
    "KEY-----\n Blue birdies, eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_ done. bob@x.org, pasted: "
    '4111\u00a01111\u00a01111\u00a01111 {"a":"\\nDE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00\\t'
    'sk-abcdefghij1234567890"} eve＠x．org'
)
PATTERNS = [*KNOWN.values(), own("bird", r"Blue\s*bird\w*", 32)]
MATCHER = Matcher([Rule("g", pattern, redacts=True) for pattern in PATTERNS])
BLOCKS = Matcher([Rule("g", pattern, redacts=False) for pattern in PATTERNS])


def piece(text: str, index: int = 0) -> bytes:
    choice = {"delta": {"content": text}, "logprobs": {"content": [{"token": text}]}, "index": index}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def arguments(text: str, index: int = 0) -> bytes:
    delta = {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def ended(index: int = 0) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}).encode() + b"\n\n"
    )


def cut(text: str, places: Sequence[int]) -> list[str]:
    return [text[one:two] for one, two in pairwise([0, *sorted({at % len(text) for at in places}), len(text)])]


def told(stream: bytes, index: int = 0) -> str:
    lines = [json.loads(line[6:]) for line in stream.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(
        choice["delta"].get("content", "") for line in lines for choice in line["choices"] if choice["index"] == index
    )


def said(stream: bytes) -> str:
    lines = [json.loads(line[6:]) for line in stream.split(b"\n\n") if line.startswith(b"data: {")]
    calls = [call for line in lines for choice in line["choices"] for call in choice["delta"].get("tool_calls", [])]
    return "".join(call["function"]["arguments"] for call in calls)


def through(matcher: Matcher, stream: bytes, size: int) -> bytes:
    flow = Flowing("openai", matcher, lambda _: None)
    return b"".join([flow.feed(stream[at : at + size]) for at in range(0, len(stream), size)]) + flow.end()


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 500))
def test_a_stream_says_what_the_whole_becomes(places: list[int], size: int) -> None:
    stream = b"".join(map(piece, cut(TEXT, places))) + ended() + b"data: [DONE]\n\n"
    clean = through(MATCHER, stream, size)
    assert told(clean) == MATCHER.cleaned(TEXT, lambda _: None)
    assert clean.endswith(ended() + b"data: [DONE]\n\n")


@given(st.lists(st.integers(0, 1000), max_size=30), st.lists(st.integers(0, 1000), max_size=30))
def test_two_answers_side_by_side_are_two_texts(first: list[int], second: list[int]) -> None:
    pieces = [cut(TEXT, first), cut(TEXT[::-1], second)]
    longest = max(map(len, pieces))
    mixed = [piece(some[at], number) for at in range(longest) for number, some in enumerate(pieces) if at < len(some)]
    clean = through(MATCHER, b"".join(mixed), 4096)
    assert [told(clean, number) for number in (0, 1)] == [
        MATCHER.cleaned(text, lambda _: None) for text in (TEXT, TEXT[::-1])
    ]


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_nothing_of_what_blocks_is_told(places: list[int]) -> None:
    text = "Of course, here it is: alice.b@mail.example.com, and more of that."
    flow = Flowing("openai", BLOCKS, lambda _: None)
    clean: list[bytes] = []
    with pytest.raises(Blocked):
        clean.extend(flow.feed(piece(one)) for one in cut(text, places))
    assert "Of course, here it is: ".startswith(told(b"".join(clean)))


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_arguments_stay_json(places: list[int]) -> None:
    text = json.dumps({"to": "né\nalice@example.com", "\u00e9bob@x.org": 4111111111111111, "q": 'a "quoted" c@d.org'})
    clean = through(MATCHER, b"".join(map(arguments, cut(text, places))), 4096)
    given_back = json.loads(said(clean))
    assert "[card]" in given_back.values()
    assert "@" not in said(clean)


def test_untouched_events_keep_their_bytes() -> None:
    events = [
        b'data: {"x":1.0}\n\n',
        b"event: ping\ndata: {}\n\n",
        piece("Hello "),
        piece("there."),
        b"data: [DONE]\n\n",
    ]
    assert through(MATCHER, b"".join(events), 7) == b"".join(events)


def test_words_are_not_held_back_for_longer_than_one_may_begin() -> None:
    flow = Flowing("openai", MATCHER, lambda _: None)
    waits = 0
    for word in ("The quick brown fox jumps over the lazy dog, and so on. " * 9).split(" "):
        waits = max(waits, len(word) if not flow.feed(piece(f"{word} ")) else 0)
    # `Blue bird…` has no end that could be told from a beginning, so that 32 characters wait for it at first.
    assert waits < 10


def test_a_match_without_an_end_ends_the_stream() -> None:
    flow = Flowing("openai", MATCHER, lambda _: None)
    flow.feed(piece("-----BEGIN PRIVATE KEY-----\n"))
    with pytest.raises(Blocked):
        assert not any(flow.feed(piece("QUJD\n")) for _ in range(10_000))


def test_a_text_has_ended_when_another_of_its_answer_begins() -> None:
    flow = Flowing("openai", MATCHER, lambda _: None)
    assert not flow.feed(piece("alice@example.com"))
    assert b"[email]" in flow.feed(arguments("{"))


def test_a_stream_waits_until_its_script_is_known() -> None:
    languages = Languages([("latin", Language(scripts=("latin",)))])
    flow = Flowing("openai", None, lambda _: None, languages)
    assert not flow.feed(piece("Naïve words, and "))
    assert told(
        flow.feed(piece("then more of the same kind until there is no doubt left about any of them."))
    ).startswith("Naïve")
    with pytest.raises(Blocked, match="latin"):
        flow.feed(piece("А теперь по-русски, и ещё немного."))
