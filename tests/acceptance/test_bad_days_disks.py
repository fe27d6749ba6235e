"""Disks that are full: everybody is answered, and what waits in memory is in the log when there is room again."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Generator
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from gateway.settings import SecretUrl, Settings
from gateway.store.engine import parse_url
from tests.acceptance.bad_days import a_crowd, a_day_beside, callers, impatient, until_seen
from tests.acceptance.bad_processes import until_logged
from tests.chaos.services import NoSmallDisk, SmallDisk, a_small_disk


@pytest.fixture
def disk() -> Generator[SmallDisk]:
    try:
        with a_small_disk(24) as made:
            yield made
    except NoSmallDisk as exc:
        pytest.skip(f"no small disk can be mounted here: {exc}")


async def _fills_and_is_emptied(disk: SmallDisk, url: str, spill: Path, folder: Path, *, waits: str) -> None:
    """`waits` counts the rows that are neither lost nor in the database meanwhile."""

    def there(settings: Settings) -> Settings:
        return replace(
            impatient(settings),
            database=replace(settings.database, url=SecretUrl(url)),
            request_log=replace(settings.request_log, spill_dir=spill),
        )

    async with a_day_beside(folder, there) as day:
        page = f"{day.url}/api/health"
        async with callers() as session, a_crowd(day.url, pace=40, at_most=600) as crowd:
            await until_seen(session, page, lambda found: found["services"]["log"]["written"] > 10)
            await asyncio.to_thread(disk.fill)
            sick = await until_seen(session, page, lambda found: found["services"]["log"][waits] > 20)
            assert sick["status"] == "degraded"
            disk.empty()
            await crowd.more(10)
        assert not crowd.bad
        ids = {one.id for one in crowd.answers}
        assert set(await until_logged(url, ids)) == ids
        async with callers() as session:
            well = await until_seen(session, page, lambda found: found["status"] == "healthy")
        assert well["services"]["log"]["dropped"] == 0


async def test_the_only_disk_is_full_and_no_row_is_lost(disk: SmallDisk, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{disk.folder}/steelyard.db"
    await _fills_and_is_emptied(disk, url, disk.folder / "spill", tmp_path, waits="queue")


async def test_the_disk_of_postgresql_is_full_and_no_row_is_lost(disk: SmallDisk, server: str, tmp_path: Path) -> None:
    place = disk.folder / "tables"
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, "pgserver")  # as whom the wheel runs it then
    where = parse_url(server)
    connection = await asyncpg.connect(host=where.query["host"], user=where.username, database=where.database)
    try:
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        await connection.execute("CREATE DATABASE small TABLESPACE small")
        url = where.set(database="small").render_as_string(hide_password=False)
        await _fills_and_is_emptied(disk, url, tmp_path / "spill", tmp_path, waits="spilled")
    finally:
        await connection.execute("DROP DATABASE IF EXISTS small WITH (FORCE)")
        await connection.execute("DROP TABLESPACE IF EXISTS small")
        await connection.close()
