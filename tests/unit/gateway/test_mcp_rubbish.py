"""What an MCP server writes that is no message is read slowly: a program in a loop must not hold everybody else."""

from __future__ import annotations

import asyncio

from gateway.mcp.connection import _Incoming
from tests.unit.gateway.paused_time import paused


class Stream:
    """So many lines that are none, and a message."""

    def __init__(self, rubbish: int) -> None:
        self.coming: list[object] = [*(ValueError("no message") for _ in range(rubbish)), "message"]

    async def __anext__(self) -> object:
        if not self.coming:
            raise StopAsyncIteration
        return self.coming.pop(0)


@paused
async def test_after_each_line_of_rubbish_others_have_their_turn() -> None:
    clock = asyncio.get_running_loop().time
    for rubbish, seconds in ((0, 0.0), (500, 1.0)):
        began, lost = clock(), asyncio.Event()
        came = [one async for one in _Incoming(Stream(rubbish), lost)]
        assert (len(came), came[-1], lost.is_set()) == (rubbish + 1, "message", True)
        assert round(clock() - began, 3) == seconds
