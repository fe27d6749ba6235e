"""Processes that a measurement starts: where they run, when they are ready, what they cost."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import psutil

#: Seconds that a server may take to start: LiteLLM takes half a minute on a busy machine.
PATIENCE = 120.0
#: Seconds within which a question about a server's state is answered, however busy it is.
SILENCE = 10.0
#: Open files per process: some times what 512 callers take.
DESCRIPTORS = 8192


def prepare() -> None:
    """Let SIGTERM end us as Ctrl-C does, so that what was started is stopped, and let everybody open more files.

    512 callers with as many upstream connections need more than the usual 1,024.
    """
    signal.signal(signal.SIGTERM, _exit)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


class NotStarted(Exception):
    """A server did not come up; says what it said."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def on_measured_core() -> Generator[None]:
    """What is started inside runs on the last core alone, which everything else is kept away from.

    Without a second core, or where the system cannot do it, wherever it happens to run.
    """
    if not _divisible():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(_ours())})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def keep_off_measured_core() -> str:
    """Leave the last core to what is measured, from now on for all we start; says where things run."""
    if not _divisible():
        return "Everything shares the same cores: this machine has one only, or none can be chosen."
    cores = _ours()
    os.sched_setaffinity(0, set(cores[:-1]))
    others = len(cores) - 1
    return f"What is measured has core {cores[-1]} to itself; upstream, load and database share the other {others}."


_CORES: list[int] = []


def _ours() -> list[int]:
    """The cores that were ours when first asked."""
    if not _CORES:
        _CORES.extend(sorted(os.sched_getaffinity(0)))
    return _CORES


def _divisible() -> bool:
    return hasattr(os, "sched_setaffinity") and len(_ours()) > 1


def until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody accepts connections there."""

    def accepted() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    _until(accepted, process, None)


def until_ready(port: int, path: str, process: subprocess.Popen[bytes], said: Path) -> None:
    """Wait until `path` answers with 200."""

    def ready() -> bool:
        try:
            return get(port, path)[0] == 200
        except (OSError, HTTPException):
            return False

    _until(ready, process, said)


def get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SILENCE)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes], said: Path | None) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > give_up:
            words = said.read_text(errors="replace")[-3000:] if said else ""
            raise NotStarted(f"{process.args} did not start. {words}")
        time.sleep(0.05)


class Cost(NamedTuple):
    """CPU seconds since its start, and memory now, of a process with its children."""

    cpu: float
    rss: int


def cost(pid: int) -> Cost:
    """What a process has cost so far."""
    first = psutil.Process(pid)
    cpu, rss = 0.0, 0
    for process in (first, *first.children(recursive=True)):
        times = process.cpu_times()
        cpu += times.user + times.system
        rss += process.memory_info().rss
    return Cost(cpu, rss)
