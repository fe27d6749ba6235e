"""`steelyard serve`: the gateway on a socket, in one process or several.

Ctrl-C and SIGTERM stop it kindly: no new requests, running ones finish within the grace, the log is flushed, exit 0; a
second Ctrl-C stops it at once. SIGHUP and `POST /api/admin/reload` have the settings read again and put to work without
dropping a request: new workers in the place of the old (`supervisor`), or a new application in the one process
(`reloading`).
"""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import logging
import random
import shutil
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import msgspec
import rich_click as click
from msgspec.structs import replace
from rich.console import Console

from gateway.accepting import lay_out
from gateway.app import VERSION
from gateway.cli.listening import listen
from gateway.cli.options import begin_log, config_option, load
from gateway.first_run import with_simulator
from gateway.governance.audit import Act, reloaded
from gateway.metrics import forget_worker
from gateway.renewal import Renewal, Reread
from gateway.server import COUNTS, Worker, serve_alone
from gateway.settings import Loaded, SettingsError, from_environment, share_with_workers
from gateway.settings.changes import changed
from gateway.settings.problems import Problem
from gateway.settings.routes import is_loopback
from gateway.settings.tree import Settings
from gateway.supervisor import Next, Supervisor
from providers import simulator

_log = logging.getLogger("steelyard.serve")
#: Where prometheus_client looks for the folder that workers share.
_METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
#: Settings of the server that a running one cannot change: it would have to give up its socket, or itself.
_FIXED = ("host", "port", "workers")


@click.command()
@click.option("--host", help="Address to listen on. [STEELYARD_HOST, 127.0.0.1]")
@click.option("--port", help="Port to listen on. [STEELYARD_PORT, 8000]")
@click.option("--workers", help="Processes. [STEELYARD_WORKERS, 1]")
@click.option(
    "--no-worker", is_flag=True, help="Leave executions of workflows to `steelyard worker`. [STEELYARD_WORKFLOWS_RUN]"
)
@config_option
def serve(host: str | None, port: str | None, workers: str | None, no_worker: bool, config: Path | None) -> None:
    """Serve the gateway.

    Without any provider configured it starts the bundled simulator, and marks every answer as simulated.
    """
    runs = "false" if no_worker else None
    flags = {"server.host": host, "server.port": port, "server.workers": workers, "workflows.run": runs}
    given = {name: value for name, value in flags.items() if value is not None}
    loaded = load(config, given)
    settings, written = loaded.settings, Written(config, given, loaded)
    begin_log(settings)
    with ExitStack() as stack:
        listening = stack.enter_context(listen(settings.server.host, settings.server.port))
        simulated = not settings.providers
        if simulated:
            cast = simulator.default_cast()
            written.standing_in = cast, stack.enter_context(simulator.start(cast)).url
            settings = with_simulator(settings, *written.standing_in)
        _greet(settings, simulated=simulated)
        if settings.server.workers == 1:
            sys.exit(0 if serve_alone(settings, listening, lambda: written.again(settings)) else 1)
        sys.exit(_supervise(settings, listening, _shared_dir(stack), written))


class Written:
    """The settings as they are written now, for whoever serves with those of an earlier moment."""

    def __init__(self, config: Path | None, flags: dict[str, str], loaded: Loaded) -> None:
        """Read `config`, and let `flags` of the command line go before it, as when they were `loaded` at the start."""
        self._config = config
        self._flags = flags
        self._loaded = loaded
        #: The simulator that stands in for providers, when there were none at the start.
        self.standing_in: tuple[simulator.Simulation, str] | None = None

    def again(self, running: Settings) -> Reread:
        """What to serve with from now on; none, and the reasons logged, when it cannot be served with."""
        try:
            loaded = self._reloaded()
        except SettingsError as exc:
            _log.error("the settings are wrong: the old ones stay", extra={"problems": str(exc)})
            return Reread(None, problems=exc.problems)
        self._loaded, found = loaded, loaded.settings
        if not found.providers:
            if self.standing_in is None:
                _log.error("the settings name no provider any more: the old ones stay")
                return Reread(None, problems=(Problem("providers", "There is none any more. Name one at least."),))
            found = with_simulator(found, *self.standing_in)
        late = [f"server.{name}" for name in _FIXED if getattr(found.server, name) != getattr(running.server, name)]
        if late:
            _log.warning("these settings wait for the next start", extra={"settings": late})
        kept = {name: getattr(running.server, name) for name in _FIXED}
        return Reread(replace(found, server=replace(found.server, **kept)), late)

    def _reloaded(self) -> Loaded:
        """Raises `SettingsError`, too, where a file that nobody has to write is gone: keys in it would be no more."""
        found = from_environment(self._config, self._flags)
        pairs = ((self._loaded.config, found.config), (self._loaded.dotenv, found.dotenv))
        if gone := [one for one, now in pairs if one is not None and now is None and not one.is_file()]:
            said = "is gone: put it back. To do without it, empty it first."
            raise SettingsError(tuple(Problem(str(one), said) for one in gone))
        return found


def _supervise(settings: Settings, listening: socket.socket, shared_dir: str, written: Written) -> int:
    def renewed(wish: bytes) -> Next:
        found = written.again(settings)
        if found.settings is None:
            return Next(None, msgspec.json.encode([(one.place, one.message) for one in found.problems]))
        names = changed(cast("Worker", supervisor.job).settings, found.settings)
        act = reloaded(names, time.time(), random.Random())
        if wish:
            act = replace(msgspec.json.decode(wish, type=Act), after=act.after)
        worker = Worker(found.settings, shared_dir, listening, act)
        return Next(worker, msgspec.json.encode(Renewal(names, found.restart)))

    lay_out(Path(shared_dir, COUNTS), settings.server.workers)
    supervisor = Supervisor(
        settings.server.workers,
        Worker(settings, shared_dir, listening),
        renewed=renewed,
        gone=lambda pid: forget_worker(shared_dir, pid),
        # Else whoever connects would wait here until the last worker has finished.
        leaving=listening.close,
        grace=settings.server.shutdown_linger + settings.server.shutdown_grace,
    )
    return supervisor.run()


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
