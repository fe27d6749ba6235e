"""The fork server of the tests: a process that has loaded the gateway, and becomes one as often as it is asked to.

`tests.forking` starts it, as `python -m tests.fork_server <fd>`, and asks by that socket. What is asked of it comes
with the descriptors it takes: a socket by which the child's pid and exit status are told, and the child's output.

Law: before a fork there is one thread, no event loop, no connection and no file that the child could share; and where
a variable that was read while the gateway was loaded is to have another value, nothing is forked.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

#: What a gateway loads at its start, and what it loads when workflows or MCP servers are there.
_LOADED = (
    "gateway.cli",
    "gateway.workflows.service",
    "gateway.workflows.check",
    "gateway.workflows.problems",
    "gateway.mcp.connection",
    # by the server and the framework, when there is an application
    "uvloop",
    "uvicorn.lifespan.on",
    "litestar.plugins.attrs",
    "litestar.plugins.pydantic",
    "anyio._backends._asyncio",
    # by the address of a database
    "aiosqlite",
    "dbos._sys_db_sqlite",
    "dbos._sys_db_postgres",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.postgresql.psycopg",
)
#: Beginnings of variables that are read beneath Python, or before its first line.
_BENEATH = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "SSL_CERT_", "OPENSSL_", "TZ")
#: A number that is told: a pid, 0 when nothing was forked, an exit status.
NUMBER = struct.Struct("!i")
#: Bytes of a question at most: an environment, mostly.
MOST = 1 << 20


class _Asked(NamedTuple):
    """What a child is to be."""

    command: Sequence[str]
    cwd: str
    environ: dict[str, str]


class _Child:
    """A process that was forked, until whoever asked for it knows that it has ended."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid, self.told = pid, told
        self.ends = os.pidfd_open(pid)

    def tell(self) -> None:
        """Say how it ended; it stays a zombie until that is known, as a child of one's own does."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        with suppress(OSError):  # nobody wants to know
            self.told.send(NUMBER.pack(code))

    def bury(self) -> None:
        """It is known: let it go, and then say so by the end of the socket."""
        os.waitpid(self.pid, 0)
        self.close()

    def close(self) -> None:
        """Have no more to do with it."""
        os.close(self.ends)
        self.told.close()


class Server:
    """Forks on demand, and tells what becomes of the children."""

    def __init__(self, control: socket.socket, read: dict[str, str | None]) -> None:
        """Nothing is forked where one of the variables in `read` is to have another value."""
        self._control, self._read = control, read
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children: dict[int, _Child] = {}

    def serve(self) -> _Asked | None:
        """In a child: what it is to be. In the server: None, when nobody is there any more who could ask."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._control.fileno():
                    told, asked = self._asked()
                    if told is None:
                        return None
                    if asked is not None:
                        return asked
                else:
                    self._look_after(fd)

    def _look_after(self, fd: int) -> None:
        child = self._children.pop(fd)
        self._poll.unregister(fd)
        if fd == child.ends:
            child.tell()
            self._poll.register(child.told, select.POLLIN)
            self._children[child.told.fileno()] = child
        else:
            child.bury()

    def _asked(self) -> tuple[bool | None, _Asked | None]:
        """None when nobody is there; in a child what it is to be."""
        data, fds, _, _ = socket.recv_fds(self._control, MOST, 3)
        if not data:
            return None, None
        asked = _Asked(**json.loads(data))
        told, output = socket.socket(fileno=fds[0]), fds[1:]
        if any(asked.environ.get(name) != self._read.get(name) for name in self._telling(asked)):
            told.send(NUMBER.pack(0))
            told.close()
        elif pid := os.fork():
            child = _Child(pid, told)
            self._children[child.ends] = child
            self._poll.register(child.ends, select.POLLIN)
            told.send(NUMBER.pack(pid))
        else:
            told.close()
            self._leave(output)
            return True, asked
        for fd in output:
            os.close(fd)
        return True, None

    def _telling(self, asked: _Asked) -> set[str]:
        """The variables that must be as they were when the gateway was loaded."""
        return {*self._read, *(name for name in asked.environ if name.startswith(_BENEATH))}

    def _leave(self, output: Sequence[int]) -> None:
        """In a child: have no part in the server any more."""
        for child in self._children.values():
            child.close()
        self._control.close()
        os.setsid()
        for standard, fd in enumerate(output, start=1):
            os.dup2(fd, standard)
            os.close(fd)


def load() -> dict[str, str | None]:
    """Load the gateway: the variables that were read meanwhile, and those of Python and the system, as they are."""
    read: set[str] = {name for name in os.environ if name.startswith(_BENEATH)}
    kind: Any = type(os.environ)
    get = kind.__getitem__

    def noted(self: Any, name: str) -> str:
        read.add(name)
        return get(self, name)

    kind.__getitem__ = noted  # beneath `get`, `in` and iterating, too
    try:
        for name in _LOADED:
            import_module(name)
    finally:
        kind.__getitem__ = get
    return {name: os.environ.get(name) for name in read}


def become(asked: _Asked) -> None:
    """Run a command as Python does in a process of its own."""
    os.environ.clear()
    os.environ.update(asked.environ)
    os.chdir(asked.cwd)
    first, *arguments = asked.command
    if first == "-m":
        name, *arguments = arguments
        sys.path[0] = asked.cwd
        sys.argv[:] = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(first).parent)
        sys.argv[:] = [first, *arguments]
        runpy.run_path(first, run_name="__main__")


def main() -> None:
    """Leave whoever started this, load the gateway, and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    if os.fork():
        os._exit(0)
    os.setsid()
    read = load()
    assert os.listdir("/proc/self/task") == [str(os.getpid())], "a thread runs, which no fork would have"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    # What is never let go need not be looked at by any child's collector, which would copy its pages.
    gc.collect()
    gc.freeze()
    asked = Server(control, read).serve()
    if asked is not None:
        become(asked)


if __name__ == "__main__":
    main()
