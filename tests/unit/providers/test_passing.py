"""Answers passed on as they come: errors among their events are met, and no event is ever broken in two."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from providers.chat import UsageReport
from providers.client import Endpoint
from providers.dialect import Call
from providers.dialects import OPENAI
from providers.errors import Cut, Fault, Overloaded, Throttled, Unreachable
from providers.passing import Passage, opened
from providers.transport import Timeouts, Transport

ENDPOINT = Endpoint("http://provider", (), Timeouts())
PARTIAL = b'event: image_generation.partial_image\ndata: {"b64_json":"AAAA"}\n\n'
DONE = b'data: {"b64_json":"BBBB","usage":{"input_tokens":10,"output_tokens":100}}\n\n'
LIMITED = b'event: error\ndata: {"type":"error","error":{"code":"rate_limit_exceeded","message":"Later."}}\n\n'


class _Answer:
    def __init__(self, chunks: Sequence[bytes | Fault], kind: str) -> None:
        self.status, self.headers = 200, {"content-type": kind}
        self._chunks = chunks

    async def chunks(self) -> AsyncGenerator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, Fault):
                raise chunk
            yield chunk


class _Transport:
    def __init__(self, *chunks: bytes | Fault, kind: str = "text/event-stream") -> None:
        self._answer = _Answer(chunks, kind)

    @asynccontextmanager
    async def open(self, *_: object, **__: object) -> AsyncGenerator[_Answer]:
        yield self._answer


async def heard(transport: _Transport) -> tuple[bytes, list[Any], Fault | None, Passage]:
    """What was passed on, the tokens told of, and how it ended."""
    passed, told = b"", list[Any]()
    link = opened(cast(Transport, transport), ENDPOINT, OPENAI, Call("/x", b""), OPENAI.glance_passed, deadline=None)
    async with link as passage:
        try:
            async for batch in passage.batches():
                passed += b"".join(piece.event.raw for piece in batch)
                told += [chunk for piece in batch for chunk in piece.chunks]
        except Cut as cut:
            return passed, told, cut, passage
    return passed, told, None, passage


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_every_byte_is_passed_on_and_the_tokens_are_told(size: int) -> None:
    body = b": patience\n\n" + PARTIAL + b": patience\n\n" + DONE + b"data: [DONE]\n\n" + b": unended"
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    passed, told, cut, passage = await heard(_Transport(*chunks))
    assert (passed, cut, passage.complete) == (body, None, True)
    assert [(one.usage.input_tokens, one.usage.output_tokens) for one in told] == [(10, 100)]
    assert all(isinstance(one, UsageReport) for one in told)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_error_among_the_events_breaks_the_stream_and_what_came_before_it_is_passed_on(size: int) -> None:
    body = PARTIAL + LIMITED + PARTIAL
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    passed, _, cut, passage = await heard(_Transport(*chunks))
    assert (passed, passage.complete) == (PARTIAL, False)
    assert cut is not None
    assert (cut.code, cut.message) == ("rate_limit_exceeded", "Later.")


async def test_an_error_as_the_first_event_is_an_ordinary_fault() -> None:
    with pytest.raises(Throttled):
        await heard(_Transport(LIMITED[:20], LIMITED[20:], PARTIAL))


async def test_what_breaks_before_its_first_event_is_whole_never_began() -> None:
    with pytest.raises(Unreachable):
        await heard(_Transport(PARTIAL[:30], Cut("gone")))


@pytest.mark.parametrize("kind", ["text/event-stream", "audio/mpeg"])
async def test_half_an_event_is_held_back_and_sound_is_not(kind: str) -> None:
    passed, _, cut, _ = await heard(_Transport(PARTIAL, PARTIAL[:30], Overloaded("gone"), kind=kind))
    assert cut is not None
    assert passed == PARTIAL + (PARTIAL[:30] if kind == "audio/mpeg" else b"")
    assert json.loads(passed.partition(b"data: ")[2].partition(b"\n")[0]) == {"b64_json": "AAAA"}
