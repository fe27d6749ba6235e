"""One case under load: what callers were told, which rows are missing, how long until all is well."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.cases import Case
from tests.chaos.load import Heard, a_load, percentile
from tests.chaos.world import BUDGET, PATIENCE, Spent, World, keys_of

#: Requests a second, and seconds of them before the case begins and after it is over.
PACE, CALM = 40.0, 1.0


@dataclass(frozen=True)
class Outcome:
    """What came of a case. Seconds are rounded when they are shown."""

    case: Case
    #: Of callers without and with a budget.
    verdicts: Counter[str]
    thrifty: Counter[str]
    #: Rows of answered requests that are not in the log at the end.
    lost: int
    #: By the callers with a budget.
    spent: Spent
    #: Seconds from the moment at which mending began.
    recovered: float
    #: What 19 of 20 callers without a budget waited at most, before and during the case.
    calm: float
    during: float
    #: What one of those who were told nothing useful was told.
    sample: str = ""

    @property
    def asked(self) -> int:
        return self.verdicts.total() + self.thrifty.total()

    def told(self, verdict: str) -> int:
        """How many were told this."""
        return self.verdicts[verdict] + self.thrifty[verdict]

    @property
    def faults(self) -> list[str]:
        """Why the case is not passed."""
        found: list[str] = []
        if self.lost:
            found.append(f"{self.lost} rows lost")
        if self.spent.too_much:
            found.append(f"{self.spent.all:.6f} USD spent of {BUDGET}")
        # Whoever has a budget is refused while nobody knows what is left of it.
        unanswered = self.told("broken") + self.verdicts["refused"] + self.verdicts["spent"]
        if unanswered and not self.case.unanswered:
            found.append(f"{unanswered} not answered: {self.sample}")
        return found


async def run(case: Case, number: int, world: World, tell: Callable[[str], None]) -> Outcome:
    """Make it happen. Raises `TimeoutError` when the gateway does not recover."""
    crowd, thrifty = keys = keys_of(number)
    async with a_load(world.program.url, keys, pace=PACE) as load:
        tell("calm")
        await asyncio.sleep(CALM)
        tell("happening")
        began = time.monotonic()
        await case.befall(world)
        await asyncio.sleep(case.seconds)
        tell("looking for its signs")
        await _until_it_shows(case, world)
        tell("mending")
        mended = time.monotonic()
        await case.mend(world)
        recovered = await world.until_well(mended)
        await asyncio.sleep(CALM)
    tell("counting")
    return Outcome(
        case,
        Counter(one.verdict for one in load.heard if one.key == crowd),
        Counter(one.verdict for one in load.heard if one.key == thrifty),
        await _lost(world, load.heard),
        await world.spent(thrifty),
        recovered,
        percentile([one.seconds for one in load.heard if one.key == crowd and one.ended < began], 0.95),
        percentile([one.seconds for one in load.heard if one.key == crowd and began <= one.began < mended], 0.95),
        next((_told(one) for one in load.heard if one.verdict == "broken"), "")
        or next((_told(one) for one in load.heard if one.verdict == "refused"), ""),
    )


async def _until_it_shows(case: Case, world: World) -> None:
    """A case that does not happen proves nothing."""
    give_up = time.monotonic() + PATIENCE / 4
    shows = await case.sign(world)
    while not shows:
        if time.monotonic() > give_up:
            raise TimeoutError(f"It does not happen: {await world.health()}")
        await asyncio.sleep(0.1)
        shows = await case.sign(world)


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
