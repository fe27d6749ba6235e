"""Several streams as one: numbers, sums, breaks, and what becomes of every ticket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gateway_world import deployment
from paused_time import paused

from gateway import settling
from gateway.amended import piece
from gateway.calls import Opened
from gateway.exchange import Attempt
from gateway.metering import Meter
from gateway.racing import Lane, Won
from gateway.weaving import Strand, Woven
from providers.chat import Begin, ChatChunk, Finish, TextDelta, Usage, UsageReport
from providers.client import Flow, Piece
from providers.dialect import Call
from providers.errors import Cut


class Ticket:
    """Keeps its endings."""

    def __init__(self) -> None:
        self.endings: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def ended(*_args: object, **_named: object) -> None:
            self.endings.append(name)

        return ended


class Script:
    """A flow that tells these, and then ends, breaks, or waits."""

    def __init__(self, *chunks: ChatChunk, ends: str = "well") -> None:
        self._chunks = chunks
        self._ends = ends
        self.complete = False

    async def batches(self) -> AsyncIterator[list[Piece]]:
        for chunk in self._chunks:
            yield [piece(chunk)]
        match self._ends:
            case "cut":
                raise Cut
            case "never":
                await asyncio.Event().wait()
            case _:
                self.complete = True


def said(text: str, *, tokens: int = 5) -> list[ChatChunk]:
    return [Begin("i", "m"), TextDelta(text), Finish("stop"), UsageReport(Usage(10, tokens))]


def strand(number: int, script: Script) -> Strand:
    one = deployment("a/m")
    lane = Lane(one, Call("/", b""), cast("Any", Ticket()), Attempt(one.provider, one.model, 0.0, "ok"), 0.0)
    return Strand(lane, cast("Flow", script), number, Meter(100, 0, None))


def woven(*scripts: Script) -> tuple[Woven, list[Ticket]]:
    strands = [strand(number, script) for number, script in enumerate(scripts)]
    return Woven(strands, 0.0), [cast("Any", one.lane.ticket) for one in strands]


async def told(one: Woven) -> list[ChatChunk]:
    try:
        return [chunk async for batch in one.batches() for part in batch for chunk in part.chunks]
    finally:
        await one.close()


@paused
async def test_choices_are_numbered_on_and_tokens_are_the_sum() -> None:
    one, _ = woven(Script(*said("one")), Script(*said("two", tokens=7)))
    chunks = await told(one)
    assert [chunk for chunk in chunks if isinstance(chunk, Begin)] == [Begin("i", "m")]
    assert {chunk.choice: chunk.text for chunk in chunks if isinstance(chunk, TextDelta)} == {0: "one", 1: "two"}
    assert {chunk.choice for chunk in chunks if isinstance(chunk, Finish)} == {0, 1}
    assert chunks[-1] == UsageReport(Usage(20, 12))
    assert one.complete


@paused
async def test_usage_that_nobody_told_is_not_made_up() -> None:
    one, _ = woven(Script(*said("one")[:3]), Script(*said("two")[:3]))
    assert not any(isinstance(chunk, UsageReport) for chunk in await told(one))
    assert one.usage() == Usage(200, 2), "but it is billed"


@paused
async def test_a_stream_that_ends_short_of_its_share_has_broken() -> None:
    one, _ = woven(Script(*said("one")), Script(Begin("i", "m"), TextDelta("two")))
    with pytest.raises(Cut, match="fewer choices"):
        await told(one)


@pytest.mark.parametrize(
    ("ends", "endings"),
    [("well", ["success", "success"]), ("never", ["success", "cancelled"]), ("cut", ["success", "failure"])],
)
@paused
async def test_the_tickets_beside_the_first_end_once_and_truly(ends: str, endings: list[str]) -> None:
    one, tickets = woven(Script(*said("zero")), Script(*said("one")), Script(*said("two")[:2], ends=ends))
    if ends == "well":
        one, tickets = woven(*(Script(*said("x")) for _ in range(3)))
    reading = asyncio.create_task(told(one))
    await asyncio.wait([reading], timeout=1)
    one.settle(2.0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert [ticket.endings for ticket in tickets] == [[], [endings[0]], [endings[1]]]


@paused
async def test_streams_that_nobody_hears_are_given_up() -> None:
    one, tickets = woven(Script(*said("one")), Script(*said("two")))
    lead = one.lead.lane
    opened = Opened(one, cast("Any", SimpleNamespace()), (), AsyncExitStack())
    await settling.unheard(Won(lead.deployment, lead.ticket, lead.attempt, opened))
    assert [ticket.endings for ticket in tickets] == [["outrun"], ["outrun"]]
