"""Several gateways on one Redis, in front of the same providers, and what can be read off the board they share.

Law: nothing here asserts how long something took. What must happen soon is counted in rounds, which each replica
numbers itself; seconds are measured from recorded times, and printed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from cache.redis import RedisBoard
from providers import simulator
from providers.simulator import Simulation
from tests.acceptance.bad_days import MODEL, PATIENCE, callers, look, until_seen
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.stores.cache.cache_world import Server

Condition = Callable[[Any], object]
#: Rounds of its own in which a replica must have left what another found broken: it hears of it in the first and tells
#: so in the second; one exchange may be lost.
WITHIN = 3


class Said(NamedTuple):
    """What the latest note of a replica tells of one provider."""

    round: int
    state: str
    #: When its breaker last changed, on the clock of Redis.
    changed: float

    @property
    def left(self) -> bool:
        return self.state in ("open", "half_open")


class Fleet:
    """Processes, the providers they share, and the board on which they tell each other."""

    def __init__(
        self, programs: Sequence[Program], running: simulator.Running, session: aiohttp.ClientSession, board: RedisBoard
    ) -> None:
        self.programs = programs
        self.running = running
        self.session = session
        self._board = board

    @property
    def urls(self) -> list[str]:
        return [program.url for program in self.programs]

    async def health(self, wanted: Condition) -> None:
        """Wait until every process says so of its DWA."""
        pages = [f"{url}/api/health" for url in self.urls]
        await asyncio.gather(
            *(until_seen(self.session, page, lambda found: wanted(found["services"]["dwa"])) for page in pages)
        )

    async def told(self, provider: str) -> dict[str, Said]:
        """What everybody's note tells of a provider, read at one moment; empty while there is no Redis."""
        news = await self._board.exchange("listener", b"")  # an empty note is passed over by the others
        said: dict[str, Said] = {}
        for name, note in (news.notes if news is not None else {}).items():
            dwa = msgspec.msgpack.decode(note)[0] if note else {"hosts": {}}
            if (host := dwa["hosts"].get(f"{provider}/{MODEL}")) is not None:
                _, state, _, changed, *_ = host
                said[name] = Said(dwa["rounds"][-1][0], state, changed)
        return said

    async def all_tell(self, provider: str, *, left: bool) -> None:
        """Wait until every note says so."""
        give_up = time.monotonic() + PATIENCE
        while len(said := await self.told(provider)) < len(self.programs) or any(
            one.left != left for one in said.values()
        ):
            assert time.monotonic() < give_up, said
            await asyncio.sleep(0.05)

    async def leave(self, provider: str) -> float:
        """Break it, and see everybody leave in due rounds: when the first had noticed, on the clock of Redis."""
        await self.all_tell(provider, left=False)
        self.running.control(provider, "down")
        give_up = time.monotonic() + PATIENCE
        due: dict[str, int] = {}
        noticed = 0.0
        while True:
            said = await self.told(provider)
            assert len(said) == len(self.programs), said
            if not due and (first := [one.changed for one in said.values() if one.left]):
                noticed = min(first)
                due = {name: one.round + WITHIN for name, one in said.items()}
            stayed = [name for name, one in said.items() if not one.left]
            if not stayed:
                return noticed
            late = [name for name in stayed if due and said[name].round >= due[name]]
            assert not late, f"{late} had not left after {WITHIN} rounds: {said}, due in {due}"
            assert time.monotonic() < give_up, said
            await asyncio.sleep(0.05)

    async def tried(self, provider: str, since: float, answered: set[str]) -> list[tuple[float, str]]:
        """The attempts at a provider of requests that came since then, as (Unix time, the reason of the ranking).

        Waits until all of the answered requests are recorded.
        """
        give_up = time.monotonic() + PATIENCE
        records = await self._recorded(since)
        while not answered <= {one["id"] for one in records}:
            assert time.monotonic() < give_up, "some were never recorded"
            await asyncio.sleep(0.05)
            records = await self._recorded(since)
        return [
            (datetime.fromisoformat(one["created_at"]).timestamp() + attempt["started_s"], one["reason"])
            for one in records
            for attempt in one["attempts"]
            if attempt["provider"] == provider
        ]

    async def _recorded(self, since: float) -> list[dict[str, Any]]:
        moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found: list[dict[str, Any]] = []
        for url in self.urls:
            page = {"next_cursor": ""}
            while (cursor := page["next_cursor"]) is not None:
                after = f"&cursor={cursor}" if cursor else ""
                page = await look(self.session, f"{url}/api/db/requests/recent?limit=500&since={moment}{after}")
                found += page["requests"]
        return found


@asynccontextmanager
async def a_fleet(folder: Path, count: int, redis: Server, cast: Simulation) -> AsyncGenerator[Fleet]:
    """Gateways with a configuration and a database each, and one Redis."""
    with ExitStack() as stack:
        running = stack.enter_context(simulator.start(cast))
        programs = [
            stack.enter_context(a_program(folder / str(number), configuration(running, cast), REDIS_URL=redis.url()))
            for number in range(count)
        ]
        await asyncio.gather(*(asyncio.to_thread(program.start) for program in programs))
        board = RedisBoard(redis.url(), clock=time.monotonic)
        async with callers() as session:
            yield Fleet(programs, running, session, board)
        await board.close()
