"""The database as it is on bad days: stopped, hanging, away at the start; and the gateway killed beside it.

Everybody is answered, health says what is wrong, and no row is lost: ids of requests are compared, never just counted.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from gateway.settings import SecretUrl, Settings
from gateway.store.engine import parse_url
from providers import simulator
from tests.acceptance.bad_days import (
    Crowd,
    Day,
    a_crowd,
    a_day_beside,
    ask,
    callers,
    eventually,
    four,
    impatient,
    look,
    until_seen,
)
from tests.acceptance.bad_processes import a_program, configuration, logged, until_logged
from tests.chaos.services import a_line
from tests.stores.store_faults import Proxy

#: Seconds before a kill from which on a row may be lost: the flush interval of 0.2 s, and a write that is under way for
#: as long as it may take before its rows go to the disk.
_DOUBTFUL = 0.2 + 1.0
_numbers = itertools.count()


@pytest.fixture
async def postgres(server: str) -> str:
    """The address of a new database, without a schema."""
    where = parse_url(server)
    name = f"bad_day_{next(_numbers)}"
    query: dict[str, Any] = dict(where.query)
    connection = await asyncpg.connect(host=query["host"], user=where.username, database=where.database)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return where.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
async def proxy(postgres: str) -> AsyncGenerator[Proxy]:
    """In the way of it."""
    folder = dict(parse_url(postgres).query)["host"]
    standing = Proxy(lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432"))
    await standing.listen()
    yield standing
    await standing.close()


@pytest.fixture
def proxied(postgres: str, proxy: Proxy) -> str:
    where = parse_url(postgres).difference_update_query(["host"]).set(host="127.0.0.1", port=proxy.port)
    return where.render_as_string(hide_password=False)


def logging_to(url: str, settings: Settings, *, spill: Path | None = None) -> Settings:
    log = settings.request_log if spill is None else replace(settings.request_log, spill_dir=spill)
    return replace(impatient(settings), database=replace(settings.database, url=SecretUrl(url)), request_log=log)


async def until_all_is_logged(day: Day, url: str, crowd: Crowd) -> None:
    """Every answered request is in the database, each once, nothing else is, and the spill is empty again."""
    assert not crowd.bad
    ids = {one.id for one in crowd.answers}
    assert len(ids) == len(crowd.answers)
    assert set(await until_logged(url, ids)) == ids
    async with callers() as session:
        health = await until_seen(
            session, f"{day.url}/api/health", lambda found: found["services"]["log"]["spill_segments"] == 0
        )
        health = await until_seen(session, f"{day.url}/api/health", lambda found: found["status"] == "healthy")
    log = health["services"]["log"]
    assert (log["queue"], log["spill_bytes"], log["dropped"]) == (0, 0, 0)
    assert log["written"] + log["replayed"] >= len(ids)


@pytest.mark.parametrize("manner", ["cut", "hang"])
async def test_the_database_is_away_for_a_while_and_no_row_is_lost(
    manner: str, postgres: str, proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    async with a_day_beside(tmp_path, lambda settings: logging_to(proxied, settings)) as day:
        page = f"{day.url}/api/health"
        async with callers() as session, a_crowd(day.url, pace=40, at_most=900) as crowd:
            await crowd.more(30)
            await until_seen(session, page, lambda found: found["services"]["log"]["written"] > 0)
            if manner == "cut":
                await proxy.cut()
            else:
                proxy.hang()
            sick = await until_seen(session, page, lambda found: found["services"]["log"]["spilled"] > 20, within=60)
            assert sick["status"] == "degraded"
            assert sick["services"]["database"]["status"] == "degraded"
            assert sick["services"]["database"]["error"]
            assert (sick["services"]["log"]["status"], sick["services"]["log"]["database"]) == ("degraded", "away")
            assert sick["services"]["cache"]["status"] == "healthy"
            await crowd.more(20)
            await proxy.heal()
            await crowd.more(20)
        await until_all_is_logged(day, postgres, crowd)


async def _operate(url: str, *statements: str) -> Any:
    """What an operator says to a database; the connection stays open."""
    where = parse_url(url)
    connection = await asyncpg.connect(host=where.query["host"], user=where.username, database=where.database)
    for one in statements:
        await connection.execute(one)
    return connection


async def _others_must_ask_anew(url: str, word: str) -> None:
    name = parse_url(url).database
    await (
        await _operate(
            url,
            "SET default_transaction_read_only = off",
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = {word}',
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND pid <> pg_backend_pid()",
        )
    ).close()


@pytest.mark.parametrize("manner", ["read-only", "locked", "slow"])
async def test_a_database_that_answers_and_takes_no_rows_costs_nobody_anything(
    manner: str, postgres: str, tmp_path: Path
) -> None:
    folder = parse_url(postgres).query["host"]
    async with a_line(lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")) as line:
        where = parse_url(postgres).difference_update_query(["host"]).set(host="127.0.0.1", port=line.port)
        by_line = where.render_as_string(hide_password=False)
        async with a_day_beside(tmp_path, lambda settings: logging_to(by_line, settings)) as day:
            page = f"{day.url}/api/health"
            async with callers() as session, a_crowd(day.url, pace=40, at_most=600) as crowd:
                await until_seen(session, page, lambda found: found["services"]["log"]["written"] > 10)
                other = None
                if manner == "read-only":
                    await _others_must_ask_anew(postgres, "on")
                elif manner == "locked":
                    other = await _operate(postgres, "BEGIN; LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
                else:
                    line.delay = 0.5
                sick = await until_seen(session, page, lambda found: found["services"]["log"]["spilled"] > 20)
                assert sick["status"] == "degraded"
                if manner == "read-only":
                    await _others_must_ask_anew(postgres, "off")
                elif other is not None:
                    await other.close()
                await line.mend()
                await crowd.more(10)
            await until_all_is_logged(day, postgres, crowd)


async def test_a_database_that_comes_and_goes_loses_nothing(
    postgres: str, proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    async with a_day_beside(tmp_path, lambda settings: logging_to(proxied, settings)) as day:
        async with a_crowd(day.url, pace=60, at_most=900) as crowd:
            for number in range(8):
                await crowd.more(15)
                if number % 2:
                    await proxy.heal()
                elif number % 4:
                    proxy.hang()
                else:
                    await proxy.cut()
            await proxy.heal()
        await until_all_is_logged(day, postgres, crowd)


async def test_questions_to_a_database_that_is_away_are_answered_with_503(
    proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    async with a_day_beside(tmp_path, lambda settings: logging_to(proxied, settings)) as day, callers() as session:
        told = await ask(session, day.url, "question.")
        await until_seen(session, f"{day.url}/api/db/requests/{told.id}", lambda found: "outcome" in found)
        await proxy.cut()
        for path in (
            f"/api/llm/dwa/explain/{told.id}",
            f"/api/db/requests/{told.id}",
            "/api/db/requests/recent",
            "/api/db/stats",
        ):
            async with session.get(day.url + path) as answer:
                said = await answer.json()
                assert answer.status == 503, (path, said)
                assert int(answer.headers["retry-after"]) >= 1
                assert said["error"]["source"] == "gateway"
        for path in ("/health", "/health/ready", "/metrics", "/api/llm/dwa/stats", "/v1/models"):
            async with session.get(day.url + path) as answer:
                assert answer.status == 200, path
        await proxy.heal()


async def test_a_database_that_is_away_at_the_start_is_migrated_and_filled_when_it_comes(
    postgres: str, proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    await proxy.cut()
    async with a_day_beside(tmp_path, lambda settings: logging_to(proxied, settings)) as day:
        async with callers() as session, a_crowd(day.url, pace=40, at_most=600) as crowd:
            await crowd.more(40)
            health = await until_seen(
                session, f"{day.url}/api/health", lambda found: found["services"]["log"]["spilled"] > 0
            )
            assert health["status"] == "degraded"
            assert health["services"]["database"]["error"]
            assert await logged(postgres) == []
            await proxy.heal()
            await crowd.more(20)
        await until_all_is_logged(day, postgres, crowd)


async def test_with_neither_database_nor_spill_rows_wait_in_memory(
    proxied: str, proxy: Proxy, postgres: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")  # not even root can make a folder beneath a file
    change = functools.partial(logging_to, proxied, spill=tmp_path / "file" / "spill")
    async with a_day_beside(tmp_path, change) as day:
        page = f"{day.url}/api/health"
        await eventually(day.serving.app.parts.records.migrated.is_set)
        async with callers() as session, a_crowd(day.url, pace=40, at_most=300) as crowd:
            await until_seen(session, page, lambda found: found["services"]["log"]["written"] > 0)
            await proxy.cut()
            sick = await until_seen(session, page, lambda found: found["services"]["log"]["queue"] > 30)
            assert sick["status"] == "degraded"
            assert sick["services"]["log"]["last_error"]
            await proxy.heal()
        await until_all_is_logged(day, postgres, crowd)


async def test_with_neither_database_nor_spill_nor_room_in_memory_it_answers_and_counts_what_it_drops(
    proxied: str, proxy: Proxy, postgres: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")  # not even root can make a folder beneath a file
    spill = tmp_path / "file" / "spill"

    def cramped(settings: Settings) -> Settings:
        changed = logging_to(proxied, settings, spill=spill)
        return replace(changed, request_log=replace(changed.request_log, queue_size=5))

    async with a_day_beside(tmp_path, cramped) as day, callers() as session:
        page = f"{day.url}/api/health"
        await eventually(day.serving.app.parts.records.migrated.is_set)
        assert (await ask(session, day.url, "question.")).good
        await until_seen(session, page, lambda found: found["services"]["log"]["written"] == 1)
        await proxy.cut()
        told = [await ask(session, day.url, f"question {number}.") for number in range(30)]
        assert all(one.good for one in told)
        health = await until_seen(
            session,
            page,
            lambda found: (
                found["services"]["log"]["dropped"] + found["services"]["log"]["queue"] >= 30
                and found["services"]["log"]["dropped"]
            ),
        )
        assert health["status"] == "degraded"
        assert health["services"]["log"]["last_error"]
        await proxy.heal()
        await until_seen(session, page, lambda found: found["services"]["database"]["status"] == "healthy")
        await until_seen(
            session,
            page,
            lambda found: found["services"]["log"]["database"] == "up" and found["services"]["log"]["queue"] == 0,
        )
        last = await ask(session, day.url, "and again.")
        await until_logged(postgres, {last.id})
        # What is lost stays told: an operator who looks an hour later must know.
        assert (await look(session, page))["services"]["log"]["dropped"] >= 1


async def test_a_native_answer_does_not_claim_to_be_logged_when_it_is_not(
    proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    spill = tmp_path / "file" / "spill"

    def cramped(settings: Settings) -> Settings:
        changed = logging_to(proxied, settings, spill=spill)
        return replace(changed, request_log=replace(changed.request_log, queue_size=1, flush_interval=60.0))

    async with a_day_beside(tmp_path, cramped) as day:
        async with callers() as session:
            said: list[bool] = []
            for number in range(3):
                body = {"prompt": f"question {number}", "cache": False}
                async with session.post(f"{day.url}/api/llm/orchestrate", json=body) as answer:
                    said.append((await answer.json())["metadata"]["database_logged"])
        # The first fits into memory; then memory is full and there is no disk.
        assert said == [True, False, False]


# kill -9


async def test_killed_under_load_sqlite_has_what_was_answered_before_the_last_flush(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/log.db"
    await killed_under_load(tmp_path, url)


async def test_killed_under_load_postgresql_has_what_was_answered_before_the_last_flush(
    postgres: str, tmp_path: Path
) -> None:
    await killed_under_load(tmp_path, postgres)


async def killed_under_load(folder: Path, url: str) -> None:
    with (
        simulator.start(four()) as running,
        a_program(folder, configuration(running, four()), DATABASE_URL=url) as program,
    ):
        await asyncio.to_thread(program.start)
        async with a_crowd(program.url, pace=60, at_most=600) as crowd:
            kept = await answered_long_before(crowd)
            await asyncio.to_thread(program.kill)
        await asyncio.to_thread(program.start)
        await until_logged(url, kept)
        # And it serves on, with what it had learned or without.
        async with callers() as session:
            last = await ask(session, program.url, "Are you back?")
            assert last.good
        await until_logged(url, kept | {last.id})


async def test_killed_while_the_database_is_away_it_logs_from_the_spill_when_both_are_back(
    postgres: str, proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    with (
        simulator.start(four()) as running,
        a_program(tmp_path, configuration(running, four()), DATABASE_URL=proxied) as program,
    ):
        await asyncio.to_thread(program.start)
        async with callers() as session, a_crowd(program.url, pace=60, at_most=600) as crowd:
            await crowd.more(20)
            await proxy.cut()
            page = f"{program.url}/api/health"
            await until_seen(session, page, lambda found: found["services"]["log"]["spilled"] > 0)
            kept = await answered_long_before(crowd)
            await asyncio.to_thread(program.kill)
        await proxy.heal()
        await asyncio.to_thread(program.start)
        await until_logged(postgres, kept)


async def answered_long_before(crowd: Crowd) -> set[str]:
    """Wait for a fair number of requests that were answered so long ago that they must be safe: their ids."""
    clock = asyncio.get_running_loop().time

    def safe() -> set[str]:
        return {one.id for one in crowd.answers if one.good and one.at < clock() - _DOUBTFUL}

    await eventually(lambda: len(safe()) >= 50)
    return safe()


#: Seconds that a stop may take when a database does not answer: ten for the log to be flushed (`RequestLog.close`), and
#: as much again for a busy machine. Supervisors kill after thirty.
_STOP = 20.0


async def test_a_kind_stop_while_the_database_hangs_is_still_kind_and_nothing_is_lost(
    postgres: str, proxied: str, proxy: Proxy, tmp_path: Path
) -> None:
    with (
        simulator.start(four()) as running,
        a_program(tmp_path, configuration(running, four()), DATABASE_URL=proxied) as program,
    ):
        await asyncio.to_thread(program.start)
        async with a_crowd(program.url, pace=60, at_most=60) as crowd:
            await crowd.more(30)
            proxy.hang()
            await crowd.more(30)
        assert not crowd.bad
        program.terminate()
        assert await program.ended(within=_STOP) == 0
        await proxy.heal()
        await asyncio.to_thread(program.start)
        ids = {one.id for one in crowd.answers}
        assert set(await until_logged(postgres, ids)) == ids
