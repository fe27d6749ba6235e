"""A process that holds schedules, an hour in a minute: `scheduling_process.py <url> <start>`."""

from __future__ import annotations

import asyncio
import random
import sys
import time

from store_faults import DAY
from workflow_world import no_archive

from gateway.store.engine import Database
from gateway.workflows.desk import Desk
from gateway.workflows.library import Library
from gateway.workflows.scheduler import Scheduler

#: Seconds of its time in one of ours.
SPEED = 60.0


async def main(url: str, start: float) -> None:
    """Until it is killed."""

    def clock() -> float:
        return DAY + (time.time() - start) * SPEED

    async def queue(*_attempt: object) -> None:
        """Nobody runs them."""

    database = Database(url)
    library = Library(database, wall=clock)
    scheduler = Scheduler(
        database, library, Desk(database, library, queue, no_archive(), wall=clock, rng=random.Random()), wall=clock
    )
    print("begun", flush=True)
    while True:
        await scheduler.look()
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
