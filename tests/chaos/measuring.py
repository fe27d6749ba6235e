"""One case under load: what callers were told, which rows are missing, how long until all is well."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.cases import Case
from tests.chaos.load import Heard, a_load, percentile
from tests.chaos.world import KEYS, PATIENCE, World

#: Requests a second, and seconds of them before the case begins and after it is over.
PACE, CALM = 40.0, 1.5


@dataclass(frozen=True)
class Outcome:
    """What came of a case. Seconds are rounded when they are shown."""

    case: Case
    verdicts: Counter[str]
    #: Rows of answered requests that are not in the log at the end.
    lost: int
    #: Seconds from the moment at which mending began.
    recovered: float
    #: Of what 19 of 20 callers waited at most, before and during the case.
    calm: float
    during: float
    #: What one of those who were told nothing useful was told.
    sample: str = ""

    @property
    def asked(self) -> int:
        return self.verdicts.total()

    @property
    def faults(self) -> list[str]:
        """Why the case is not passed."""
        found: list[str] = []
        if self.lost:
            found.append(f"{self.lost} rows lost")
        if (self.verdicts["broken"] or self.verdicts["refused"]) and not self.case.unanswered:
            found.append(f"{self.verdicts['broken'] + self.verdicts['refused']} not answered: {self.sample}")
        return found


async def run(case: Case, world: World, tell: Callable[[str], None]) -> Outcome:
    """Make it happen. Raises `TimeoutError` when the gateway does not recover."""
    async with a_load(world.program.url, KEYS, pace=PACE) as load:
        tell("calm")
        await asyncio.sleep(CALM)
        tell("happening")
        began = time.monotonic()
        await case.befall(world)
        await asyncio.sleep(case.seconds)
        tell("mending")
        mended = time.monotonic()
        await case.mend(world)
        recovered = await world.until_well(mended)
        await asyncio.sleep(CALM)
    tell("counting")
    return Outcome(
        case,
        Counter(one.verdict for one in load.heard),
        await _lost(world, load.heard),
        recovered,
        percentile([one.seconds for one in load.heard if one.ended < began], 0.95),
        percentile([one.seconds for one in load.heard if began <= one.began < mended], 0.95),
        next((_told(one) for one in load.heard if one.verdict in ("broken", "refused")), ""),
    )


async def _lost(world: World, heard: list[Heard]) -> int:
    """How many who were answered are not in the log, however long one waits."""
    wanted = {one.told.id for one in heard if one.told.status == 200}
    give_up = time.monotonic() + PATIENCE / 2
    missing = wanted - await world.rows()
    while missing and time.monotonic() < give_up:
        await asyncio.sleep(0.2)
        missing = wanted - await world.rows()
    return len(missing)


def _told(one: Heard) -> str:
    return f"{one.told.status} {one.told.body[-300:].decode(errors='replace')}"
