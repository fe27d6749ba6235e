"""`steelyard db backup`, `restore` and `prune`, as an operator runs them, on both engines."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, insert, select, text
from store_faults import exchange

from gateway.cli import backups, main
from gateway.identity import new_id
from gateway.store import exchanges, migrate, retention
from gateway.store.beside import name_of
from gateway.store.engine import Database, PoolSettings
from gateway.store.tables import exchange_sums, responses, sessions
from gateway.store.workflow_tables import artifacts, executions
from gateway.store.writing import Lane
from gateway.workflows.files import Folder

_DAY = 86_400


class Operator:
    """Runs commands in a folder of its own, on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def run(self, *words: str, url: str | None = None, said: str | None = None, **variables: str) -> Result:
        environment = {
            "DATABASE_URL": url or self.url,
            "STEELYARD_ARTIFACTS_DIR": str(self.folder / "artifacts"),
            "COLUMNS": "200",
            **variables,
        }
        return CliRunner().invoke(main, ["db", *words], env=environment, input=said)


@pytest.fixture
def operator(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.chdir(tmp_path)
    return Operator(url, tmp_path)


@pytest.fixture
def own_url(empty_url: str) -> str:
    """A database of its own: partitions outlive the emptying of the shared one."""
    asyncio.run(migrate.upgrade(empty_url))
    return empty_url


@pytest.fixture
def own(own_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.chdir(tmp_path)
    return Operator(own_url, tmp_path)


async def _log(url: str, *ages: float) -> None:
    database, rng = Database(url), random.Random(1)
    lane = Lane(database, deadline=10)
    times = [time.time() - age * _DAY for age in ages]
    assert await lane.store([exchange(0, id=new_id("req", at, rng), created_at=at) for at in times]) == []
    await lane.close()
    await database.dispose()


async def _more(url: str, folder: Path, age: float) -> None:
    """A response, a session and an ended execution with a file, all so many days old."""
    database, at = Database(url), datetime.now(UTC) - timedelta(days=age)
    files = Folder(folder / "artifacts", name_of(url))
    path, name = files.path("exec1", f"artifact{age:g}"), f"x{age:g}"

    async def data() -> AsyncIterator[bytes]:
        yield b"data"

    await files.write(path, data())
    ended: dict[str, Any] = {column.name: None for column in executions.columns}
    ended |= {"id": name, "slug": "s", "version": 1, "status": "completed", "attempt": 1, "nodes": 1, "done": 1}
    ended |= {
        "key_name": "app",
        "depth": 0,
        "cost_usd": Decimal(0),
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_steps": 0,
    }
    ended |= {
        "cached_steps": 0,
        "saved_usd": Decimal(0),
        "created_at": at,
        "completed_at": at,
        "cancel_requested": False,
        "queued_at": at,
    }
    ended |= {"woken": False, "steps_cancelled": False, "last_seq": 0}
    artifact = {"id": name, "execution_id": name, "node_id": "n", "name": "n", "media_type": "text/plain", "size": 4}
    artifact |= {"sha256": "", "path": path, "created_at": at, "item": 0, "attempt": 1}
    async with database.write() as connection:
        response = {"tenant": "app", "id": name, "created_at": at, "input": [], "response": {}}
        await connection.execute(insert(responses), response)
        session = {"tenant": "app", "id": name, "created_at": at, "updated_at": at, "messages": [], "turns": 1}
        await connection.execute(insert(sessions), session)
        await connection.execute(insert(executions), ended)
        await connection.execute(insert(artifacts), artifact)
    await database.dispose()


def _counts(url: str) -> dict[str, int]:
    async def count() -> dict[str, int]:
        database = Database(url)
        tables = (exchanges.exchanges, exchange_sums, responses, sessions, executions, artifacts)
        async with database.read() as connection:
            found = {
                one.name: (await connection.execute(select(func.count()).select_from(one))).scalar_one()
                for one in tables
            }
        await database.dispose()
        return found

    return asyncio.run(count())


def test_a_backup_is_checked_and_restored_into_another_database(operator: Operator, tmp_path: Path) -> None:
    asyncio.run(_log(operator.url, 0, 1, 2))
    asyncio.run(_more(operator.url, tmp_path, 1))
    made = operator.run("backup", "b.backup")
    assert made.exit_code == 0, made.output
    assert "1 files" in made.output
    checked = operator.run("restore", "b.backup", "--check")
    assert "is whole" in checked.output
    assert f"schema {migrate.head()}" in checked.output
    other = f"sqlite+aiosqlite:///{tmp_path}/other/steelyard.db"
    done = operator.run("restore", "b.backup", url=other)
    assert done.exit_code == 0, done.output
    assert _counts(other) == _counts(operator.url)
    assert operator.run("current", url=other).output.strip() == migrate.head()


def test_nothing_is_overwritten_without_being_told_to(operator: Operator) -> None:
    asyncio.run(_log(operator.url, 0))
    assert operator.run("backup", "b.backup").exit_code == 0
    again = operator.run("backup", "b.backup")
    assert again.exit_code == 1
    assert "never replaces a file" in again.output
    refused = operator.run("restore", "b.backup")
    assert refused.exit_code == 1
    assert "not empty" in refused.output
    asyncio.run(_log(operator.url, 1))
    kept = operator.run("restore", "b.backup", "--replace", said="n\n")
    assert kept.exit_code == 1
    assert _counts(operator.url)["exchanges"] == 2
    replaced = operator.run("restore", "b.backup", "--replace", "--yes")
    assert replaced.exit_code == 0, replaced.output
    assert _counts(operator.url)["exchanges"] == 1


@pytest.mark.parametrize("words", [("restore", "none"), ("restore", "none", "--check")])
def test_a_file_that_is_not_there_is_told(operator: Operator, words: tuple[str, ...]) -> None:
    done = operator.run(*words)
    assert done.exit_code == 1
    assert "none: No such file" in done.output


@pytest.mark.parametrize("words", [("backup", "b"), ("prune", "--older-than", "1")])
def test_a_sqlite_that_is_not_there_is_told_and_not_made(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = Operator(f"sqlite+aiosqlite:///{tmp_path}/no/such.db", tmp_path).run(*words)
    assert done.exit_code == 1
    assert "no database" in done.output
    assert "DATABASE_URL" in done.output
    assert not list(tmp_path.iterdir())


def test_a_password_is_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    away = Operator("postgresql+asyncpg://me:hushhush@127.0.0.1:1/steelyard", tmp_path)
    for words in (("backup", "b"), ("prune", "--older-than", "1"), ("current",)):
        done = away.run(*words)
        assert done.exit_code == 1
        assert "hushhush" not in done.output
        assert "steelyard doctor" in done.output
        assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("words", [("backup", "b"), ("prune", "--older-than", "1"), ("current",), ("upgrade",)])
@pytest.mark.parametrize("content", ["", "no database " * 100])
def test_a_file_that_is_no_database_of_ours_is_told(
    words: tuple[str, ...], content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "steelyard.db"
    place.write_text(content)
    done = Operator(f"sqlite+aiosqlite:///{place}", tmp_path).run(*words)
    if not content and words[0] in ("current", "upgrade"):
        assert done.exit_code == 0, done.output
        return
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    assert any(one in done.output for one in ("steelyard doctor", "nothing to back up"))


def test_a_folder_that_is_not_there_is_told(operator: Operator) -> None:
    done = operator.run("backup", "no/such/b.backup")
    assert done.exit_code == 1
    assert "no/such is no folder" in done.output


# Prune


def test_what_is_left_as_another_is_at_it_is_told(own: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_log(own.url, 0, 100))

    async def not_now(*_: object) -> None:
        """As where a gateway holds the lock, or a query reads a week."""

    monkeypatch.setattr(retention, "tidy", not_now)
    done = own.run("prune", "--older-than", "30", "--yes")
    assert done.exit_code == 1
    assert "log: 0 deleted" in done.output
    assert "Run it again" in done.output


def test_a_file_that_is_written_to_is_not_made_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backups, "Database", partial(Database, pool=PoolSettings(busy_timeout=0.1)))
    operator = Operator(f"sqlite+aiosqlite:///{tmp_path}/steelyard.db", tmp_path)
    assert operator.run("upgrade").exit_code == 0
    with closing(sqlite3.connect(tmp_path / "steelyard.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        done = operator.run("prune", "--older-than", "1", "--compact")
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    assert "locked" in done.output


def test_what_is_older_goes_and_a_dry_run_deletes_nothing(own: Operator, tmp_path: Path) -> None:
    asyncio.run(_log(own.url, 0, 5, 100, 101))
    for age in (5, 100):
        asyncio.run(_more(own.url, tmp_path, age))
    before = _counts(own.url)
    told = own.run("prune", "--older-than", "30", "--dry-run")
    assert told.exit_code == 0, told.output
    for line in ("log: 2 from before", "responses: 1 ", "sessions: 1 ", "workflows: 1 "):
        assert line in told.output
    assert _counts(own.url) == before
    kept = own.run("prune", "--older-than", "30", said="n\n")
    assert kept.exit_code == 1
    assert _counts(own.url) == before
    files = sorted((tmp_path / "artifacts").rglob("artifact*"))
    done = own.run("prune", "--older-than", "30", "--yes")
    assert done.exit_code == 0, done.output
    assert "log: 2 deleted" in done.output
    after = _counts(own.url)
    assert {name: after[name] for name in ("exchanges", "responses", "sessions", "executions", "artifacts")} == {
        "exchanges": 2, "responses": 1, "sessions": 1, "executions": 1, "artifacts": 1
    }  # fmt: skip
    assert after["exchange_sums"] < before["exchange_sums"]
    assert sorted((tmp_path / "artifacts").rglob("artifact*")) == [one for one in files if one.name != "artifact100"]


def test_only_what_is_named_goes_and_the_settings_say_how_old(own: Operator, tmp_path: Path) -> None:
    asyncio.run(_log(own.url, 100))
    asyncio.run(_more(own.url, tmp_path, 100))
    unsaid = own.run("prune", "--yes")
    assert unsaid.exit_code == 2
    assert "for ever" in unsaid.output
    done = own.run("prune", "--yes", STEELYARD_RESPONSES_RETENTION_DAYS="30")
    assert done.exit_code == 0, done.output
    assert (_counts(own.url)["responses"], _counts(own.url)["sessions"]) == (0, 1)
    done = own.run("prune", "--yes", "--older-than", "30", "--only", "sessions")
    assert done.exit_code == 0, done.output
    assert (_counts(own.url)["sessions"], _counts(own.url)["exchanges"]) == (0, 1)


def test_sqlite_gives_the_room_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "steelyard.db"
    own = Operator(f"sqlite+aiosqlite:///{place}", tmp_path)
    asyncio.run(migrate.upgrade(own.url))
    asyncio.run(_log(own.url, *[100] * 2_000))
    large = place.stat().st_size
    done = own.run("prune", "--older-than", "30", "--yes", "--compact")
    assert done.exit_code == 0, done.output
    assert place.stat().st_size < large / 2
    refused = own.run("prune", "--older-than", "30", "--compact", url="postgresql+asyncpg://me@127.0.0.1:1/x")
    assert refused.exit_code == 2
    assert "autovacuum" in refused.output


@pytest.mark.parametrize(("standing", "code"), [("9999", 0), ("nobodys", 1)])
def test_a_version_that_was_rolled_back_leaves_the_schema_of_the_newer_one(
    own: Operator, standing: str, code: int
) -> None:
    async def move() -> None:
        database = Database(own.url)
        async with database.write() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = :now"), {"now": standing})
        await database.dispose()

    asyncio.run(move())
    done = own.run("upgrade")
    assert (done.exit_code, standing in done.output) == (code, True)
    assert asyncio.run(migrate.current(own.url)) == standing
