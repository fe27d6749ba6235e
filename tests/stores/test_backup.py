"""A backup of either engine becomes a database of either engine again, whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import math
import os
import random
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Double, Integer, LargeBinary, Table, func, insert, select, text
from sqlalchemy.types import JSON
from store_faults import DAY

from gateway.identity import new_id
from gateway.store import migrate, partitions
from gateway.store.backup import form, restoring, writing
from gateway.store.backup.form import FileTrouble, NoBackup, Reader
from gateway.store.backup.restoring import NotEmpty
from gateway.store.backup.writing import back_up, kept_tables
from gateway.store.beside import name_of
from gateway.store.engine import Database
from gateway.store.errors import SchemaUnknown, StoreUnavailable
from gateway.store.tables import Money, UtcDateTime, dwa_snapshots, exchanges
from gateway.store.workflow_tables import artifacts, executions, executors, step_executions
from gateway.workflows.files import Folder

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_ODD = "“Grüße”,\n\ttabs \\ and 🦜"


def _quiet(_doing: str, _done: int, _total: int) -> None:
    pass


def _value(column: Column[Any], number: int) -> Any:
    """A value that is hard on whoever writes it down; every third one is none, where none may be."""
    if column.nullable and number % 3 == 0:
        return None
    match column.type:
        case UtcDateTime():
            return _NOW - timedelta(days=number, microseconds=number + 1)
        case Money():
            return Decimal(number + 1).scaleb(-10) + number * 7
        case JSON():
            return [{"deep": [_ODD, 1.5, None, True, 2**40]}, {}, [], 0.1][number % 4]
        case Boolean():
            return number % 2 == 0
        case Double():
            return [math.inf, 1 / 3, 1e-300, 0.0][number % 4]
        case Integer():
            return number + 1
        case LargeBinary():
            return bytes(range(256)) * (number + 1)
        case _:
            return f"{column.name} {number} {_ODD}"


def _rows(table: Table, count: int) -> list[dict[str, Any]]:
    rows = [{column.name: _value(column, number) for column in table.columns} for number in range(count)]
    for number, row in enumerate(rows):
        if table is exchanges:
            row["id"] = f"req_{number}"
        if table.name == "feedback":
            row["request_id"] = f"req_{number}"
        if table.name == "reckoned":
            row["id"] = 1
        if table is artifacts:
            row["path"] = f"database/exec{number}/artifact{number}"
        if table is executions:
            row["status"] = "completed"
    return rows[:1] if table.name == "reckoned" else rows


async def _fill(database: Database, count: int = 7) -> None:
    async with database.write() as connection:
        for table in kept_tables():
            await connection.execute(insert(table), _rows(table, count))


async def _whole(database: Database) -> dict[str, list[Any]]:
    """All there is; artifacts without the first name of their paths, which is the database's."""
    found: dict[str, list[Any]] = {}
    async with database.read() as connection:
        for table in kept_tables():
            rows = [dict(row._mapping) for row in (await connection.execute(select(table))).all()]
            for row in rows:
                if table is artifacts:
                    row["path"] = row["path"].partition("/")[2]
            found[table.name] = sorted(map(repr, rows))
    return found


async def _backed_up(url: str, place: Path, files: Any = None) -> writing.Written:
    return await back_up(url, place, files, steelyard="1.2.3", now=_NOW, tell=_quiet)


async def _restored(url: str, place: Path, folder: Path, *, replace: bool = False) -> restoring.Restored:
    files = Folder(folder, name_of(url))
    return await restoring.restore(url, place, files, replace=replace, now=_NOW.timestamp(), tell=_quiet)


@pytest.fixture
def make(server: Any, tmp_path: Path) -> Callable[[str], str]:
    """The address of a new database of that kind, without a schema."""
    made = [0]

    def address(kind: str) -> str:
        made[0] += 1
        if kind == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path}/{made[0]}/steelyard.db"
        with ThreadPoolExecutor(1) as elsewhere:  # it runs a loop of its own
            return str(elsewhere.submit(server.create).result())

    return address


@pytest.fixture
async def opened() -> AsyncGenerator[Callable[[str], Database]]:
    known: list[Database] = []

    def open_(url: str) -> Database:
        known.append(Database(url))
        return known[-1]

    yield open_
    for one in known:
        await one.dispose()


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
async def test_every_column_of_every_table_survives_from_either_engine_to_either(
    source: str, to: str, make: Callable[[str], str], opened: Callable[[str], Database], tmp_path: Path
) -> None:
    first, second, place = make(source), make(to), tmp_path / "b.backup"
    await migrate.upgrade(first)
    before = opened(first)
    await _fill(before)
    told = await _backed_up(first, place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert [name for name in os.listdir(tmp_path) if "part" in name] == []
    done = await _restored(second, place, tmp_path / "files")
    after = opened(second)
    assert await _whole(after) == await _whole(before)
    assert (done.rows, done.files, told.bytes) == (told.rows, 0, place.stat().st_size)
    assert await migrate.current(second) == migrate.head()
    # And rows can be added: PostgreSQL's own numbers go on behind those that came.
    async with after.write() as connection:
        await connection.execute(insert(dwa_snapshots), {"at": _NOW, "state": {}, "weights": {}})
        assert (await connection.execute(select(func.max(dwa_snapshots.c.id)))).scalar() == 8


async def test_a_backup_is_of_one_moment_though_others_write(
    database: Database, url: str, opened: Callable[[str], Database], tmp_path: Path
) -> None:
    await _fill(database)
    before, done = await _whole(database), asyncio.Event()

    def tell(doing: str, _done: int, _total: int) -> None:
        done.set()

    async def meanwhile() -> None:
        await done.wait()
        async with database.write() as connection:
            # Children of rows whose table was read already, and of one that is read last.
            row = _rows(exchanges, 9)[-1]
            await connection.execute(insert(exchanges), row)
            await connection.execute(text("DELETE FROM keys"))

    writes = asyncio.create_task(meanwhile())
    place = tmp_path / "b.backup"
    await back_up(url, place, None, steelyard="1", now=_NOW, tell=tell)
    await writes
    assert await _whole(database) != before
    other = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    await _restored(other, place, tmp_path)
    assert await _whole(opened(other)) == before


async def _pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def test_files_of_artifacts_go_along_to_the_place_of_the_new_database(
    database: Database, url: str, opened: Callable[[str], Database], tmp_path: Path
) -> None:
    files, place = Folder(tmp_path / "old", name_of(url)), tmp_path / "b.backup"
    rows = _rows(artifacts, 3)
    for row, data in zip(rows, (b"", os.urandom(700_000), None), strict=True):
        row["path"], row["size"] = files.path("exec1", row["id"].split()[0] + str(rows.index(row))), len(data or b"")
        if data is not None:
            await files.write(row["path"], _pieces(data))
    async with database.write() as connection:
        await connection.execute(insert(artifacts), rows)
    done = await _backed_up(url, place, files)
    assert (done.files, done.missing) == (2, [rows[2]["path"]])
    other = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    restored = await _restored(other, place, tmp_path / "new")
    assert restored.files == 2
    new, after = Folder(tmp_path / "new", name_of(other)), opened(other)
    async with after.read() as connection:
        paths = (await connection.execute(select(artifacts.c.path).order_by(artifacts.c.id))).scalars().all()
    assert all(path.startswith(name_of(other) + "/") for path in paths)
    for path, was in zip(paths[:2], rows, strict=False):
        assert [b"".join([one async for one in new.read(path)])] == [
            b"".join([one async for one in files.read(was["path"])])
        ]


async def _with_a_file(database: Database, files: Folder, data: bytes, size: int) -> str:
    """An artifact of so many bytes, as its row says; its path."""
    path = files.path("exec1", "one")
    await files.write(path, _pieces(data))
    async with database.write() as connection:
        await connection.execute(insert(artifacts), [{**_rows(artifacts, 1)[0], "path": path, "size": size}])
    return path


async def test_a_file_that_is_not_as_long_as_its_row_says_keeps_no_backup_from_being_restored(
    database: Database, url: str, tmp_path: Path
) -> None:
    files, place = Folder(tmp_path / "old", name_of(url)), tmp_path / "b.backup"
    await _with_a_file(database, files, b"cut of", 7)
    await _backed_up(url, place, files)
    other = f"sqlite+aiosqlite:///{tmp_path}/other.db"
    assert (await _restored(other, place, tmp_path / "new")).files == 1


@pytest.mark.parametrize("replace", [False, True])
async def test_a_restore_that_fails_late_leaves_the_files_that_were_there_and_no_others(
    database: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    files, place = Folder(tmp_path / "files", name_of(url)), tmp_path / "b.backup"
    path = await _with_a_file(database, files, b"whole", 5)
    await _backed_up(url, place, files)
    target = url if replace else f"sqlite+aiosqlite:///{tmp_path}/other.db"
    # Of a restore that was killed amid it.
    half = tmp_path / "files" / name_of(target) / "exec1" / "one.part"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"who")

    async def away(_connection: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(restoring, "_count_on", away)
    with pytest.raises(StoreUnavailable):
        await _restored(target, place, tmp_path / "files", replace=replace)
    assert [one.name for one in half.parent.glob("*")] == (["one"] if replace else [])
    assert [b"".join([one async for one in files.read(path)])] == [b"whole"]


async def test_what_was_under_way_is_queued_anew_and_what_it_came_to_stays(
    database: Database, url: str, make: Callable[[str], str], opened: Callable[[str], Database], tmp_path: Path
) -> None:
    [row, *_] = _rows(executions, 1)
    running = {**row, "id": "exec_1", "status": "running", "owner": "dead:1", "attempt": 2, "last_seq": 4}
    [step, *_] = _rows(step_executions, 1)
    steps = [
        {**step, "id": name, "node_id": name, "execution_id": "exec_1", "status": status, "output": {"was": name}}
        for name, status in (("paid", "succeeded"), ("cut", "running"))
    ]
    async with database.write() as connection:
        await connection.execute(insert(executions), running)
        await connection.execute(insert(step_executions), steps)
        beat = {"id": "here", "host": "h", "pid": 1, "started_at": _NOW, "beat_at": _NOW, "claimed_at": None}
        await connection.execute(insert(executors), beat)
    await _backed_up(url, tmp_path / "b.backup")
    other = make("sqlite")
    done = await _restored(other, tmp_path / "b.backup", tmp_path)
    assert done.queued == 1
    async with opened(other).read() as connection:
        found = (await connection.execute(select(executions))).one()
        assert (found.status, found.attempt, found.owner) == ("pending", 3, None)
        states = (await connection.execute(select(step_executions.c.id, step_executions.c.status))).all()
        assert sorted(map(tuple, states)) == [("cut", "pending"), ("paid", "succeeded")]
        assert (await connection.execute(select(executors))).all() == []


async def test_old_requests_go_to_the_partitions_of_their_weeks(
    postgres_url: str, make: Callable[[str], str], opened: Callable[[str], Database], tmp_path: Path
) -> None:
    rng, weeks = random.Random(1), 9
    rows = _rows(exchanges, weeks)
    for number, row in enumerate(rows):
        at = DAY - number * partitions.WEEK
        row |= {"id": new_id("req", at, rng), "created_at": datetime.fromtimestamp(at, UTC)}
    database = opened(postgres_url)
    async with database.write() as connection:
        await connection.execute(insert(exchanges), rows)
    await _backed_up(postgres_url, tmp_path / "b.backup")
    other = make("postgresql")
    await _restored(other, tmp_path / "b.backup", tmp_path)
    async with opened(other).read() as connection:
        held = await connection.execute(text("SELECT DISTINCT tableoid::regclass::text FROM exchanges"))
        names = set(held.scalars())
    assert len(names) == weeks
    assert "exchanges_default" not in names


# What is refused, and leaves everything as it was


async def test_no_file_is_replaced_and_nothing_is_left_of_a_backup_that_fails(
    database: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "kept"
    place.write_text("precious")
    with pytest.raises(FileExistsError):
        await _backed_up(url, place)
    assert place.read_text() == "precious"
    await _fill(database)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(form.gzip.GzipFile, "write", full)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(FileTrouble, match="No space"):
        await _backed_up(url, tmp_path / "b.backup")
    assert [one for one in sorted(os.listdir(tmp_path)) if one not in before] == []


async def test_a_database_with_rows_is_refused_unless_it_is_to_be_replaced(
    database: Database, url: str, tmp_path: Path
) -> None:
    await _fill(database, 2)
    place, files = tmp_path / "b.backup", tmp_path / "files"
    await _backed_up(url, place)
    async with database.write() as connection:
        await connection.execute(text("DELETE FROM key_sums"))
    changed = await _whole(database)
    with pytest.raises(NotEmpty, match="exchanges"):
        await _restored(url, place, files)
    assert await _whole(database) == changed
    await _restored(url, place, files, replace=True)
    after = await _whole(database)
    assert after != changed
    assert len(after["key_sums"]) == 2


async def test_a_database_that_a_process_runs_on_is_never_restored_into(
    database: Database, url: str, tmp_path: Path
) -> None:
    await _backed_up(url, tmp_path / "b.backup")
    async with database.write() as connection:
        beat = {"id": "here:1", "host": "h", "pid": 1, "started_at": _NOW, "claimed_at": None}
        await connection.execute(insert(executors), {**beat, "beat_at": datetime.now(UTC)})
    for replace in (False, True):
        with pytest.raises(NotEmpty, match="here:1"):
            await _restored(url, tmp_path / "b.backup", tmp_path, replace=replace)


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _flipped(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]


def _without(data: bytes) -> bytes:
    """A row is missing, all else is as it should be."""
    lines = gzip.decompress(data).splitlines(keepends=True)
    gone = next(number for number, line in enumerate(lines) if line.startswith(b'["'))
    return gzip.compress(b"".join(lines[:gone] + lines[gone + 1 :]))


def _endless(data: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def _forged(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b"2026-11-2", b"2026-13-2"))


def _other(_data: bytes) -> bytes:
    return b"no"


def _strange(_data: bytes) -> bytes:
    return gzip.compress(b"{}\n")


_HARMS = (_cut, _flipped, _without, _endless, _forged, _other, _strange)


async def test_of_a_damaged_backup_nothing_is_restored(database: Database, url: str, tmp_path: Path) -> None:
    await _fill(database, 5)
    place = tmp_path / "b.backup"
    await _backed_up(url, place)
    before, whole = await _whole(database), place.read_bytes()
    for harm in _HARMS:
        place.write_bytes(harm(whole))
        with pytest.raises(NoBackup):
            restoring.checked(place, _quiet)
        with pytest.raises(NoBackup):
            await _restored(url, place, tmp_path / "files", replace=True)
        assert await _whole(database) == before


def _aged(place: Path) -> None:
    """Make it what an older version would have written: without what came later."""
    header, *lines = gzip.decompress(place.read_bytes()).splitlines()
    told = json.loads(header)
    old = [one for one in told["tables"] if not one["name"].startswith(("spend_", "reckoned"))]
    kept: list[bytes] = []
    keeping = True
    for line in lines[:-1]:
        if line.startswith(b'{"table"'):
            keeping = json.loads(line)["table"] in {one["name"] for one in old}
        if keeping:
            kept.append(line)
    head = json.dumps({**told, "revision": "0008", "tables": old}).encode()
    whole = b"".join(line + b"\n" for line in (head, *kept))
    rows = sum(line.startswith(b"[") for line in kept)
    end = {"rows": rows, "files": 0, "sha256": hashlib.sha256(whole).hexdigest()}
    place.write_bytes(gzip.compress(whole + json.dumps(end).encode() + b"\n"))


async def test_a_backup_of_an_older_schema_is_brought_up(
    empty_url: str, make: Callable[[str], str], opened: Callable[[str], Database], tmp_path: Path
) -> None:
    await migrate.upgrade(empty_url)
    database, place = opened(empty_url), tmp_path / "b.backup"
    await _fill(database, 3)
    await _backed_up(empty_url, place)
    _aged(place)
    other = make("sqlite")
    await _restored(other, place, tmp_path / "files")
    assert await migrate.current(other) == migrate.head()
    after, before = await _whole(opened(other)), await _whole(database)
    assert after["executions"] == before["executions"]
    # Migration 0009 makes the first sums of what is in the log.
    assert len(after["spend_sums"]) > 0
    assert after["reckoned"] == []


async def test_a_damaged_backup_of_an_older_schema_replaces_nothing(
    database: Database, url: str, tmp_path: Path
) -> None:
    await _fill(database, 3)
    place = tmp_path / "b.backup"
    await _backed_up(url, place)
    _aged(place)
    place.write_bytes(_cut(place.read_bytes()))
    before = await _whole(database)
    with pytest.raises(NoBackup):
        await _restored(url, place, tmp_path / "files", replace=True)
    assert await _whole(database) == before
    assert await migrate.current(url) == migrate.head()


async def test_versions_that_do_not_fit_are_told(url: str, empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaUnknown, match="nothing to back up"):
        await _backed_up(empty_url, tmp_path / "none")
    place = tmp_path / "b.backup"
    await _backed_up(url, place)
    data = gzip.decompress(place.read_bytes())
    place.write_bytes(gzip.compress(data.replace(f'"revision":"{migrate.head()}"'.encode(), b'"revision":"9999"')))
    with pytest.raises(SchemaUnknown, match="9999"):
        await _restored(url, place, tmp_path)
    place.write_bytes(gzip.compress(data.replace(b'"version":1', b'"version":2')))
    with pytest.raises(NoBackup, match="newer version"):
        Reader(place)
    await migrate.downgrade(url, "0008")
    try:
        with pytest.raises(SchemaUnknown, match="steelyard db upgrade"):
            await _backed_up(url, tmp_path / "old")
    finally:
        await migrate.upgrade(url)
