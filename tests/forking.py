"""Gateways as processes of their own that need not load anything: forked off one that has (`tests.fork_server`).

A start costs hundredths of a second so, and not two. What is forked is a process as any other: it has its own session,
environment, folder and output, is killed and frozen as such, and is a zombie until it is waited for. It is no child of
this process, but of the fork server, which is nobody's child and ends with this process, however that ends.

To start for real is left to tests of the start itself, and to programs that start Python again for their workers.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from tests.fork_server import NUMBER

ROOT = Path(__file__).parents[1]
_lock = threading.Lock()
_servers: list[socket.socket] = []


class Process(Protocol):
    """What tests need of a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Forked:
    """A process that was forked off the server; `told` is where the server tells of it."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """How it ended, by its exit code or minus the signal; None while it lives."""
        with self._lock:
            if self.returncode is None and select.select([self._told], [], [], 0)[0]:
                found = self._told.recv(NUMBER.size)
                assert found, "the fork server has died"
                # Now that this is known it may go; from here on nobody else has its number by right.
                self._told.shutdown(socket.SHUT_WR)
                assert not self._told.recv(NUMBER.size)
                self._told.close()
                (self.returncode,) = NUMBER.unpack(found)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, as `subprocess.Popen` does."""
        give_up = None if timeout is None else time.monotonic() + timeout
        pause = 0.0005
        while (code := self.poll()) is None:
            if give_up is not None and time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return code

    def send_signal(self, sig: int) -> None:
        """To it alone, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def environ() -> dict[str, str]:
    """What every gateway finds in its environment: little of what is here."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, "PYTHONPATH": str(ROOT)}


def start(
    command: Sequence[str], out: IO[bytes], err: IO[bytes] | None = None, *, cwd: Path, environ: Mapping[str, str]
) -> Process:
    """Start Python with a module or script that is the gateway's, in a session of its own: forked, if that is the same.

    It is not where a variable differs from `environ()` that may have counted while the gateway was loaded; nor beyond
    Linux, whose pidfd and /proc the fork server needs.
    """
    forked = _forked(command, (out, err or out), cwd, environ) if sys.platform == "linux" else None
    return forked or really_start(command, out, err, cwd=cwd, environ=environ)


def really_start(
    command: Sequence[str], out: IO[bytes], err: IO[bytes] | None = None, *, cwd: Path, environ: Mapping[str, str]
) -> Process:
    """The same by an interpreter of its own."""
    return subprocess.Popen(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err or out, start_new_session=True
    )


def run(command: Sequence[str], *, cwd: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Start it as `start` does, and wait for its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = start(command, out, err, cwd=cwd, environ=environ).wait()
        said: list[str] = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
        return subprocess.CompletedProcess(command, code, *said)


def _forked(
    command: Sequence[str], output: Sequence[IO[bytes]], cwd: Path, environ: Mapping[str, str]
) -> Forked | None:
    python, *arguments = command
    assert python == sys.executable
    asked = json.dumps({"command": arguments, "cwd": str(cwd), "environ": dict(environ)}).encode()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(_server(), [asked], [theirs.fileno(), *(file.fileno() for file in output)])
    (pid,) = NUMBER.unpack(ours.recv(NUMBER.size))
    if pid:
        return Forked(pid, ours)
    ours.close()
    return None


def _server() -> socket.socket:
    """The fork server of this process, as soon as one is needed."""
    with _lock:
        if not _servers:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                fd = theirs.fileno()
                command = [sys.executable, "-m", "tests.fork_server", str(fd)]
                # It leaves at once, and lets its own child do the work.
                subprocess.run(command, cwd=ROOT, env=environ(), stdin=subprocess.DEVNULL, pass_fds=[fd], check=True)
            atexit.register(ours.close)
            _servers.append(ours)
        return _servers[0]
