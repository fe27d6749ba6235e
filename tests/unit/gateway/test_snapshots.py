"""Snapshots of the DWA: kept while the database is there, recalled with their age, harmless when they are damaged."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any, cast

import pytest
from paused_time import START, paused, settle

from dwa import Balancer, Candidate, Shape
from gateway.records import StoreUnavailable
from gateway.snapshots import Snapshots

NOW = 1_700_000_000.0


class Shelf:
    """A database that may be away."""

    def __init__(self, *, there: bool = True) -> None:
        self.migrated = asyncio.Event()
        if there:
            self.migrated.set()
        self.away = False
        self.kept: list[tuple[dict[str, object], dict[str, float], float]] = []
        self.asked = 0

    async def save_snapshot(self, state: dict[str, object], weights: dict[str, float], at: float) -> None:
        if self.away:
            raise StoreUnavailable
        self.kept.append((state, weights, at))

    async def latest_snapshot(self) -> tuple[dict[str, object], float] | None:
        self.asked += 1
        if self.away:
            raise StoreUnavailable
        return None if not self.kept else (self.kept[-1][0], self.kept[-1][2])


def balancer() -> Balancer:
    return Balancer(clock=asyncio.get_running_loop().time, rng=random.Random(1))


async def taught() -> Balancer:
    it = balancer()
    for key, seconds in (("a/m", 1.0), ("b/m", 5.0)):
        for _ in range(5):
            ticket = it.begin(Candidate(key), Shape(100))
            await asyncio.sleep(seconds)
            ticket.success(100, 50, 0.01)
    return it


def snapshots(it: Balancer, shelf: Shelf, wall: float = NOW) -> Snapshots:
    return Snapshots(it, shelf, wall=lambda: wall)


@paused
async def test_what_was_learned_outlives_a_restart() -> None:
    shelf, before, after = Shelf(), await taught(), balancer()
    await snapshots(before, shelf).save()
    await snapshots(after, shelf, wall=NOW + 60.0).recall()
    rows = {row.key: row for row in after.stats()}
    expected = {row.key: row.expected_s or 0.0 for row in before.stats()}
    assert set(rows) == {"a/m", "b/m"}
    for key, row in rows.items():
        assert row.expected_s == pytest.approx(expected[key], rel=0.5)
    assert (rows["a/m"].expected_s or 0.0) < (rows["b/m"].expected_s or 0.0)


@paused
async def test_a_snapshot_holds_weights_that_sum_to_one_and_its_date() -> None:
    shelf = Shelf()
    await snapshots(await taught(), shelf).save()
    ((_, weights, at),) = shelf.kept
    assert set(weights) == {"a/m", "b/m"}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert at == NOW


class Ages(Balancer):
    """Remembers how old the snapshot was said to be."""

    def __init__(self) -> None:
        super().__init__(clock=asyncio.get_running_loop().time, rng=random.Random(1))
        self.ages: list[float] = []

    def restore(self, snapshot: dict[str, object], age_seconds: float) -> None:
        self.ages.append(age_seconds)
        super().restore(snapshot, age_seconds)


@pytest.mark.parametrize(("later", "age"), [(0.0, 0.0), (3600.0, 3600.0), (-50.0, 0.0)])
@paused
async def test_its_age_is_handed_over_and_never_below_zero(later: float, age: float) -> None:
    shelf, it = Shelf(), Ages()
    await snapshots(await taught(), shelf).save()
    await snapshots(it, shelf, wall=NOW + later).recall()
    assert it.ages == [age]


@paused
async def test_nothing_is_kept_before_anything_was_learned() -> None:
    shelf = Shelf()
    await snapshots(balancer(), shelf).save()
    assert shelf.kept == []


@paused
async def test_nothing_is_kept_before_the_tables_are_there() -> None:
    shelf = Shelf(there=False)
    await snapshots(await taught(), shelf).save()
    assert shelf.kept == []


@paused
async def test_recalling_waits_for_the_tables() -> None:
    shelf, it = Shelf(there=False), balancer()
    await snapshots(await taught(), shelf).save()
    recalling = asyncio.create_task(snapshots(it, shelf).recall())
    await settle()
    assert shelf.asked == 0
    shelf.migrated.set()
    await recalling
    assert shelf.asked == 1


@paused
async def test_snapshots_are_kept_every_half_minute_until_cancelled() -> None:
    shelf = Shelf()
    it = await taught()
    begun = asyncio.get_running_loop().time()
    keeping = asyncio.create_task(snapshots(it, shelf).keep())
    await asyncio.sleep(100.0)
    assert len(shelf.kept) == 3
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    assert begun > START


@paused
async def test_a_database_that_is_away_costs_a_snapshot_and_nothing_else() -> None:
    shelf, it = Shelf(), await taught()
    shelf.away = True
    keeping = asyncio.create_task(snapshots(it, shelf).keep())
    await asyncio.sleep(70.0)
    assert shelf.kept == []
    shelf.away = False
    await asyncio.sleep(30.0)
    assert len(shelf.kept) == 1
    keeping.cancel()
    shelf.away = True
    fresh = balancer()
    await snapshots(fresh, shelf).recall()
    assert fresh.stats() == []


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 0},
        {"version": 1},
        {"version": 1, "lengths": {}, "deployments": {}},
        {"version": 1, "lengths": [], "deployments": []},
        {"version": 1, "lengths": {"routes": [], "sizes": []}, "deployments": {"a/m": {}}},
        {"version": 1, "lengths": {"routes": [], "sizes": []}, "deployments": {"a/m": "odd"}},
        {"version": 1, "lengths": {"routes": float("nan")}, "deployments": {}},
    ],
    ids=str,
)
@paused
async def test_a_foreign_snapshot_is_ignored(state: dict[str, object]) -> None:
    shelf, it = Shelf(), balancer()
    shelf.kept.append((state, {}, NOW))
    await snapshots(it, shelf).recall()
    assert await _serves(it)


async def _serves(it: Balancer) -> bool:
    ranking = it.rank([Candidate("a/m"), Candidate("b/m")], Shape(100))
    ticket = it.begin(ranking.candidates[0], Shape(100))
    await asyncio.sleep(1.0)
    ticket.success(100, 50, 0.01)
    it.snapshot()
    return bool(it.stats())


async def _damaged(path: tuple[str, ...], value: object) -> Balancer:
    """A balancer that was given a snapshot in which one number is damaged."""
    shelf, it = Shelf(), balancer()
    await snapshots(await taught(), shelf).save()
    state: Any = copy.deepcopy(shelf.kept[-1][0])
    place = state["deployments"]["a/m"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    shelf.kept.append((cast("dict[str, object]", state), {}, NOW))
    await snapshots(it, shelf).recall()
    return it


@paused
async def test_a_damaged_snapshot_leaves_the_dwa_knowing_nothing_and_working() -> None:
    it = await _damaged(("latency", "tail"), None)
    assert await _serves(it)


@paused
async def test_a_number_beyond_all_bounds_is_ignored_too() -> None:
    it = await _damaged(("latency", "state"), [1e308, 1e308, 1e308, 1e308])
    assert await _serves(it)
