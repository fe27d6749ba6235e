"""Every stream decoder, fed as networks and strangers feed it: what it says depends on the bytes alone, and whatever
comes is understood or a fault. So is what every caller's encoder makes of it.

The streams are those of the scripted providers of the fidelity suite: one for each thing that an answer can say.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.native import Native
from providers.chat import ChatChunk, ChatRequest, Conversation, TextDelta
from providers.dialect import StreamDecoder, StreamEncoder
from providers.dialects import DIALECTS
from providers.dialects.responses import NATIVE, Form, parse
from providers.errors import Fault
from providers.sse import Parser, TooLong
from tests.fidelity.run import FEATURES
from tests.fidelity.wire import PLAIN, Json, anthropic_reply, gemini_reply, openai_reply, streamed

#: What is no answer is a fault.
_ANSWERED = [feature for feature in FEATURES if not feature.blocked]
_SCRIPTED = [
    (dialect, streamed(dialect, reply))
    for dialect, reply in [(name, reply) for feature in _ANSWERED for name, reply in feature.reply.items()]
]
_DECODERS: dict[str, Callable[[], StreamDecoder]] = {
    **{name: dialect.stream_decoder for name, dialect in DIALECTS.items()},
    "responses": NATIVE.stream_decoder,
}


def _responses(dialect: str, stream: bytes) -> bytes:
    """The same as a stream of responses, as our own callers get it."""
    form = Form(parse(b'{"model":"m","input":"Hi"}'), "one", 0)
    encoder = form.stream_encoder(ChatRequest("none", b"{}", "m", lambda: Conversation([])))
    said = b"".join(encoder.encode(chunk) for chunk in read(dialect, [stream])) + encoder.end()
    return said + form.end(form.final())


_every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
_every_decoder = pytest.mark.parametrize("dialect", _DECODERS)
_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_json = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
#: Bytes that no UTF-8 has, surrogates that nothing pairs with, and pieces of the framing itself.
_wreckage = st.binary(max_size=6) | st.sampled_from(
    [
        b"\xff\xfe",
        b"\xc3",
        b"\xed\xa0\x80",
        rb"\ud800",
        b"\n\n",
        b"\r",
        b"data: ",
        b"event: x\n",
        b"null",
        b"{",
        b'"',
        b"]",
    ]
)


def read(dialect: str, pieces: list[bytes]) -> list[ChatChunk]:
    """The chunks of a stream that comes in these pieces."""
    parser, decoder = Parser(), _DECODERS[dialect]()
    return [chunk for piece in pieces for event in parser.feed(piece) for chunk in decoder.feed(event)]


STREAMS = [*_SCRIPTED, *(("responses", _responses(*one)) for one in _SCRIPTED)]
_IDS = [
    f"{said}{name}: {feature.name}"
    for said in ("", "responses, by ")
    for feature in _ANSWERED
    for name in feature.reply
]
_every_stream = pytest.mark.parametrize(("dialect", "stream"), STREAMS, ids=_IDS)
_some_stream = st.sampled_from(STREAMS)


def same(left: list[ChatChunk], right: list[ChatChunk]) -> bool:
    """Raw JSON compares as its bytes."""
    return msgspec.json.encode(left) == msgspec.json.encode(right)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces, empty ones among them."""
    at = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(at)]


def encoders() -> Iterator[StreamEncoder]:
    """Those of every caller."""
    request = ChatRequest("none", b"{}", "m", lambda: Conversation([]), stream=True)
    yield from (dialect.stream_encoder(request) for dialect in DIALECTS.values())
    yield Native().stream_encoder(request)
    yield Form(parse(b'{"model":"m","input":"Hi"}'), "one", 0).stream_encoder(request)


def survive(dialect: str, stream: bytes) -> None:
    """Whatever it is, decoders and encoders raise nothing but faults. What is said before one is told."""
    parser, decoder = Parser(), _DECODERS[dialect]()
    chunks: list[ChatChunk] = []
    with suppress(Fault):
        for event in parser.feed(stream):
            decoder.usage_only(event)
            chunks += decoder.feed(event)
    assert isinstance(decoder.complete, bool)
    for encoder in encoders():
        with suppress(Fault):
            for chunk in chunks:
                encoder.encode(chunk)
            encoder.end()


@_every_stream
def test_byte_by_byte_says_the_same(dialect: str, stream: bytes) -> None:
    whole = read(dialect, [stream])
    assert whole
    assert same(read(dialect, [bytes([byte]) for byte in stream]), whole)


@given(_some_stream, st.lists(st.integers(0), max_size=12))
def test_no_split_says_anything_else(given: tuple[str, bytes], places: list[int]) -> None:
    dialect, stream = given
    assert same(read(dialect, cut(stream, places)), read(dialect, [stream]))


@given(_some_stream, st.lists(st.tuples(st.integers(0), st.integers(0, 8), _wreckage), min_size=1, max_size=4))
def test_a_damaged_stream_is_understood_or_a_fault(
    given: tuple[str, bytes], damage: list[tuple[int, int, bytes]]
) -> None:
    dialect, stream = given
    for place, gone, put in damage:
        at = place % (len(stream) + 1)
        stream = stream[:at] + put + stream[at + gone :]
    survive(dialect, stream)


def _swapped(value: Any, path: list[int], put: Any) -> Any:
    """The value with something else at a place in it: each number of the path chooses a child."""
    children = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not path or not children:
        return put
    chosen = children[path[0] % len(children)]
    value[chosen] = _swapped(value[chosen], path[1:], put)
    return value


@given(_some_stream, st.integers(0), st.lists(st.integers(0, 20), max_size=6), _json)
def test_a_value_of_another_type_is_understood_or_a_fault(
    given: tuple[str, bytes], which: int, path: list[int], put: Any
) -> None:
    dialect, stream = given
    events = [event.raw for event in Parser().feed(stream)]
    at = which % len(events)
    head, _, data = events[at].partition(b"data: ")
    if data.startswith(b"{"):
        events[at] = head + b"data: " + json.dumps(_swapped(json.loads(data), path, put)).encode() + b"\n\n"
    survive(dialect, b"".join(events))


#: Gemini's streams do not say how many alternatives there will be: cut between two, they look complete.
_TOLD_APART = [(dialect, stream) for dialect, stream in STREAMS if dialect != "gemini" or b'"index": 1' not in stream]


@given(st.sampled_from(_TOLD_APART), st.integers(0))
def test_a_stream_that_is_cut_is_not_complete(given: tuple[str, bytes], place: int) -> None:
    dialect, stream = given
    decoder = _DECODERS[dialect]()
    # The last event is gone, and with it the end.
    events = Parser().feed(stream)[:-1]
    for event in events[: place % (len(events) + 1)]:
        decoder.feed(event)
    assert not decoder.complete


#: Kinds of events that say nothing: comments, fields that do not exist, empty ones, and types of the future.
_SILENT = [b": ping\n\n", b"retry: 5\n\n", b"\n\n", b"event: later\n\n", b"id: 7\nlater: x\n\n"]
_FUTURE: dict[str, Json] = {
    "openai": {"id": "x", "object": "later.chunk", "later": {"a": 1}},
    "anthropic": {"type": "later", "later": {"a": 1}},
    "gemini": {"later": {"a": 1}},
    "responses": {"type": "response.later", "later": {"a": 1}},
}


@given(_some_stream, st.lists(st.tuples(st.integers(0), st.integers(0, len(_SILENT))), min_size=1, max_size=5))
def test_what_says_nothing_changes_nothing(given: tuple[str, bytes], strangers: list[tuple[int, int]]) -> None:
    dialect, stream = given
    future = b"event: later\ndata: " + json.dumps(_FUTURE[dialect]).encode() + b"\n\n"
    pieces = [event.raw for event in Parser().feed(stream)]
    for place, kind in strangers:
        # After the first event, which names the stream.
        pieces.insert(1 + place % len(pieces), [*_SILENT, future][kind])
    assert same(read(dialect, [b"".join(pieces)]), read(dialect, [stream]))


@_every_dialect
def test_a_giant_event_is_read_whole(dialect: str) -> None:
    text = "Ünïcode ✓ " * 100_000
    said = {
        "openai": openai_reply({"content": text}),
        "anthropic": anthropic_reply({"type": "text", "text": text}),
        "gemini": gemini_reply({"text": text}),
    }
    stream = streamed(dialect, said[dialect])
    size = 65_536
    chunks = read(dialect, [stream[at : at + size] for at in range(0, len(stream), size)])
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == text


@_every_dialect
def test_an_event_without_an_end_is_bounded(dialect: str) -> None:
    parser = Parser(max_event=1000)
    stream = streamed(dialect, PLAIN[dialect])
    assert parser.feed(stream)
    for _ in range(9):
        parser.feed(b"data: " + b"x" * 100)
    with pytest.raises(TooLong):
        parser.feed(b"data: " + b"x" * 100)


@_every_decoder
@given(st.binary(max_size=80))
def test_any_bytes_are_understood_or_a_fault(dialect: str, data: bytes) -> None:
    survive(dialect, data)
    survive(dialect, b"data: " + data.replace(b"\n", b"").replace(b"\r", b"") + b"\n\n")
