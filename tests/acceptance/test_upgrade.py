"""An upgrade without a pause: the version before goes on serving on the new schema, and beside the new version.

The version before is the commit before the newest migration, out of the history of this clone; in a copy without it the
test is skipped, and `tests/stores/test_additive.py` holds the rule alone.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from json import dumps, loads
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from gateway.settings.secrets import SecretUrl
from gateway.store import migrate
from gateway.store.engine import Database, parse_url
from providers import simulator
from tests.serving import Serving, settings_in, simulated, until

ROOT = Path(__file__).parents[2]


def git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the commit before the newest migration."""
    (newest,) = (ROOT / "migrations/versions").glob(f"{migrate.head()}_*.py")
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest.relative_to(ROOT))).decode().strip()
    packed = git("archive", f"{added}^") if added else b""
    if not packed:
        pytest.skip("this copy has no history: the version before cannot be had")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Old:
    """A gateway of the version before."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else dumps(body))
            answer = connection.getresponse()
            told = answer.read()
            return answer.status, loads(told) if told[:1] in (b"{", b"[") else told
        finally:
            connection.close()

    def chat(self, said: str) -> str:
        body = {"prompt": said, "session_id": "held"}
        status, told = self.ask("POST", "/api/llm/orchestrate", body)
        assert status == 200, told
        return str(told["request_id"])

    def alive(self) -> bool:
        assert self.process.poll() is None, "it did not start"
        try:
            return self.ask("GET", "/health/ready")[0] == 200
        except (OSError, HTTPException):
            return False

    def recorded(self, request_id: str) -> bool:
        return self.ask("GET", f"/api/db/requests/{request_id}")[0] == 200


@contextmanager
def old_gateway(tree: Path, url: str, folder: Path) -> Generator[Old]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    kept = {name: one for name, one in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    folder.mkdir()
    environment = {**kept, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1", "DATABASE_URL": url}
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log)
        try:
            old = Old(process, port)
            until(old.alive, within=60)
            yield old
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/of_both/steelyard.db"
        return
    server: str = request.getfixturevalue("server")
    address, name = parse_url(server), f"upgrade_{os.getpid()}"

    async def run(statement: str) -> None:
        query: dict[str, Any] = dict(address.query)
        connection = await asyncpg.connect(
            host=query.get("host") or address.host, port=address.port, user=address.username, database=address.database
        )
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run(f'CREATE DATABASE "{name}"'))
    yield address.set(database=name).render_as_string(hide_password=False)
    asyncio.run(run(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def running() -> Generator[tuple[simulator.Running, simulator.Simulation]]:
    cast = simulator.instant(simulator.default_cast())
    with simulator.start(cast) as started:
        yield started, cast


@contextmanager
def new_gateway(url: str, folder: Path, running: tuple[simulator.Running, simulator.Simulation]) -> Generator[Serving]:
    settings = settings_in(folder)
    settings = replace(settings, database=replace(settings.database, url=SecretUrl(url)))
    with Serving(simulated(settings, *running)) as serving:
        yield serving


def test_the_version_before_serves_on_while_the_schema_moves_and_beside_the_new_one(
    before: Path, url: str, tmp_path: Path, running: tuple[simulator.Running, simulator.Simulation]
) -> None:
    with old_gateway(before, url, tmp_path / "old") as old:
        first = old.chat("Hello")
        until(lambda: old.recorded(first))
        standing = asyncio.run(migrate.current(url))
        assert standing is not None
        assert standing < migrate.head()
        asyncio.run(migrate.upgrade(url))
        assert asyncio.run(migrate.current(url)) == migrate.head()

        second = old.chat("Again")
        until(lambda: old.recorded(second))
        assert old.ask("POST", "/api/feedback", {"request_id": second, "score": 1})[0] in (200, 201)
        flow = {"slug": "f", "name": "f", "nodes": {"a": {"type": "template", "template": "x"}}}
        assert old.ask("POST", "/api/workflows", flow)[0] == 201
        status, done = old.ask("POST", "/api/workflows/f/execute?wait=20", {})
        assert (status, done["status"]) == (200, "completed")
        with new_gateway(url, tmp_path / "new", running) as new:
            beside = Old(old.process, new.port)
            third = beside.chat("And here")
            until(lambda: beside.recorded(third))
            for one in (first, second, third):
                until(lambda one=one: beside.recorded(one) and old.recorded(one))
            # What the one version has begun the other sees, and goes on with.
            assert beside.ask("GET", f"/api/executions/{done['execution_id']}")[1]["status"] == "completed"
            assert beside.ask("GET", "/api/sessions/held")[1]["turns"] == 3
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(30) == 0
            assert beside.ask("GET", "/api/health")[1]["services"]["database"] == {"status": "healthy"}
            told = beside.ask("GET", "/api/db/stats")[1]
            assert told["totals"]["requests"] == 3
    assert not list((tmp_path / "old").rglob("*.spill")), "rows of the old one wait on its disk"


def test_a_version_starts_on_the_schema_of_a_newer_one(
    url: str, tmp_path: Path, running: tuple[simulator.Running, simulator.Simulation]
) -> None:
    """As after a rollback, or when a process of the old version dies while the new one is rolled out."""

    async def move(*statements: str) -> None:
        database = Database(url)
        async with database.write() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await database.dispose()

    asyncio.run(migrate.upgrade(url))
    newer = f"{int(migrate.head()) + 1:04}"
    asyncio.run(
        move(
            f"UPDATE alembic_version SET version_num = '{newer}'",
            "ALTER TABLE exchanges ADD COLUMN later varchar",
            "CREATE TABLE later (x int)",
        )
    )
    with new_gateway(url, tmp_path / "new", running) as serving:
        mine = Old(subprocess.Popen(["true"]), serving.port)
        mine.process.wait()
        one = mine.chat("Hello")
        until(lambda: mine.recorded(one))
        assert mine.ask("GET", "/api/health")[1]["services"]["database"] == {"status": "healthy"}
    assert asyncio.run(migrate.current(url)) == newer


@pytest.mark.parametrize("revision", ["abcd", "00001", "9x"])
def test_a_revision_that_is_nobodys_is_no_newer_one(revision: str) -> None:
    assert not migrate.is_newer(revision)
    assert not migrate.is_newer(migrate.head())
