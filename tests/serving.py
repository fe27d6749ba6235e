"""A gateway on a real socket for tests: uvicorn in a thread, simulated or given providers behind it."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn
from msgspec.structs import replace

from gateway.app import Application, create_app
from gateway.connected import Connected
from gateway.first_run import with_simulator
from gateway.settings import SecretUrl, Settings
from providers import simulator


class Serving:
    """Starts on entry, on a free port; stops kindly on exit."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self.app: Application
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Serving:
        self._thread.start()
        self._started.wait(30)
        if self._failure:
            raise self._failure
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "the gateway did not stop"

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:  # noqa: BLE001 - told to the test that started it
            self._failure = exc
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self.app = create_app(self.settings)
        config = uvicorn.Config(
            self.app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            http=Connected,
            ws="none",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has a flag, not an event
            await asyncio.sleep(0.005)
        if self._server.started:
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self._started.set()
        await serving


def settings_in(folder: Path, **changes: object) -> Settings:
    """Settings whose files are in `folder`: SQLite, a spill, quick flushes; no worker, see `with_worker`."""
    base = Settings()
    return replace(
        base,
        database=replace(base.database, url=SecretUrl(f"sqlite+aiosqlite:///{folder}/steelyard.db")),
        request_log=replace(base.request_log, spill_dir=folder / "spill", flush_interval=0.05),
        artifacts=replace(base.artifacts, dir=folder / "artifacts"),
        workflows=replace(base.workflows, run=False),
        **changes,
    )


def with_worker(settings: Settings) -> Settings:
    """It runs the executions of workflows. One gateway in a process can, so it is for gateways of one module."""
    return replace(settings, workflows=replace(settings.workflows, run=True))


def simulated(settings: Settings, running: simulator.Running, cast: simulator.Simulation) -> Settings:
    """The settings with a simulator's cast behind them."""
    return with_simulator(settings, cast, running.url)


def until(condition: object, *, within: float = 10.0) -> None:
    """Poll a callable until it is true; fail the test when it never is."""
    assert callable(condition)
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.01)
