"""`steelyard serve`: the gateway on a socket, in one process or several.

Ctrl-C and SIGTERM stop it kindly: no new requests, running ones finish within the grace, the log is flushed, exit 0.
"""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import gc
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import rich_click as click
import uvicorn
from rich.console import Console
from uvicorn.supervisors import Multiprocess

from gateway import logs
from gateway.app import VERSION, create_app
from gateway.cli.options import config_option, load_settings
from gateway.first_run import with_simulator
from gateway.settings import share_with_workers
from gateway.settings.routes import is_loopback
from gateway.settings.tree import Settings
from providers import simulator

#: Where prometheus_client looks for the folder that workers share.
_METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
#: Longest wait for the answer of a keep-alive connection's next request, seconds: longer than load balancers' 60.
_KEEP_ALIVE = 75
#: New objects between two collections of the young: some hundred requests' worth instead of the two of the default.
_YOUNG = 20_000


class Server(uvicorn.Server):
    """uvicorn, whose kind stop is a success: it would raise the signal again, and exit with 130 or 143."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop kindly; at a second Ctrl-C at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


class Worker:
    """Makes the application in a worker process; travels there with its settings."""

    def __init__(self, settings: Settings, shared_dir: str | None) -> None:
        """Make the application of `settings`."""
        self._settings = settings
        self._shared_dir = shared_dir

    def __call__(self) -> Any:
        """The application."""
        logs.configure(self._settings.log.level)
        app = create_app(self._settings, shared_dir=self._shared_dir)
        # What is alive now lives as long as the process. Left to the collector, it would be walked again and again
        # while requests wait: 40 ms for each full collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, 20, 50)
        return app


@click.command()
@click.option("--host", help="Address to listen on. [STEELYARD_HOST, 127.0.0.1]")
@click.option("--port", help="Port to listen on. [STEELYARD_PORT, 8000]")
@click.option("--workers", help="Processes. [STEELYARD_WORKERS, 1]")
@config_option
def serve(host: str | None, port: str | None, workers: str | None, config: Path | None) -> None:
    """Serve the gateway.

    Without any provider configured it starts the bundled simulator, and marks every answer as simulated.
    """
    flags = {"server.host": host, "server.port": port, "server.workers": workers}
    settings = load_settings(config, {name: value for name, value in flags.items() if value is not None})
    logs.configure(settings.log.level)
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(settings.server.host, settings.server.port))
        simulated = not settings.providers
        if simulated:
            cast = simulator.default_cast()
            running = stack.enter_context(simulator.start(cast))
            settings = with_simulator(settings, cast, running.url)
        _greet(settings, simulated=simulated)
        shared_dir = _shared_dir(stack) if settings.server.workers > 1 else None
        _run(Worker(settings, shared_dir), settings, listening)


def _shared_dir(stack: ExitStack) -> str:
    """A folder for what the workers share, gone with this process."""
    folder = tempfile.mkdtemp(prefix="steelyard-workers-")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    share_with_workers(_METRICS_DIR, folder)
    return folder


def _greet(settings: Settings, *, simulated: bool) -> None:
    console = Console(stderr=True, soft_wrap=True)
    address = f"http://{settings.server.host}:{settings.server.port}"
    console.print(f"[bold]Steelyard {VERSION}[/] on {address}   docs {address}/docs   health {address}/api/health")
    console.print(f"Providers: {', '.join(settings.providers)}")
    if simulated:
        console.print(
            "[bold yellow]No provider key is set: the bundled SIMULATOR answers, marked 'simulated'.[/]\n"
            "Set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, GROK_API_KEY or OLLAMA_BASE_URL to reach real ones."
        )
    if settings.anonymous:
        who = "everybody on this machine" if is_loopback(settings.server.host) else "EVERYBODY WHO REACHES IT"
        rights = "" if settings.keys or settings.auth.admin_key else ", administration included"
        console.print(f"No key is asked for: {who} may use it{rights}.")
    if settings.server.workers > 1 and settings.redis.url is None:
        console.print("Without REDIS_URL each worker keeps a cache of its own, and answers a question it has not seen.")


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, before anything else is opened. Raises `click.ClickException` when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as exc:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {exc.strerror}. Choose another with --port or STEELYARD_PORT."
        ) from exc
    listening.set_inheritable(True)
    return listening


def _run(worker: Callable[[], Any], settings: Settings, listening: socket.socket) -> None:
    server = settings.server
    config = uvicorn.Config(
        worker,
        factory=True,
        host=server.host,
        port=server.port,
        workers=server.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here reads a caller's address, and a forwarded one can be forged.
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(server.shutdown_grace)),
    )
    if server.workers > 1:
        Multiprocess(config, sockets=[listening]).run()
        return
    program = Server(config)
    program.run(sockets=[listening])
    if not program.started:
        sys.exit(1)
