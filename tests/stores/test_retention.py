"""What leaves the log, and room for what comes: the same law on both engines, by other means."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select, text
from store_faults import DAY, exchange
from test_feedback_store import vote

from gateway.identity import earliest_id, new_id
from gateway.records import Records
from gateway.remembering import Remembering
from gateway.settings import SecretUrl, Settings
from gateway.settings.audit import Audit as AuditSettings
from gateway.settings.sections import RequestLog
from gateway.store import audit, exchanges, feedback, migrate, partitions, reckoned, retention, sessions, totals
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.exchanges import Filters
from gateway.store.partitions import WEEK
from gateway.store.record import ExchangeRecord
from gateway.store.retention import Tidied
from gateway.store.tables import attempts, bodies, exchange_latencies, exchange_sums, key_sums
from gateway.store.writing import Lane
from tests.serving import settings_in

#: DAY is a Saturday; the Monday before it, in Unix seconds.
_MONDAY = int(DAY) - 5 * 86_400
_rng = random.Random(1)


def _at(seconds: float, **facts: Any) -> ExchangeRecord:
    """An exchange as the gateway would have made it: its id begins with its time."""
    return exchange(0, id=new_id("req", seconds, _rng), created_at=seconds, request_body=b"{}", **facts)


async def _log(database: Database, *records: ExchangeRecord) -> None:
    lane = Lane(database, deadline=10)
    assert await lane.store(records) == []
    await lane.close()


async def _times(database: Database) -> list[float]:
    found = (await exchanges.recent(database, Filters(), limit=500)).items
    assert all(len(one.attempts) == 1 for one in found)
    return [one.created_at for one in reversed(found)]


async def _left(database: Database) -> dict[str, int]:
    """Rows of the tables that go with the log."""
    async with database.read() as connection:
        return {
            table.name: len((await connection.execute(select(table))).all())
            for table in (attempts, bodies, exchange_sums, exchange_latencies, key_sums, feedback.feedback)
        }


async def _ends(database: Database) -> list[int]:
    async with database.read() as connection:
        found = {table: sorted(await partitions.ends(connection, table)) for table in partitions.TABLES}
    assert found["attempts"] == found["bodies"] == found["exchanges"]
    return found["exchanges"]


@pytest.fixture
def url(empty_url: str) -> str:
    """A database of its own: partitions outlive the emptying of the shared one."""
    asyncio.run(migrate.upgrade(empty_url))
    return empty_url


@pytest.fixture
def own_postgres_url(server: Any) -> str:
    address: str = server.create()
    asyncio.run(migrate.upgrade(address))
    return address


@pytest.fixture
async def postgres(own_postgres_url: str) -> AsyncGenerator[Database]:
    opened = Database(own_postgres_url)
    yield opened
    await opened.dispose()


async def test_what_is_young_stays_and_what_is_old_goes_with_all_that_belongs_to_it(database: Database) -> None:
    now, keep = DAY + 3_600.5, 14
    for weeks_ago in range(7):
        await retention.tidy(database, now - weeks_ago * WEEK)
    ages = (0, 0.5, 13.99, 14, 14.01, 15.1, 21, 23.1, 30, 40)
    await _log(database, *(_at(now - age * 86_400) for age in ages))
    rows = (await exchanges.recent(database, Filters())).items
    for number, row in enumerate(rows):
        await feedback.put(database, vote(number, request_id=row.id))

    done = await retention.tidy(database, now, keep)
    left = await _times(database)
    assert [now - age * 86_400 for age in ages if age <= keep] == pytest.approx(left[::-1][: ages.index(14) + 1])
    slack = 8 if database.dialect == "postgresql" else 1
    assert min(left) >= now - (keep + slack) * 86_400
    assert (done.dropped > 0, done.rows) == ((True, 0) if database.dialect == "postgresql" else (False, 5))
    found = await _left(database)
    assert (found["attempts"], found["bodies"], found["feedback"]) == (len(left),) * 3
    assert (await totals.stats(database, 0)).totals.requests == len(left)
    assert found["key_sums"] == len({time // 3_600 for time in left})
    assert (await retention.tidy(database, now, keep)) == Tidied()


async def test_without_a_retention_nothing_goes(database: Database) -> None:
    await _log(database, *(_at(DAY - n * 100 * 86_400) for n in range(4)))
    done = await retention.tidy(database, DAY)
    assert (done.dropped, done.rows) == (0, 0)
    assert len(await _times(database)) == 4


async def test_more_rows_than_go_at_once_go_one_after_the_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS", 3)
    old = DAY - 2_000 * 86_400  # of a week that has no partition
    await _log(database, *(_at(old + n) for n in range(10)), _at(DAY))
    done = await retention.tidy(database, DAY, 30)
    assert done.rows == 10
    assert await _times(database) == [DAY]
    assert (await totals.stats(database, 0)).totals.requests == 1


async def test_a_page_does_not_shift_over_the_weeks_nor_while_they_go(database: Database) -> None:
    for weeks_ago in range(4):
        await retention.tidy(database, DAY - weeks_ago * WEEK)
    times = [DAY - n * 86_400 for n in range(24)]
    await _log(database, *map(_at, times))
    page = await exchanges.recent(database, Filters(), limit=5)
    seen = [one.created_at for one in page.items]
    await retention.tidy(database, DAY, 9)
    left = (await _times(database))[::-1]
    while page.next is not None:
        page = await exchanges.recent(database, Filters(), page.next, limit=5)
        seen += [one.created_at for one in page.items]
    assert seen == left == times[: len(left)]
    assert 9 < len(left) < 24


async def test_weeks_are_made_ahead_and_only_once(postgres: Database) -> None:
    far = DAY + 60 * WEEK
    assert (await retention.tidy(postgres, far)).made == 3 * (partitions.AHEAD + 1)
    assert (await retention.tidy(postgres, far)) == Tidied()
    assert (await retention.tidy(postgres, far + WEEK)).made == 3
    expected = [_MONDAY + n * WEEK for n in range(61, 61 + partitions.AHEAD + 2)]
    assert [end for end in await _ends(postgres) if end >= expected[0]] == expected


async def test_a_row_lies_in_its_week_and_its_id_leads_there(postgres: Database) -> None:
    await retention.tidy(postgres, DAY)
    rows = [_at(_MONDAY - 0.001), _at(_MONDAY), _at(_MONDAY + WEEK - 0.001), _at(_MONDAY + WEEK)]
    await retention.tidy(postgres, _MONDAY - 1)
    await _log(postgres, *rows)
    ends = [_MONDAY, _MONDAY + WEEK, _MONDAY + WEEK, _MONDAY + 2 * WEEK]
    async with postgres.read() as connection:
        for table, column in (("exchanges", "id"), ("attempts", "exchange_id"), ("bodies", "exchange_id")):
            query = text(f"SELECT tableoid::regclass::text FROM {table} ORDER BY {column}")
            names = (await connection.execute(query)).scalars().all()
            assert names == [partitions._name(table, end) for end in ends]  # pyright: ignore[reportPrivateUsage]
        plan = await connection.execute(text(f"EXPLAIN SELECT * FROM exchanges WHERE id = '{rows[1].id}'"))
        touched = set(re.findall(r"exchanges_(?:until_\d+|default)(?= on| exchanges|$)", " ".join(map(str, plan))))
    assert touched <= {partitions._name("exchanges", ends[1])}  # pyright: ignore[reportPrivateUsage]
    assert await exchanges.get(postgres, rows[2].id) == rows[2]


async def test_a_week_that_began_without_its_partition_stays_where_it_is(
    postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    far = DAY + 60 * WEEK
    await _log(postgres, _at(far))
    done = await retention.tidy(postgres, far)
    assert done.made == 3 * partitions.AHEAD
    assert caplog.text.count("stays in the default partition") == 3
    await _log(postgres, _at(far + 1), _at(far + WEEK))
    assert await _times(postgres) == [far, far + 1, far + WEEK]
    assert (await retention.tidy(postgres, far + 3 * WEEK, 1)).rows == 2
    assert await _times(postgres) == []


async def test_what_a_week_without_its_partition_has_of_others_goes_too(postgres: Database) -> None:
    far = DAY + 60 * WEEK
    await _log(postgres, exchange(0, id=new_id("req", far, _rng), created_at=far, attempts=[]))
    assert (await retention.tidy(postgres, far)).made == 3 * partitions.AHEAD + 2
    await _log(postgres, _at(far + 1))
    await retention.tidy(postgres, far + 3 * WEEK, 1)
    assert await _times(postgres) == []
    # `_ends` wants the same weeks of all three tables.
    assert min(await _ends(postgres)) > far + WEEK


def _settings_on(database: Database, tmp_path: Path, **sections: Any) -> Settings:
    settings = settings_in(tmp_path)
    url = SecretUrl(database.url.render_as_string(hide_password=False))
    return replace(settings, database=replace(settings.database, url=url), **sections)


async def _keep_tidy(settings: Settings, until: asyncio.Event, *, clock: float = DAY) -> None:
    """Have a gateway tidy up whose clock shows that, until it is enough."""
    kept = Records(settings, wall=lambda: clock, monotonic=lambda: 0.0)
    kept.migrated.set()
    keeping = asyncio.create_task(kept.keep_tidy())
    async with asyncio.timeout(30):
        await until.wait()
    keeping.cancel()
    await asyncio.wait([keeping])
    await kept.database.dispose()


def _watched(name: str, monkeypatch: pytest.MonkeyPatch, *, times: int) -> tuple[list[Any], asyncio.Event]:
    """What each call of a function of `retention` comes to, and when it was called so often."""
    done, enough, function = list[Any](), asyncio.Event(), getattr(retention, name)

    async def called(*arguments: Any, **named: Any) -> Any:
        done.append(await function(*arguments, **named))
        if len(done) == times:
            enough.set()
        return done[-1]

    monkeypatch.setattr(retention, name, called)
    return done, enough


async def test_a_time_that_fails_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int | None] = []
    tidied = asyncio.Event()

    async def tidy(_database: Database, now: float, keep_days: int | None, *, forget_by: float) -> Tidied:
        assert now == forget_by == DAY
        asked.append(keep_days)
        if len(asked) < 3:
            raise (StoreUnavailable("away"), ZeroDivisionError())[len(asked) - 1]
        tidied.set()
        return Tidied()

    async def last(_database: Database) -> None:
        return None

    async def keep(_database: Database, _at: float) -> None:
        pass

    monkeypatch.setattr(retention, "tidy", tidy)
    monkeypatch.setattr(reckoned, "last", last)
    monkeypatch.setattr(reckoned, "keep", keep)
    monkeypatch.setattr("gateway.records._TIDY_EVERY", 0.0)
    settings = settings_in(tmp_path)
    await _keep_tidy(replace(settings, request_log=replace(settings.request_log, retention_days=9)), tidied)
    assert asked[:3] == [9, 9, 9]
    assert caplog.text.count("the log was not tidied") == 2


async def test_administrative_acts_go_when_the_configuration_says_so(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await audit.add(database, [Act(id=f"act_{day}", at=DAY - day * 86_400, actor="a", action="b") for day in range(5)])
    done, once = _watched("tidy_acts", monkeypatch, times=1)
    await _keep_tidy(_settings_on(database, tmp_path, audit=AuditSettings(retention_days=2)), once)
    left = (await audit.listed(database, audit.Wanted(), cursor=None, limit=50)).items
    assert ([act.id for act in left], done) == (["act_0", "act_1", "act_2"], [2])


@pytest.mark.parametrize("kept_before", [False, True])
async def test_what_a_clock_says_that_has_jumped_is_not_forgotten_by(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_before: bool
) -> None:
    """It starts a year ahead, as after a dead battery: room is made for those weeks, and nothing goes."""
    await _log(database, *(_at(DAY + hour * 3_600.0) for hour in range(3)))
    if kept_before:
        # Nor after a second start, when the first has written a request that is of next year.
        await Remembering(database, wall=lambda: DAY + 8_000.0, monotonic=lambda: 0.0).look()
        await retention.tidy(database, DAY + 400 * 86_400.0)
        await _log(database, _at(DAY + 400 * 86_400.0))
    monkeypatch.setattr("gateway.records._TIDY_EVERY", 0.01)
    clock = DAY + 400 * 86_400.0
    done, twice = _watched("tidy", monkeypatch, times=2)
    settings = _settings_on(database, tmp_path, request_log=RequestLog(retention_days=30, spill_dir=tmp_path / "spill"))
    await _keep_tidy(settings, twice, clock=clock)
    assert (len(await _times(database)), sum(one.dropped + one.rows for one in done)) == (3 + kept_before, 0)
    # By the same clock it would all have gone.
    await retention.tidy(database, clock, 30)
    assert len(await _times(database)) == kept_before


async def test_one_process_at_a_time(postgres: Database) -> None:
    far = DAY + 60 * WEEK
    async with postgres.write() as other:
        await other.execute(text(f"SELECT pg_advisory_xact_lock({retention._LOCK})"))  # pyright: ignore[reportPrivateUsage]
        assert await retention.tidy(postgres, far, 1) == Tidied()
    assert (await retention.tidy(postgres, far)).made > 0


async def test_a_long_query_is_not_waited_for_and_the_next_time_will_do(postgres: Database) -> None:
    old = DAY - 60 * WEEK
    await retention.tidy(postgres, old)
    await _log(postgres, _at(old))
    async with postgres.read() as reader:
        await reader.execute(text("SELECT count(*) FROM exchanges"))
        with pytest.raises(StoreUnavailable, match="lock"):
            await retention.tidy(postgres, DAY, 1)
        await _log(postgres, _at(old + 1))
        assert await _times(postgres) == [old, old + 1]
    assert (await retention.tidy(postgres, DAY, 1)).dropped > 0
    assert await _times(postgres) == []


@given(st.integers(0, 2**45), st.integers(0, 2**31))
def test_ids_of_a_moment_lie_between_its_bounds(milliseconds: int, seed: int) -> None:
    one = new_id("req", milliseconds / 1000, random.Random(seed))
    assert earliest_id("req", milliseconds / 1000) < one < earliest_id("req", (milliseconds + 2) / 1000)


@given(st.floats(0, 4e9))
def test_a_week_begins_on_the_last_monday(seconds: float) -> None:
    monday = partitions.week_of(seconds)
    assert monday <= seconds < monday + WEEK
    assert datetime.fromtimestamp(monday, UTC).strftime("%a %H:%M:%S") == "Mon 00:00:00"


async def test_a_session_goes_so_many_days_after_its_last_turn(database: Database) -> None:
    async def begin(tenant: str, name: str, *ages: float) -> None:
        for age in ages:
            said = [{"role": "user", "content": "x"}]
            await sessions.append(database, tenant, name, said, now=DAY - age * 86_400, keep=9)

    await begin("a", "old", 40, 31)
    await begin("a", "held", 40, 29)
    await begin("b", "old", 40, 1)
    for number in range(3):
        await begin("c", f"old {number}", 50)
    assert await retention.tidy_sessions(database, DAY, None) == 0
    assert await retention.tidy_sessions(database, DAY, 30) == 4
    assert await retention.tidy_sessions(database, DAY, 30) == 0
    left = [await sessions.load(database, tenant, name) for tenant, name in (("a", "old"), ("a", "held"), ("b", "old"))]
    assert [one is None for one in left] == [True, False, False]


async def test_a_gateway_forgets_sessions_as_its_settings_say(database: Database, url: str, tmp_path: Path) -> None:
    now = DAY + 40 * 86_400
    for name, at in (("old", DAY), ("young", now - 5)):
        await sessions.append(database, "a", name, [{"role": "user", "content": "x"}], now=at, keep=9)
    base = settings_in(tmp_path)
    settings = replace(
        base,
        database=replace(base.database, url=SecretUrl(url)),
        sessions=replace(base.sessions, retention_days=30),
    )
    records = Records(settings, wall=lambda: now, monotonic=lambda: 0.0)
    await reckoned.keep(records.database, now)
    records.migrated.set()
    tidying = asyncio.create_task(records.keep_tidy())
    async with asyncio.timeout(20):
        while await sessions.load(database, "a", "old") is not None:  # noqa: ASYNC110 - it has no event to give
            await asyncio.sleep(0.01)
    tidying.cancel()
    assert await sessions.load(database, "a", "young") is not None
    await records.database.dispose()
