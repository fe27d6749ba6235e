"""The durable path: no accepted row is lost, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from store_faults import Proxy, exchange

from gateway.store import exchanges, migrate
from gateway.store.engine import Database
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.request_log import LogLimits, RequestLog
from gateway.store.spill import read_segment

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]

#: Quick to flush, to give up and to look again.
QUICK = LogLimits(flush_seconds=0.01, write_deadline=0.2, probe_first=0.01, probe_longest=0.05)
#: Where the database is well throughout: a batch that a busy machine makes late would go to the spill, rightly.
PATIENT = LogLimits(flush_seconds=0.01, write_deadline=30.0)
_ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def _logging(url: str, spill: Path, limits: LogLimits = QUICK) -> AsyncGenerator[RequestLog]:
    database = Database(url)
    log = RequestLog(database, spill, limits)
    await log.start()
    try:
        yield log
    finally:
        await log.close()
        await database.dispose()


async def _count(url: str) -> int:
    database = Database(url)
    async with database.read() as connection:
        found: int = (await connection.execute(text("SELECT count(*) FROM exchanges"))).scalar_one()
    await database.dispose()
    return found


async def _stored(url: str, identity: str) -> ExchangeRecord | None:
    database = Database(url)
    try:
        return await exchanges.get(database, identity)
    finally:
        await database.dispose()


def _segments(spill: Path) -> list[Path]:
    return sorted(spill.rglob("*.spill"))


async def test_rows_arrive_and_the_spill_stays_empty(url: str, tmp_path: Path) -> None:
    async with _logging(url, tmp_path / "spill", PATIENT) as log:
        assert all(log.offer(exchange(n)) for n in range(1_200))
        await log.flush()
        assert await _count(url) == 1_200
        stats = log.stats()
    assert (stats.written, stats.spilled, stats.dropped, stats.queue, stats.database) == (1_200, 0, 0, 0, "up")
    assert _segments(tmp_path) == []


async def test_a_flush_waits_for_what_was_offered_before_it_and_for_nothing_else(url: str, tmp_path: Path) -> None:
    async with _logging(url, tmp_path / "spill", PATIENT) as log:

        async def keep_coming() -> None:
            for n in count(1):
                log.offer(exchange(n))
                await asyncio.sleep(0.001)

        coming = asyncio.create_task(keep_coming())
        await asyncio.sleep(0.1)
        log.offer(exchange(0))
        async with asyncio.timeout(30):
            await log.flush()
        assert await _stored(url, "req_00000000") is not None
        coming.cancel()


async def test_a_row_written_twice_is_there_once_and_the_first_one_stays(url: str, tmp_path: Path) -> None:
    async with _logging(url, tmp_path / "spill", PATIENT) as log:
        log.offer(exchange(1, request_body=b"first"))
        await log.flush()
        for record in (exchange(1, request_body=b"second", attempts=[]), exchange(2)):
            log.offer(record)
        await log.flush()
        assert log.stats().dropped == 0
    assert await _count(url) == 2
    assert await _stored(url, "req_00000001") == exchange(1, request_body=b"first")


async def test_closing_puts_what_is_in_memory_into_the_database(url: str, tmp_path: Path) -> None:
    async with _logging(url, tmp_path / "spill", LogLimits(flush_seconds=3600)) as log:
        for n in range(10):
            log.offer(exchange(n))
        assert log.stats().queue == 10
    assert await _count(url) == 10
    assert not log.offer(exchange(11))
    assert log.stats().dropped == 1


async def test_a_poisoned_row_is_counted_and_told_and_holds_up_nobody(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with _logging(url, tmp_path / "spill", PATIENT) as log:
        bad: list[dict[str, Any]] = [{"input_tokens": 2**70}, {"provider": 5}, {"created_at": 1e20}, {"surface": None}]
        for n in range(100):
            log.offer(exchange(n, **(bad[n // 25] if n % 25 == 7 else {})))
        await log.flush()
        stats = log.stats()
    assert (stats.written, stats.dropped, stats.spilled, stats.database) == (96, 4, 0, "up")
    assert await _count(url) == 96
    told = {record.__dict__["request_id"] for record in caplog.records if "request_id" in record.__dict__}
    assert told == {"req_00000007", "req_00000032", "req_00000057", "req_00000082"}


async def test_nothing_a_caller_sends_keeps_its_row_out_of_the_log(url: str, tmp_path: Path) -> None:
    hostile = "a\0b\ud800" + "ü" * 10_000
    record = exchange(
        1,
        requested_model=hostile,
        model=hostile,
        key_name=hostile,
        end_user=hostile,
        error_message=hostile,
        tags={hostile: [hostile, {"x": float("nan"), "o": object(), "f": "\\u0000"}]},
        attempts=[AttemptRecord(seq=0, provider="p", model=hostile, outcome="ok", message=hostile)],
    )
    async with _logging(url, tmp_path / "spill", PATIENT) as log:
        log.offer(record)
        log.offer(exchange(2, tags={"big": "x" * 100_000}))
        await log.flush()
        assert log.stats().written == 2
    found = await _stored(url, "req_00000001")
    assert found is not None
    assert found.model == "a\ufffdb?" + "ü" * 252
    assert found.tags == {
        "a\ufffdb?" + "ü" * 10_000: ["a\ufffdb?" + "ü" * 10_000, {"x": None, "o": "<object>", "f": "\\u0000"}]
    }
    other = await _stored(url, "req_00000002")
    assert other is not None
    assert other.tags == {"omitted": True, "length": 100_010}


async def test_a_full_queue_overflows_to_the_disk_and_offer_still_says_yes(
    url: str, tmp_path: Path, eventually: Eventually
) -> None:
    limits = LogLimits(flush_seconds=0.01, write_deadline=30.0, queue_rows=10, queue_bytes=10_000)
    async with _logging(url, tmp_path / "spill", limits) as log:
        assert all(log.offer(exchange(n)) for n in range(50))  # no await: the writer cannot take any
        assert log.stats().spilled == 40
        await log.flush()
        assert all(log.offer(exchange(100 + n, request_body=b"x" * 6_000)) for n in range(2))
        assert log.stats().spilled == 41
        await eventually(lambda: log.stats().replayed == 41)
        assert log.stats().dropped == 0
    assert await _count(url) == 52


async def test_without_room_anywhere_rows_are_refused_and_counted(url: str, tmp_path: Path) -> None:
    async with _logging(url, tmp_path / "spill", LogLimits(queue_rows=1, spill_bytes=600)) as log:
        taken = [log.offer(exchange(n)) for n in range(10)]
        assert taken[:2] == [True, True]
        assert taken[-1] is False
        assert log.stats().dropped == taken.count(False)
        assert "spill" in (log.stats().last_error or "")


async def test_a_full_disk_while_the_database_is_away_costs_no_row_while_memory_lasts(
    proxied_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually
) -> None:
    await proxy.cut()
    limits = LogLimits(flush_seconds=0.01, write_deadline=0.2, probe_first=0.01, probe_longest=0.05, spill_bytes=2_000)
    async with _logging(proxied_url, tmp_path / "spill", limits) as log:
        for n in range(12):
            assert log.offer(exchange(n))
            await log.flush()
        stats = log.stats()
        assert (stats.dropped, stats.spilled + stats.queue) == (0, 12)
        assert stats.queue > 0
        assert "spill" in (stats.last_error or "")
        await proxy.heal()
        await eventually(lambda: not _segments(tmp_path) and log.stats().database == "up")
        log.offer(exchange(12))
        await eventually(lambda: log.stats().queue == 0)
        assert log.stats().dropped == 0
    assert await _count(proxied_url) == 13


async def test_when_memory_is_full_as_well_rows_are_lost_that_are_counted_and_nothing_else(
    proxied_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually
) -> None:
    await proxy.cut()
    limits = LogLimits(
        flush_seconds=0.01, write_deadline=0.2, probe_first=0.01, probe_longest=0.05, spill_bytes=2_000, queue_rows=3
    )
    async with _logging(proxied_url, tmp_path / "spill", limits) as log:
        taken: list[bool] = []
        for n in range(20):
            taken.append(log.offer(exchange(n)))
            await log.flush()
        stats = log.stats()
        assert 0 < stats.dropped == taken.count(False)
        assert stats.spilled + stats.queue + stats.dropped == 20
        await proxy.heal()
        await eventually(lambda: not _segments(tmp_path) and log.stats().queue == 0)
        assert log.offer(exchange(20))
        await log.flush()
        assert log.stats().dropped == stats.dropped
    assert await _count(proxied_url) == taken.count(True) + 1


async def test_what_stays_in_memory_outlives_a_kill(
    proxied_url: str, proxy: Proxy, postgres_url: str, tmp_path: Path, eventually: Eventually
) -> None:
    await proxy.cut()
    limits = LogLimits(flush_seconds=0.01, write_deadline=0.2, probe_first=0.01, spill_bytes=600)
    async with _logging(proxied_url, tmp_path / "spill", limits) as log:
        for n in range(12):
            log.offer(exchange(n))
            await log.flush()
        assert log.stats().queue > 0
        # As it lies there now, with nobody who holds the lock any more.
        shutil.copytree(tmp_path / "spill", tmp_path / "left")
        await log.close(within=0.05)
    async with _logging(postgres_url, tmp_path / "left", PATIENT) as heir:
        await eventually(lambda: heir.stats().replayed >= 12 and not _segments(tmp_path / "left"))
    assert await _count(postgres_url) == 12


async def test_what_cannot_be_kept_anywhere_at_the_end_is_counted(
    proxied_url: str, proxy: Proxy, tmp_path: Path
) -> None:
    await proxy.cut()
    limits = LogLimits(flush_seconds=0.01, write_deadline=0.2, probe_first=0.01, spill_bytes=1)
    async with _logging(proxied_url, tmp_path / "spill", limits) as log:
        for n in range(3):
            log.offer(exchange(n))
        await log.flush()
        await log.close(within=0.05)
        assert (log.stats().dropped, log.stats().spilled) == (3, 0)


async def test_a_read_only_database_is_no_database_until_it_takes_rows(
    postgres_url: str, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    await _read_only(postgres_url, "on")
    try:
        async with _logging(postgres_url, tmp_path / "spill") as log:
            for n in range(5):
                log.offer(exchange(n))
                await log.flush()
            # It answers all along: several looks later it is still not taken for one that is back.
            looks = caplog.text.count
            await eventually(lambda: log.stats().spilled == 5)
            await asyncio.sleep(0.3)
            assert (log.stats().database, log.stats().dropped) == ("away", 0)
            assert (looks("the database is away"), looks("the database is back")) == (1, 0)
            await _read_only(postgres_url, "off")
            await eventually(lambda: log.stats().replayed == 5 and log.stats().database == "up")
    finally:
        await _read_only(postgres_url, "off")
    assert await _count(postgres_url) == 5


async def _read_only(url: str, word: str) -> None:
    """Of sessions that begin from now on, the log's too: those that are open are ended."""
    database = Database(url)
    name = str(database.url.database)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
    async with database.read() as connection:
        await connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"))
        await connection.commit()
        await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {word}'))
        await connection.execute(text(others), {"name": name})
        await connection.commit()
    await database.dispose()


async def test_a_defect_in_the_writer_is_told_and_rows_go_to_the_disk(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    async with _logging(url, tmp_path / "spill", LogLimits(flush_seconds=0.01, queue_rows=2)) as log:

        def fail() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(log, "_take", fail)
        log.offer(exchange(0))
        await eventually(lambda: "request log's task ended" in caplog.text)
        assert all(log.offer(exchange(n)) for n in range(1, 5))
        await eventually(lambda: log.stats().replayed == 3)
    async with _logging(url, tmp_path / "spill", PATIENT) as log:
        await eventually(lambda: not _segments(tmp_path))
    assert await _count(url) == 5


async def test_an_unusable_spill_folder_does_not_stop_the_log(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with _logging(url, tmp_path / "file" / "spill", PATIENT) as log:
        assert log.stats().last_error is not None
        log.offer(exchange(1))
        await log.flush()
        assert log.stats().written == 1


async def test_starting_without_a_database_loses_nothing(
    proxied_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually
) -> None:
    await proxy.cut()
    async with _logging(proxied_url, tmp_path / "spill") as log:
        for n in range(1_000):
            log.offer(exchange(n))
        await log.flush()
        stats = log.stats()
        assert (stats.spilled, stats.database, stats.dropped) == (1_000, "away", 0)
        await proxy.heal()
        await eventually(lambda: log.stats().replayed == 1_000)
        await eventually(lambda: not _segments(tmp_path))
        assert log.stats().spill_bytes == 0
        log.offer(exchange(1_000))
        await log.flush()
        assert log.stats().written == 1
    assert await _count(proxied_url) == 1_001


async def test_a_database_cut_off_again_and_again_loses_and_doubles_nothing(
    proxied_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually
) -> None:
    async with _logging(proxied_url, tmp_path / "spill") as log:
        for n in range(1_500):
            log.offer(exchange(n))
            if n % 250 == 120:
                await proxy.cut()
            elif n % 250 == 240:
                await proxy.heal()
            if n % 20 == 0:
                await log.flush()
        await proxy.heal()
        await eventually(lambda: not _segments(tmp_path))
        assert log.stats().dropped == 0
    assert await _count(proxied_url) == 1_500


async def test_rows_reach_the_disk_while_the_database_hangs(
    proxied_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually
) -> None:
    async with _logging(proxied_url, tmp_path / "spill") as log:
        log.offer(exchange(0))
        await log.flush()
        proxy.hang()
        for n in range(1, 11):
            log.offer(exchange(n))
        await log.flush()  # ends although the server is still silent
        assert (log.stats().spilled, log.stats().database) == (10, "away")
        on_disk = [payload for segment in _segments(tmp_path) for payload in read_segment(segment)[0]]
        assert len(on_disk) == 10
        log.offer(exchange(11))
        await log.flush()
        assert log.stats().spilled == 11
        await proxy.heal()
        await eventually(lambda: log.stats().replayed >= 11 and not _segments(tmp_path))
    assert await _count(proxied_url) == 12


async def test_closing_while_the_database_hangs_leaves_all_on_the_disk_for_the_next_start(
    proxied_url: str, proxy: Proxy, postgres_url: str, tmp_path: Path, eventually: Eventually
) -> None:
    limits = LogLimits(flush_seconds=0.01, write_deadline=3600)
    async with _logging(proxied_url, tmp_path / "spill", limits) as log:
        log.offer(exchange(0))
        await log.flush()
        proxy.hang()
        for n in range(1, 6):
            log.offer(exchange(n))
        await eventually(lambda: log._taken)
        log.offer(exchange(6))
        await log.close(within=0.05)
        assert log.stats().spilled == 6
    async with _logging(postgres_url, tmp_path / "spill") as log:
        await eventually(lambda: log.stats().replayed == 6 and not _segments(tmp_path))
    assert await _count(postgres_url) == 7


async def test_rows_wait_on_the_disk_for_the_tables(empty_url: str, tmp_path: Path, eventually: Eventually) -> None:
    async with _logging(empty_url, tmp_path / "spill") as log:
        log.offer(exchange(1))
        await log.flush()
        assert (log.stats().spilled, log.stats().dropped) == (1, 0)
        await migrate.upgrade(empty_url)
        await eventually(lambda: log.stats().replayed == 1)
    assert await _count(empty_url) == 1


async def test_a_sqlite_file_locked_by_another_program_is_waited_out_on_the_disk(
    tmp_path: Path, eventually: Eventually
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    await migrate.upgrade(url)
    other = Database(url)
    async with _logging(url, tmp_path / "spill") as log:
        async with other.write():
            log.offer(exchange(1))
            await log.flush()
            assert (log.stats().spilled, log.stats().database) == (1, "away")
        await eventually(lambda: log.stats().replayed == 1 and log.stats().database == "up")
    await other.dispose()
    assert await _count(url) == 1


async def test_a_poisoned_row_in_the_spill_does_not_stop_the_replay(
    proxied_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually
) -> None:
    await proxy.cut()
    async with _logging(proxied_url, tmp_path / "spill") as log:
        for n in range(20):
            log.offer(exchange(n, **({"status": 2**40} if n == 5 else {"surface": 5} if n == 6 else {})))
        await log.flush()
        await proxy.heal()
        await eventually(lambda: not _segments(tmp_path))
        assert (log.stats().replayed, log.stats().dropped) == (18, 2)
    assert await _count(proxied_url) == 18


_VICTIM = """
import asyncio, sys
sys.path.insert(0, "tests/stores")
from pathlib import Path
from store_faults import exchange
from gateway.store.engine import Database
from gateway.store.request_log import LogLimits, RequestLog

async def main(url, spill, limits=LogLimits(flush_seconds=0.05, write_deadline=0.2, batch_rows=50)):
    log = RequestLog(Database(url), Path(spill), limits)
    await log.start()
    for n in range(10**9):
        assert log.offer(exchange(n))
        if n % 100 == 99:
            await log.flush()
            print(n + 1, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("database", ["up", "hanging"])
async def test_a_killed_process_leaves_every_flushed_row(
    proxied_url: str, postgres_url: str, proxy: Proxy, tmp_path: Path, eventually: Eventually, database: str
) -> None:
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, proxied_url, str(tmp_path / "spill"), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert victim.stdout is not None
    flushed = 0
    for _ in range(3):
        flushed = int(await victim.stdout.readline())
    if database == "hanging":
        proxy.hang()
        for _ in range(6):
            flushed = int(await victim.stdout.readline())
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    if database == "hanging":
        assert _segments(tmp_path)
    async with _logging(postgres_url, tmp_path / "spill") as log:
        await eventually(lambda: not _segments(tmp_path))
        assert log.stats().dropped == 0
    wanted = {f"req_{n:08d}" for n in range(flushed)}
    reader = Database(postgres_url)
    async with reader.read() as connection:
        there = set((await connection.execute(text("SELECT id FROM exchanges"))).scalars())
    await reader.dispose()
    assert wanted - there == set()
