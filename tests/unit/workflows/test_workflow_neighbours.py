"""Which processes have ended for certain: those of this machine whose number nobody has."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from gateway.workflows import neighbours
from gateway.workflows.neighbours import PLACE, gone


def test_only_one_that_has_ended_here_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not gone(PLACE, process.pid)
    process.communicate(b"\n")
    assert gone(PLACE, process.pid)
    assert not gone(f"{PLACE}'s neighbour", process.pid)
    assert not gone(PLACE, os.getpid())


def test_no_number_stands_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def signal(_pid: int, _signal: int) -> None:
        pytest.fail("a group was signalled")

    monkeypatch.setattr(os, "kill", signal)
    assert not gone(PLACE, 0)
    assert not gone(PLACE, -1)


def test_somebody_elses_process_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert not gone(PLACE, 7)


def test_where_the_system_does_not_tell_more_a_place_is_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_path: str) -> str:
        raise FileNotFoundError

    assert PLACE.startswith(socket.gethostname())
    monkeypatch.setattr(os, "readlink", unknown)
    assert neighbours._place() == socket.gethostname()
