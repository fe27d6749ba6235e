"""Sessions, snapshots and the database itself, on both engines."""

from __future__ import annotations

import asyncio
from math import nan
from pathlib import Path

import pytest
from sqlalchemy import text
from store_faults import DAY, Proxy

from gateway.store import migrate, sessions, snapshots
from gateway.store.engine import Database, PoolSettings, masked, parse_url
from gateway.store.errors import StoreUnavailable
from gateway.store.snapshots import Snapshot, Weights


def _say(words: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": words}]


async def test_a_session_grows_turn_by_turn_and_keeps_its_newest_messages(database: Database) -> None:
    assert await sessions.load(database, "acme", "sess_1") is None
    returned = [
        await sessions.append(database, "acme", "sess_1", _say(f"{turn} \0☃"), now=DAY + turn, keep=3)
        for turn in range(4)
    ]
    found = await sessions.load(database, "acme", "sess_1")
    assert found == returned[-1]
    assert found is not None
    assert [m["content"] for m in found.messages] == ["1 \0☃", "2 \0☃", "3 \0☃"]
    assert (found.turns, found.created_at, found.updated_at) == (4, DAY, DAY + 3)


async def test_turns_that_arrive_at_once_are_all_kept(database: Database) -> None:
    said = [f"turn {n}" for n in range(8)]
    await asyncio.gather(
        *(sessions.append(database, "acme", "sess_1", _say(words), now=DAY, keep=100) for words in said)
    )
    found = await sessions.load(database, "acme", "sess_1")
    assert found is not None
    assert sorted(m["content"] for m in found.messages) == said


async def test_a_tenant_sees_and_touches_only_its_own_sessions(database: Database) -> None:
    await sessions.append(database, "acme", "sess_1", _say("mine"), now=DAY, keep=9)
    await sessions.append(database, "evil", "sess_1", _say("other"), now=DAY, keep=9)
    assert await sessions.delete_session(database, "evil", "sess_1")
    assert not await sessions.delete_session(database, "evil", "sess_1")
    assert await sessions.load(database, "evil", "sess_1") is None
    assert await sessions.list_sessions(database, "evil") == []
    found = await sessions.load(database, "acme", "sess_1")
    assert found is not None
    assert found.messages == _say("mine")


async def test_sessions_are_listed_last_used_first_page_by_page(database: Database) -> None:
    for n in (1, 2, 3):
        await sessions.append(database, "acme", f"sess_{n}", _say("x"), now=DAY + n // 2, keep=9)
    first = await sessions.list_sessions(database, "acme", limit=2)
    second = await sessions.list_sessions(database, "acme", after=first[-1], limit=2)
    assert [s.id for s in (*first, *second)] == ["sess_3", "sess_2", "sess_1"]
    assert first[0].messages == []


async def test_the_latest_snapshot_and_the_history_of_the_weights(database: Database) -> None:
    assert await snapshots.latest_snapshot(database) is None
    for n in range(4):
        await snapshots.save_snapshot(database, Snapshot(DAY + n, {"n": n, "bad": nan}, {"openai/m": n / 4}))
    assert await snapshots.latest_snapshot(database) == Snapshot(DAY + 3, {"n": 3, "bad": None}, {"openai/m": 0.75})
    assert await snapshots.history(database, DAY + 1, limit=2) == [
        Weights(DAY + 2, {"openai/m": 0.5}),
        Weights(DAY + 3, {"openai/m": 0.75}),
    ]
    assert await snapshots.forget(database, DAY + 3) == 3


async def test_a_failed_block_writes_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as connection:
            await connection.execute(text("DELETE FROM alembic_version"))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1


async def test_an_unmigrated_database_is_unavailable_and_not_a_crash(empty_url: str) -> None:
    database = Database(empty_url)
    await database.ping()
    with pytest.raises(StoreUnavailable):
        await sessions.list_sessions(database, "acme")
    await database.dispose()


async def test_a_silent_server_fails_the_ping_in_time(proxied_url: str, proxy: Proxy) -> None:
    database = Database(proxied_url)
    await database.ping()
    proxy.hang()
    with pytest.raises(StoreUnavailable, match="no answer"):
        await database.ping(within=0.05)
    await proxy.heal()
    await database.dispose()


async def test_connections_of_a_silent_server_are_left_together(proxied_url: str, proxy: Proxy) -> None:
    # A statement may take an hour, and as long would each farewell.
    database = Database(proxied_url, PoolSettings(statement_timeout=3_600.0))
    async with database.read(), database.read(), database.read():
        pass
    proxy.hang()
    async with asyncio.timeout(60):
        await database.dispose()


async def test_a_server_that_is_away_is_unavailable_until_it_is_back(proxied_url: str, proxy: Proxy) -> None:
    database = Database(proxied_url, PoolSettings(pool_size=1, max_overflow=0))
    await database.ping()
    await proxy.cut()
    with pytest.raises(StoreUnavailable):
        await sessions.list_sessions(database, "acme")
    with pytest.raises(StoreUnavailable):
        await database.ping()
    await proxy.heal()
    await database.ping()
    await database.dispose()


async def test_no_error_carries_the_password() -> None:
    database = Database("postgresql://me:hunter2@127.0.0.1:1/x?password=hunter3", PoolSettings(connect_timeout=1))
    with pytest.raises(StoreUnavailable) as caught:
        await database.ping()
    shown = f"{caught.value} {caught.value!r} {database!r} {database.describe(OSError('for hunter2, hunter3'))}"
    assert "hunter" not in shown
    await database.dispose()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql://u:p@h:5/d?sslmode=require", "postgresql+asyncpg://u:***@h:5/d?ssl=require"),
        ("sqlite:///a.db", "sqlite+aiosqlite:///a.db"),
    ],
)
def test_the_usual_spellings_of_an_address_are_understood(given: str, meant: str) -> None:
    assert masked(parse_url(given)) == meant


@pytest.mark.parametrize(
    "given", ["mysql://u:pw@h/d", "sqlite://", "sqlite:///:memory:", "pw", "postgres://u@h:pw/d", "postgres://h/d?x=pw"]
)
def test_an_address_that_cannot_serve_is_refused_without_quoting_it(given: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_url(given)
    assert "pw" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_a_database_whose_certificate_nobody_can_check_is_away_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StoreUnavailable, match=r"root\.crt"):
        await migrate.current("postgresql://u:pw@127.0.0.1:1/d?sslmode=verify-full")


async def test_on_sqlite_a_reader_sees_the_state_before_a_writer_who_is_not_done(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/a.db"
    await migrate.upgrade(address)
    database = Database(address, PoolSettings(busy_timeout=0.0))
    count = text("SELECT count(*) FROM dwa_snapshots")
    async with database.write() as writer:
        await writer.execute(text("INSERT INTO dwa_snapshots (at, state, weights) VALUES ('2026-01-01', '{}', '{}')"))
        async with database.read() as reader:
            assert (await reader.execute(count)).scalar_one() == 0
        with pytest.raises(StoreUnavailable, match="locked"):
            async with database.write():
                pass
    async with database.read() as reader:
        assert (await reader.execute(count)).scalar_one() == 1
    await database.dispose()
