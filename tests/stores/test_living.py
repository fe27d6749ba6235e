"""Processes of one machine that die: their leases are free as soon as what they spent is written, and not before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.errors import DeadlineExceeded
from gateway.governance.budgets.accounts import Accounts
from gateway.governance.budgets.burying import Burying
from gateway.governance.budgets.claims import Claim, claim_of
from gateway.governance.budgets.ledger import UNITS
from gateway.settings.limits import Budget
from gateway.store import leasing
from gateway.store.engine import Database
from gateway.store.living import Living
from gateway.store.spill import Spill

_CENT = UNITS // 100


def _claim(usd: float) -> Claim:
    return claim_of("key", "app", Budget(usd=usd, period="month"), 1_000_000_000.0)


def _process(database: Database, name: str, spill: Path, inherited: Callable[[], Awaitable[bool]]) -> Accounts:
    clock = asyncio.get_running_loop().time
    burying = Burying(database, name, monotonic=clock, living=Living(spill), inherited=inherited)
    return Accounts(database, name, monotonic=clock, warned=lambda _: None, burying=burying)


async def _written() -> bool:
    return True


async def _cents(accounts: Accounts, claim: Claim, cents: int, within: float = 20.0) -> int:
    deadline = asyncio.get_running_loop().time() + within
    return (await accounts.reserve([claim], cents * _CENT, deadline))[0].bound


def _dies(accounts: Accounts) -> None:
    """As the kernel does it: its locks are nobody's, all else is as it was."""
    living = accounts._burying._living
    assert living is not None
    assert living._mine is not None
    os.close(living._mine[1])


async def test_what_a_dead_neighbour_had_leased_is_had_at_once(database: Database, tmp_path: Path) -> None:
    claim = _claim(1.0)
    dying, other = (_process(database, name, tmp_path, _written) for name in ("dying", "other"))
    await _cents(dying, claim, 90)
    await _cents(other, claim, 80)  # the one request that may run short
    _dies(dying)
    assert await _cents(other, claim, 5) == 5 * _CENT
    assert "dying" not in await leasing.holders(database)


async def test_nobody_is_buried_while_what_it_spent_is_to_be_written(database: Database, tmp_path: Path) -> None:
    claim, asked = _claim(1.0), 0

    async def soon() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            assert "dying" in await leasing.holders(database)
        return asked > 2

    dying, other = _process(database, "dying", tmp_path, _written), _process(database, "other", tmp_path, soon)
    await _cents(dying, claim, 90)
    await _cents(other, claim, 80)
    _dies(dying)
    assert await _cents(other, claim, 5) == 5 * _CENT
    assert asked == 3


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_who_lives_or_is_of_another_machine_is_not_buried(
    database: Database, tmp_path: Path, elsewhere: bool
) -> None:
    claim = _claim(1.0)
    there = _process(database, "there", tmp_path / "there" if elsewhere else tmp_path, _written)
    here = _process(database, "here", tmp_path, _written)
    await _cents(there, claim, 90)
    if elsewhere:
        _dies(there)
    await _cents(here, claim, 80)
    with pytest.raises(DeadlineExceeded, match="held by requests under way"):
        await _cents(here, claim, 5, within=0.6)
    assert "there" in await leasing.holders(database)


async def test_who_leaves_in_good_order_leaves_no_file(database: Database, tmp_path: Path) -> None:
    claim, one = _claim(1.0), _process(database, "one", tmp_path, _written)
    one.settle((await one.reserve([claim], _CENT, asyncio.get_running_loop().time() + 9))[0], 0)
    assert (tmp_path / "living" / "one").exists()
    await one.stop()
    assert not (tmp_path / "living" / "one").exists()


def _spill(folder: Path) -> Spill:
    made = Spill(folder, max_bytes=10**6, segment_bytes=10**4)
    made.open()
    return made


def test_a_spill_tells_whether_anything_of_the_dead_is_left(tmp_path: Path) -> None:
    one, other = _spill(tmp_path), _spill(tmp_path)
    assert one.journal is not None
    one.journal.append(b"row")
    assert not other.bequeathed(), "it is a living one's"
    one._release()
    assert other.bequeathed(), "a dead one's journal"
    assert other.adopt() == 1
    assert other.bequeathed(), "its rows, which are ours now"
    segment = other.oldest()
    assert segment is not None
    other.discard(segment, damaged=False)
    assert not other.bequeathed()
