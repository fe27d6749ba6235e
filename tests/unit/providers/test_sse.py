"""The laws of the event-stream parser: WHATWG HTML §9.2.6, and that no split of the bytes makes a difference."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers import sse
from providers.sse import Event, Parser, TooLong

BOM = b"\xef\xbb\xbf"
#: Pieces of streams in which every rule of the format is likely to be met, and every accident at its border.
PIECES = st.sampled_from(
    [
        *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\r\n\r", b"\n\r\n", b"\r\r\n"),
        *(b"data: a", b"data:b", b"data:  c", b"data", b"data:", b"data: \xc3\xa4", b'data: {"x": 1}'),
        *(b"event: kind", b"event:kind", b"event:", b": comment", b":", b"id: 7", b"retry: 5", b"unknown: x"),
        *(b"dataset: x", b" data: x", b"DATA: x", BOM, b"\x00", b"\x85", b"\x0b\x0c", b"\xe2\x80\xa8"),
    ]
)
STREAMS = st.lists(PIECES, max_size=24).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def whole(stream: bytes) -> list[Event]:
    return Parser().feed(stream)


def said(events: list[Event]) -> list[tuple[str, bytes]]:
    return [(event.type, event.data) for event in events]


def in_pieces(stream: bytes, cuts: list[int]) -> tuple[list[Event], Parser]:
    parser = Parser()
    events: list[Event] = []
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(borders):
        events += parser.feed(stream[start:end])
    return events, parser


def feed_all(parser: Parser, pieces: Iterable[bytes], events: list[Event] | None = None) -> None:
    events = [] if events is None else events
    for piece in pieces:
        events += parser.feed(piece)


def by_the_book(stream: bytes) -> list[tuple[str, bytes]]:
    """The specification's algorithm, line by line, on a stream that is at hand as a whole."""
    events: list[tuple[str, bytes]] = []
    kind, data = "", b""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(BOM))
    for line in lines[:-1]:  # what follows the last line end is no line yet
        if not line:
            if data:
                events.append((kind, data.removesuffix(b"\n")))
            kind, data = "", b""
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            kind = value.decode("utf-8", "replace")
        elif name == b"data":
            data += value + b"\n"
    return events


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"data: a \n\n", [("", b"a ")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data: a\ndata\ndata: b\n\n", [("", b"a\n\nb")]),
        (b"data\n\n", [("", b"")]),
        (b"data:\n\n", [("", b"")]),
        (b"data: a: b\n\n", [("", b"a: b")]),
        (b"event: kind\ndata: a\n\n", [("kind", b"a")]),
        (b"data: a\nevent: kind\n\n", [("kind", b"a")]),
        (b"event:kind\ndata: a\n\n", [("kind", b"a")]),
        (b"event: one\nevent: two\ndata: a\n\n", [("two", b"a")]),
        (b"event: one\ndata: a\n\ndata: b\n\n", [("one", b"a"), ("", b"b")]),
        (b"event: alone\n\ndata: b\n\n", [("", b"b")]),
        (b": comment\n\ndata: a\n\n", [("", b"a")]),
        (b": data: x\ndata: a\n\n", [("", b"a")]),
        (b"id: 7\nretry: 5\nunknown: x\ndata: a\n\n", [("", b"a")]),
        (b"dataset: x\n\n", []),
        (b" data: x\n\n", []),
        (b"DATA: x\n\n", []),
        (b"\n\n\ndata: a\n\n", [("", b"a")]),
        (b"data: a\n\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"", []),
        (b"data: a\x0bb\x0cc\x85d\xe2\x80\xa8e\n\n", [("", b"a\x0bb\x0cc\x85d\xe2\x80\xa8e")]),
        (b"data: a\x00b\n\n", [("", b"a\x00b")]),
        (b"event: \xff\ndata: a\n\n", [("�", b"a")]),
    ],
)
def test_the_rules(stream: bytes, events: list[tuple[str, bytes]]) -> None:
    assert said(whole(stream)) == events
    assert by_the_book(stream) == events


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_end_ends_a_line(end: bytes) -> None:
    stream = end.join([b"event: one", b"data: a", b"data: b", b"", b"data: c", b"", b": more"])
    assert said(whole(stream)) == [("one", b"a\nb"), ("", b"c")]


@pytest.mark.parametrize(
    ("first", "second"),
    # CR before LF is one line end: see `test_a_crlf_is_one_line_end`.
    [(b"\n", b"\n"), (b"\r", b"\r"), (b"\r\n", b"\r\n"), (b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"\r", b"\r\n")],
)
def test_line_ends_may_be_mixed(first: bytes, second: bytes) -> None:
    stream = b"data: a" + first + second + b"data: b" + second + first + second + b"data: c"
    assert said(whole(stream)) == [("", b"a"), ("", b"b")]


def test_a_crlf_is_one_line_end() -> None:
    assert said(whole(b"data: a\r\ndata: b\r\n\r\n")) == [("", b"a\nb")]
    assert said(whole(b"data: a\n\rdata: b\n\r\ndata: c\r\r\n")) == [("", b"a"), ("", b"b"), ("", b"c")]


def test_a_crlf_cut_in_half_is_one_line_end() -> None:
    parser = Parser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\ndata: b\r") == []
    assert said(parser.feed(b"\n\r")) == [("", b"a\nb")]
    assert parser.feed(b"\n") == []
    assert parser.pending == b""


def test_a_leading_byte_order_mark_is_dropped_once() -> None:
    assert said(whole(BOM + b"data: a\n\n")) == [("", b"a")]
    assert said(whole(BOM + BOM + b"data: a\n\n")) == []
    assert said(whole(b"data: a\n\n" + BOM + b"data: b\n\n")) == [("", b"a")]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_byte_order_mark_may_come_in_pieces(size: int) -> None:
    stream = BOM + b"data: a\n\n"
    events, _ = in_pieces(stream, list(range(0, len(stream), size)))
    assert said(events) == [("", b"a")]


def test_what_only_began_like_a_byte_order_mark_is_data() -> None:
    parser = Parser()
    assert parser.feed(b"\xef") == []
    assert parser.feed(b"\xbb") == []
    assert parser.feed(b"data: a\n\ndata: b\n\n")[-1].data == b"b"


def test_an_event_is_there_with_its_last_byte() -> None:
    parser = Parser()
    for byte in b"event: x\ndata: a\n":
        assert parser.feed(bytes([byte])) == []
    assert said(parser.feed(b"\n")) == [("x", b"a")]


def test_the_last_event_needs_no_byte_after_it() -> None:
    assert said(whole(b"data: a\r\rdata: b\r\r")) == [("", b"a"), ("", b"b")]


@settings(max_examples=400)
@given(STREAMS)
@example(b"data: a\r\r\n\rdata: b\n\n")
@example(b"data: a\n\r\n\rdata: b\n\n")
def test_events_are_those_of_the_specification(stream: bytes) -> None:
    # The letter closes a CR that ends the stream: see `test_the_last_event_needs_no_byte_after_it`.
    stream += b"x"
    assert said(whole(stream)) == by_the_book(stream)


@settings(max_examples=300)
@given(STREAMS, CUTS)
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", list(range(30)))
def test_no_split_makes_a_difference(stream: bytes, cuts: list[int]) -> None:
    events, parser = in_pieces(stream, cuts)
    at_once = Parser()
    assert said(events) == said(at_once.feed(stream))
    assert parser.pending.replace(b"\n", b"").replace(b"\r", b"") == at_once.pending.replace(b"\n", b"").replace(
        b"\r", b""
    )


@given(STREAMS)
def test_byte_by_byte_is_the_same_as_whole(stream: bytes) -> None:
    events, _ = in_pieces(stream, list(range(len(stream))))
    assert said(events) == said(whole(stream))


@given(
    st.lists(st.sampled_from([b"data: a", b"data: b\ndata: c", b"event: x\ndata: y", b"id: 1\ndata"]), max_size=9), CUTS
)
def test_the_raw_bytes_of_the_events_are_the_stream(blocks: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(block + b"\n\n" for block in blocks)
    events, parser = in_pieces(BOM + stream + b"data: unfinished", cuts)
    assert b"".join(event.raw for event in events) == stream
    assert parser.pending == b"data: unfinished"


@given(STREAMS, CUTS)
def test_raw_bytes_stand_in_the_stream_in_order_and_say_what_the_event_says(stream: bytes, cuts: list[int]) -> None:
    events, _ = in_pieces(stream, cuts)
    position = 0
    for event in events:
        found = stream.find(event.raw, position)
        assert found >= 0
        position = found + len(event.raw)
        assert said(whole(event.raw + b"x")) == [(event.type, event.data)]


def test_comments_between_events_are_in_no_event() -> None:
    events = whole(b": ping\n\ndata: a\n\n: ping\n\ndata: b\n\n")
    assert [event.raw for event in events] == [b"data: a\n\n", b"data: b\n\n"]


def test_an_event_that_does_not_end_is_bounded() -> None:
    parser = Parser(max_event=100)
    with pytest.raises(TooLong):
        feed_all(parser, [b"data: x\n"] * 100)


def test_a_comment_that_does_not_end_is_bounded() -> None:
    parser = Parser(max_event=100)
    with pytest.raises(TooLong):
        feed_all(parser, [b": ping\n"] * 100)


def test_the_bound_is_on_one_event_and_not_on_the_stream() -> None:
    parser = Parser(max_event=100)
    assert sum(len(parser.feed(b"data: x\n\n")) for _ in range(100)) == 100


def test_events_before_one_too_long_are_handed_out_in_any_split() -> None:
    stream = b"data: a\n\ndata: " + b"x" * 200
    handed_out: list[list[Event]] = []
    for pieces in ([bytes([byte]) for byte in stream], [stream]):
        events: list[Event] = []
        with pytest.raises(TooLong):
            feed_all(Parser(max_event=100), [*pieces, b""], events)
        handed_out.append(events)
    assert said(handed_out[0]) == said(handed_out[1]) == [("", b"a")]


def test_the_bound_holds_for_an_event_that_comes_in_one_piece() -> None:
    parser = Parser(max_event=100)
    with pytest.raises(TooLong):
        parser.feed(b"data: " + b"x" * 200 + b"\n\n")


@given(st.lists(st.integers(0, 60), max_size=8), st.lists(st.integers(0, 400), max_size=12))
@example([60], [60])
def test_the_bound_is_met_at_the_same_event_in_any_split(sizes: list[int], cuts: list[int]) -> None:
    bound = 40
    blocks = [b"data: " + b"x" * size + b"\n\n" for size in sizes]
    good = next((number for number, block in enumerate(blocks) if len(block) > bound), len(blocks))
    stream = b"".join(blocks)
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    events: list[Event] = []
    pieces = [stream[start:end] for start, end in pairwise(borders)]
    with pytest.raises(TooLong) if good < len(blocks) else nullcontext():
        feed_all(Parser(max_event=bound), [*pieces, b""], events)
    assert [event.raw for event in events] == blocks[:good]


def test_the_default_bound_lets_a_large_event_through() -> None:
    picture = b"x" * (3 * 1024 * 1024)
    assert whole(b"data: " + picture + b"\n\n")[0].data == picture


def test_a_long_event_in_small_pieces_costs_as_much_as_its_length() -> None:
    size, piece = 1024 * 1024, 1024
    parser = Parser()
    data = b"x" * piece
    parser.feed(b"data: ")
    written = 0
    tracemalloc.start()
    try:
        for _ in range(size // piece):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            parser.feed(data)
            written += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert len(parser.feed(b"\n\n")[0].data) == size
    # Copies of 1 MB would add up to 512 MB; a buffer that grows by a fraction of itself stays within a few.
    assert written < 32 * size


def test_no_byte_of_a_long_event_is_searched_more_than_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        looked_at = 0

        def __getattr__(self, name: str) -> Any:
            def search(buffer: bytes, start: int = 0) -> Any:
                self.looked_at += len(buffer) - start
                return getattr(pattern, name)(buffer, start)

            return search

    pattern, counting = sse._END, Counting()
    monkeypatch.setattr(sse, "_END", counting)
    parser = Parser()
    for _ in range(2000):
        parser.feed(b"0123456789")
    parser.feed(b"\n\n")
    assert 20_000 <= counting.looked_at < 40_000
