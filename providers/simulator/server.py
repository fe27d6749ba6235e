"""Running the simulator on a real socket: in a thread of its own, or as a command.

The thread has its own event loop, so that a simulator in the same process as its callers does not share theirs. uvicorn
supplies the HTTP protocol and the loop; its `Server` is not used, because that owns signals and logs under the same
names as the caller's own uvicorn. For the same reason access logging is turned off per connection, not per logger.

Law: `start` returns when the port answers; `stop` closes every connection, hanging requests included, and returns when
the thread has ended.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from providers.simulator.app import Simulator
from providers.simulator.config import Simulation, Trouble
from providers.simulator.line import EXTENSION
from providers.simulator.stage import Mode

#: Longer than a caller's pool keeps idle connections, so that the caller closes them and never loses a race for one.
KEEP_ALIVE_S = 600
#: How long requests may take to notice that their connection is gone.
STOP_S = 5.0
BACKLOG = 2048


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which lets the application close the socket and writes no access log."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.access_log = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = cast(Any, {EXTENSION: self._hang_up})  # typed for known extensions only

    def _hang_up(self) -> None:
        self.transport.close()


class Running:
    """A simulator that is serving in a thread; also a context manager that stops it."""

    def __init__(self, simulator: Simulator, host: str, port: int) -> None:
        self.simulator = simulator
        self.host = host
        self.port = port
        self._bound = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._thread.start()
        self._bound.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def url(self) -> str:
        """Where it is, without a trailing slash; a provider is at `<url>/<name>`."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def control(
        self,
        provider: str,
        mode: Trouble | Literal["healthy"] = "healthy",
        *,
        factor: float = 10.0,
        seconds: float | None = None,
        requests: int | None = None,
    ) -> None:
        """Put a provider into a mode, as the control endpoint does; see `stage.Mode`."""
        order = {"mode": mode, "factor": factor, "seconds": seconds, "requests": requests}
        self.simulator.control(provider, msgspec.convert(order, Mode))

    def state(self) -> dict[str, Any]:
        """Modes and counters by provider."""
        return self.simulator.state()

    def stop(self) -> None:
        """Close every connection and wait for the thread; stopping twice is once."""
        if self._thread.is_alive() and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_config(self.simulator).get_loop_factory()) as runner:
                runner.run(self._serve())
        except OSError as exc:  # the port is taken: told to whoever called `start`
            self._failure = exc
        finally:
            self._bound.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with _listening(self.simulator, self.host, self.port) as self.port:
            self._bound.set()
            await self._stopping.wait()


def start(simulation: Simulation, *, host: str = "127.0.0.1", port: int = 0, seed: int = 0) -> Running:
    """Serve in a daemon thread; port 0 picks a free one.

    Raises:
        OSError: the port is taken.
    """
    return Running(_simulator(simulation, seed), host, port)


def run(simulation: Simulation, host: str = "127.0.0.1", port: int = 8100, *, seed: int = 0) -> None:
    """Serve until the process is interrupted (Ctrl-C).

    Raises:
        OSError: the port is taken.
    """
    simulator = _simulator(simulation, seed)

    async def forever() -> None:
        async with _listening(simulator, host, port):
            await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=_config(simulator).get_loop_factory()) as runner:
        try:
            runner.run(forever())
        except KeyboardInterrupt:
            return


def _config(simulator: Simulator) -> Config:
    """Settings of uvicorn; without a log configuration, or it would replace that of the whole process."""
    return Config(simulator, log_config=None, timeout_keep_alive=KEEP_ALIVE_S, ws="none")


def _simulator(simulation: Simulation, seed: int) -> Simulator:
    return Simulator(simulation, clock=time.monotonic, wall=time.time, sleep=asyncio.sleep, seed=seed)


@asynccontextmanager
async def _listening(simulator: Simulator, host: str, port: int) -> AsyncGenerator[int]:
    """Listen, tell the port, and close every connection at the end."""
    config = _config(simulator)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Protocol(config, state), host, port, backlog=BACKLOG)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.close()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=STOP_S)
