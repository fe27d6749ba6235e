"""What is forgotten by is known to the next process."""

from __future__ import annotations

from store_faults import DAY

from gateway.remembering import KEPT_EVERY, Remembering
from gateway.store import reckoned
from gateway.store.engine import Database

YEAR = 365 * 86_400.0


class Process:
    """One that started at a time by its wall clock, which is moved by hand."""

    def __init__(self, database: Database, wall: float) -> None:
        self.wall, self.steady = wall, 7.0
        self.remembering = Remembering(database, wall=lambda: self.wall, monotonic=lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


async def test_the_first_process_of_all_believes_its_clock(database: Database) -> None:
    assert await reckoned.last(database) is None
    assert await Process(database, DAY).remembering.look() == DAY
    assert await reckoned.last(database) == DAY


async def test_it_is_written_down_now_and_then(database: Database) -> None:
    process = Process(database, DAY)
    await process.remembering.look()
    process.passes(KEPT_EVERY - 1)
    assert await process.remembering.look() == DAY + KEPT_EVERY - 1
    assert await reckoned.last(database) == DAY
    process.passes(1)
    await process.remembering.look()
    assert await reckoned.last(database) == DAY + KEPT_EVERY


async def test_a_wrong_clock_goes_on_from_there_start_after_start(database: Database) -> None:
    await Process(database, DAY).remembering.look()
    for start in range(1, 6):
        assert await Process(database, DAY + YEAR).remembering.look() == DAY + start * 3_600.0
    # Set right, it is followed.
    assert await Process(database, DAY).remembering.look() == DAY


async def test_before_it_has_looked_nothing_is_old(database: Database) -> None:
    assert Process(database, DAY).remembering.now() == 0.0
