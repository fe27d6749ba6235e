"""Gateways that are processes of their own, to be interrupted and killed, and what their databases hold afterwards."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from gateway.store import audit
from gateway.store.engine import Database, parse_url
from providers import simulator
from providers.simulator import Simulation, Trouble
from tests import forking
from tests.acceptance.bad_days import DIALECTS, PATIENCE

ROOT = Path(__file__).parents[2]
_PATHS = {"openai": "/v1", "anthropic": "", "gemini": ""}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(running: simulator.Running, cast: Simulation) -> dict[str, Any]:
    """What a `steelyard.yaml` says when these are the providers."""
    return {
        "providers": {
            one.name: {
                "dialect": one.dialect,
                "base_url": f"{running.url}/{one.name}{_PATHS[one.dialect]}",
                "models": [
                    {
                        "name": model.name,
                        "price": {"input": model.prices.input_usd_per_1m, "output": model.prices.output_usd_per_1m},
                    }
                    for model in one.models
                ],
                # Whoever runs it says what it can take.
                **({"max_concurrency": one.knee.in_flight} if one.knee is not None else {}),
            }
            for one in cast.providers
        }
    }


class Program:
    """`steelyard serve` in a folder of its own; may be started again after it ended.

    It is forked off one that is loaded, unless it has workers, which are never, or a terminal, or `really` starts.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None, *arguments: str, **environ: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.said = folder / "said.log"
        if config is not None:
            (folder / "steelyard.yaml").write_text(json.dumps(config))  # JSON is YAML
        self._command = self._worded(arguments)
        self._environ = {**forking.environ(), **environ}
        self._unforked = "--workers" in arguments and arguments[arguments.index("--workers") + 1] != "1"
        self.process: forking.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _worded(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "gateway", "serve", "--port", str(self.port), *arguments]

    def replace_command(self, script: Path, *, really: bool = False, **environ: str) -> None:
        """From now on this script is started instead of the package, with the same arguments.

        `really`: it changes what is taken hold of while the gateway is loaded, so it is never forked off a loaded one.
        """
        self._unforked |= really
        assert self._command[:3] == [sys.executable, "-m", "gateway"]
        self._command[:3] = [sys.executable, str(script)]
        self._environ |= environ

    def export(self, **environ: str) -> None:
        """Let it have these variables from its next start on."""
        self._environ |= environ

    def begin(self, *, really: bool = False) -> forking.Process:
        """Start, and wait for nothing."""
        begin = forking.really_start if really or self._unforked else forking.start
        with self.said.open("ab") as said:
            self.process = begin(self._command, said, cwd=self.folder, environ=self._environ)
        return self.process

    def begin_in(self, terminal: int) -> forking.Process:
        """Start as the foreground program of a terminal, and wait for nothing."""

        def take() -> None:
            # As a login shell starts its programs: whoever runs the tests under nohup would hand down its deafness.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environ,
                stdin=terminal,
                stdout=said,
                stderr=said,
                start_new_session=True,
                preexec_fn=take,
            )
        return self.process

    def start(self, *, really: bool = False) -> None:
        """Start, and wait until it is ready."""
        self.until_ready(self.begin(really=really))

    def until_ready(self, process: forking.Process) -> None:
        """Wait until it is ready."""
        give_up = time.monotonic() + PATIENCE
        while self.get("/health/ready") != 200:
            assert process.poll() is None, self.said.read_text()
            assert time.monotonic() < give_up, self.said.read_text()
            time.sleep(0.02)

    def until_migrated(self, key: str = "") -> None:
        """Wait until its database has a schema: it serves before. `key` is an administrator's, where that is asked."""
        give_up = time.monotonic() + PATIENCE
        while self.get("/api/db/requests/recent", authorization=f"Bearer {key}") != 200:
            assert time.monotonic() < give_up, self.said.read_text()
            time.sleep(0.02)

    def get(self, path: str, **headers: str) -> int:
        """The status of a page; 0 when nobody listens."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request("GET", path, headers=headers)
                return connection.getresponse().status
            except (OSError, HTTPException):
                return 0

    def terminate(self) -> None:
        """As a supervisor does: SIGTERM to the first process."""
        assert self.process is not None
        self.process.terminate()

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal does: SIGINT to every process of the group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)

    def hang_up(self) -> None:
        """Ask for new settings: SIGHUP to the first process."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write other settings than those it was started with."""
        (self.folder / "steelyard.yaml").write_text(json.dumps(config))

    def told(self, message: str) -> list[dict[str, Any]]:
        """The lines of its log with this message, oldest first."""
        return [line for line in self.lines() if line["message"] == message]

    def lines(self) -> list[dict[str, Any]]:
        """Every line of its log so far that is whole."""
        text = self.said.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def workers(self) -> list[psutil.Process]:
        """Its worker processes; empty when the one process does it all."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in family if _is_worker(one)]

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait for the end: the exit code. Fail when it does not come."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, within)

    def kill(self) -> None:
        """As a crash would, children included; safe to repeat."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False  # it has just died


@contextmanager
def a_program(
    folder: Path, config: Mapping[str, Any] | None = None, *arguments: str, **environ: str
) -> Generator[Program]:
    """A gateway that is not started yet; whatever becomes of it, nothing of it is left at the end."""
    program = Program(folder, config, *arguments, **environ)
    try:
        yield program
    finally:
        program.kill()


def broken(running: simulator.Running, trouble: Trouble, *, seconds: float | None = None) -> None:
    """This happens at every provider."""
    for name in DIALECTS:
        running.control(name, trouble, seconds=seconds)


async def logged(url: str) -> list[str]:
    """The ids of all requests in the log, as its database has them now; none when there are no tables yet."""
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_in_sqlite, url.partition(":///")[2])
    where = parse_url(url)
    connection = await asyncpg.connect(
        host=where.query.get("host") or where.host,
        port=where.port,
        user=where.username,
        password=where.password or None,
        database=where.database,
    )
    try:
        return [row["id"] for row in await connection.fetch("SELECT id FROM exchanges")]
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


def _in_sqlite(path: str) -> list[str]:
    if not Path(path).exists():
        return []
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        try:
            return [row[0] for row in connection.execute("SELECT id FROM exchanges")]
        except sqlite3.OperationalError as exc:
            if "no such table" in str(exc):
                return []
            raise


async def reloads(url: str) -> list[Any]:
    """What changed by each reload that the audit log holds, oldest first."""
    database = Database(url)
    found = (await audit.listed(database, audit.Wanted(action="settings.reload"), cursor=None, limit=50)).items
    await database.dispose()
    assert {one.actor for one in found} <= {"system"}
    return [(one.after or {})["changed"] for one in reversed(found)]


async def until_logged(url: str, wanted: set[str]) -> list[str]:
    """Poll the log until it holds all of these: everything it holds. Fail when it never does."""
    give_up = time.monotonic() + PATIENCE
    while not wanted <= set(found := await logged(url)):
        missing = wanted - set(found)
        assert time.monotonic() < give_up, f"{len(missing)} of {len(wanted)} requests are not in the log: {missing}"
        await asyncio.sleep(0.05)
    assert len(found) == len(set(found)), "a request is in the log twice"
    return found
