"""The keys of a database in the memory of several processes, on both engines."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from gateway.errors import Busy, Unauthorized
from gateway.governance.grants import Grants
from gateway.governance.issuing import Issuing
from gateway.governance.keyring import Keyring
from gateway.governance.keys import Principal, Principals
from gateway.settings.tree import Settings
from gateway.store import keys
from gateway.store.engine import Database

ADMIN = Principal("admin", admin=True)


class Clock:
    """Unix and monotonic time, as a test says."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """What one process has of keys."""

    def __init__(self, database: Database, clock: Clock, *, secret: bytes | None = None, ann: str = "ann") -> None:
        salt = secret or random.randbytes(32)
        configured = [(Principal(ann), "key-of-ann")]
        self.principals = Principals(configured, "key-of-admin", open_to_all=False, salt=salt, wall=clock)
        there = asyncio.Event()
        there.set()
        self.keyring = Keyring(self.principals, database, there, secret=secret, monotonic=clock)
        self.issuing = Issuing(
            database, self.principals, self.keyring, Settings(), wall=clock, rng=random.Random(next(_seeds))
        )

    def knows(self, key: str) -> bool:
        try:
            self.principals.find(key)
        except Unauthorized:
            return False
        return True

    async def make(self, name: str = "app", expires_at: float | None = None, **grants: Any) -> tuple[str, str]:
        made = await self.issuing.create(name, Grants(**grants), expires_at, ADMIN)
        return made.stored.id, made.key


_seeds = itertools.count()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def two(database: Database, clock: Clock, **given: Any) -> tuple[Process, Process]:
    here, there = Process(database, clock, **given), Process(database, clock, **given)
    await here.keyring.read()
    await there.keyring.read()
    return here, there


async def test_what_one_process_does_the_others_know_at_their_next_look(database: Database, clock: Clock) -> None:
    here, there = await two(database, clock)
    identity, key = await here.make(tags=("blue",))
    assert (here.knows(key), there.knows(key)) == (True, False)
    await there.keyring.look()
    assert there.principals.find(key).tags == ("blue",)
    assert there.principals.named("app") == there.principals.find(key)
    await there.issuing.change(identity, {"tags": ("red",)})
    await here.keyring.look()
    assert here.principals.find(key).tags == ("red",)
    rotated = await there.issuing.rotate(identity, 60.0)
    await here.keyring.look()
    assert (here.knows(key), here.knows(rotated.key)) == (True, True)
    clock.now += 60.0
    assert (here.knows(key), here.knows(rotated.key)) == (False, True)
    await here.issuing.revoke(identity)
    await there.keyring.look()
    assert [one.knows(rotated.key) for one in (here, there)] == [False, False]
    assert there.principals.named("app") is None


async def test_those_who_watch_hear_of_it_by_themselves(database: Database, clock: Clock) -> None:
    here, there = await two(database, clock)
    watching = asyncio.create_task(there.keyring.watch())
    identity, key = await here.make()
    while not there.knows(key):  # noqa: ASYNC110 - it has no event; the test's own limit ends what never comes
        await asyncio.sleep(0.02)
    await here.issuing.revoke(identity)
    while there.knows(key):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)
    watching.cancel()


async def test_an_unchanged_table_is_not_read_again(database: Database, clock: Clock, monkeypatch: Any) -> None:
    here, there = await two(database, clock)
    await here.make()
    await there.keyring.look()
    monkeypatch.setattr(keys, "changed", None)  # it would be called in vain
    await there.keyring.look()
    assert there.keyring.health().error is None


async def test_many_keys_are_read_in_parts(database: Database, clock: Clock, monkeypatch: Any) -> None:
    here, there = await two(database, clock)
    made = [await here.make(f"app-{number}") for number in range(7)]
    monkeypatch.setattr("gateway.governance.keyring._CHUNK", 3)
    await there.keyring.look()
    assert all(there.knows(key) for _, key in made)
    assert there.keyring.health().active == 7


async def test_hashes_say_nothing_without_the_pepper(database: Database, clock: Clock) -> None:
    """Two databases would hash one key differently, and so would one with a SECRET_KEY and one without."""
    drawn, _ = await two(database, clock)
    secret, _ = await two(database, clock, secret=b"s" * 32)
    peppers = {drawn.keyring.pepper, secret.keyring.pepper}
    assert len(peppers) == 2
    assert secret.keyring.pepper == b"s" * 32
    identity, key = await drawn.make()
    row = await drawn.issuing.get(identity)
    assert key not in str(row)
    assert row.hash not in str(vars(secret.principals))


async def test_a_key_of_another_secret_opens_nothing_until_it_is_rotated(database: Database, clock: Clock) -> None:
    before, _ = await two(database, clock, secret=b"old" * 8)
    identity, key = await before.make()
    after, _ = await two(database, clock, secret=b"new" * 8)
    health = after.keyring.health()
    assert (after.knows(key), health.status, health.unusable, health.active) == (False, "degraded", 1, 0)
    rotated = await after.issuing.rotate(identity, 60.0)
    assert after.knows(rotated.key)
    assert not after.knows(key)
    assert (after.keyring.health().status, after.keyring.health().unusable) == ("healthy", 0)


async def test_a_name_of_the_configuration_goes_before_one_of_the_api(database: Database, clock: Clock) -> None:
    here, _ = await two(database, clock)
    _, key = await here.make("carl")
    reloaded, _ = await two(database, clock, ann="carl")
    assert not reloaded.knows(key)
    assert reloaded.principals.find("key-of-ann") == Principal("carl")
    assert reloaded.principals.named("carl") == Principal("carl")
    assert reloaded.keyring.health().unusable == 1


async def test_an_expired_key_opens_nothing_from_its_moment_on(database: Database, clock: Clock) -> None:
    here, _ = await two(database, clock)
    _, key = await here.make(expires_at=clock.now + 5)
    assert here.knows(key)
    clock.now += 4.999
    assert here.knows(key)
    clock.now += 0.001
    assert not here.knows(key)
    assert here.principals.named("app") is None


async def test_before_the_first_look_nobody_is_told_that_a_key_is_wrong(database: Database, clock: Clock) -> None:
    here, _ = await two(database, clock)
    _, key = await here.make()
    new = Process(database, clock)
    with pytest.raises(Busy):
        new.principals.find(key)
    with pytest.raises(Unauthorized):
        new.principals.find("key-of-nobody")
    assert new.knows("key-of-ann")
    assert new.keyring.health().status == "degraded"
    await new.keyring.read()
    assert new.knows(key)
    with pytest.raises(Unauthorized):
        new.principals.find("sk-sy-unknown")


async def test_a_successor_knows_what_its_predecessor_did(database: Database, clock: Clock) -> None:
    """After a reload of the settings while the database is away."""
    here, _ = await two(database, clock)
    _, key = await here.make()
    new = Process(database, clock)
    new.keyring.take_over(here.keyring)
    assert new.knows(key)
    with pytest.raises(Unauthorized):
        new.principals.find("sk-sy-unknown")


async def test_keys_that_ever_were_keep_the_gateway_closed(database: Database, clock: Clock) -> None:
    here, _ = await two(database, clock)
    identity, _ = await here.make()
    await here.issuing.revoke(identity)
    bare = Principals((), None, open_to_all=False, salt=b"x" * 16, wall=clock)
    there = asyncio.Event()
    there.set()
    assert bare.find(None).admin
    await Keyring(bare, database, there, secret=None, monotonic=clock).read()
    with pytest.raises(Unauthorized):
        bare.find(None)


async def test_an_older_state_of_the_database_is_believed(database: Database, clock: Clock) -> None:
    """A backup was restored: what it does not know opens nothing, and what it knows opens."""
    here, there = await two(database, clock)
    _, first = await here.make("first")
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE kept AS SELECT * FROM keys")
    _, second = await here.make("second")
    await there.keyring.look()
    async with database.write() as connection:
        await connection.exec_driver_sql("DELETE FROM keys")
        await connection.exec_driver_sql("INSERT INTO keys SELECT * FROM kept")
        await connection.exec_driver_sql("UPDATE key_state SET version = 1")
        await connection.exec_driver_sql("DROP TABLE kept")
    await there.keyring.look()
    assert (there.knows(first), there.knows(second)) == (True, False)


async def test_changes_at_once_are_seen_by_all_in_the_end(database: Database, clock: Clock) -> None:
    here, there = await two(database, clock)
    looking = asyncio.create_task(_look_on(there.keyring))
    made = await asyncio.gather(*(one.make(f"{n}-{m}") for n in range(6) for m, one in enumerate((here, there))))
    await asyncio.gather(*(here.issuing.revoke(identity) for identity, _ in made[::3]))
    looking.cancel()
    for process in (here, there):
        await process.keyring.look()
        assert [process.knows(key) for _, key in made] == [number % 3 != 0 for number in range(12)]


async def _look_on(keyring: Keyring) -> None:
    while True:
        await keyring.look()
        await asyncio.sleep(0)


async def test_a_database_that_is_away_takes_no_key_away(empty_url: str, clock: Clock) -> None:
    database = Database(empty_url)  # without its tables: as good as away
    process = Process(database, clock)
    await process.keyring.look()
    assert process.knows("key-of-ann")
    health = process.keyring.health()
    assert (health.status, health.checked_seconds_ago) == ("degraded", None)
    assert health.error
    await database.dispose()
