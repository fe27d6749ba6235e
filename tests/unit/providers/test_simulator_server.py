"""Laws of the simulator's server: it starts, notices callers who leave, stops, and keeps to itself."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable

import msgspec
import pytest

from providers.simulator import Running, default_cast, instant, start

LOGGERS = ("", "uvicorn", "uvicorn.error", "uvicorn.access")


def hanging_caller(running: Running) -> socket.socket:
    """Ask a hanging provider, and return once it has taken the request."""
    running.control("sim-openai", "hang")
    body = json.dumps({"model": "sim-chat", "messages": [{"role": "user", "content": "hi"}]})
    head = f"POST /sim-openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    caller = socket.create_connection(("127.0.0.1", running.port))
    caller.sendall((head + body).encode())
    until(lambda: running.state()["sim-openai"]["counters"]["in_flight"] == 1)
    return caller


def until(true: Callable[[], bool]) -> None:
    """Poll, at most ten seconds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_closed_connection_is_noticed_while_hanging() -> None:
    with start(instant(default_cast())) as running:
        hanging_caller(running).close()
        until(lambda: running.state()["sim-openai"]["counters"]["aborted"] == 1)
        assert running.state()["sim-openai"]["counters"]["in_flight"] == 0


def test_a_server_stops_under_hanging_requests_and_frees_its_port() -> None:
    running = start(instant(default_cast()))
    with hanging_caller(running) as caller:
        running.stop()
        assert caller.recv(1) == b""
    assert running.state()["sim-openai"]["counters"]["in_flight"] == 0
    with start(instant(default_cast()), port=running.port) as again:
        assert again.port == running.port
        with pytest.raises(OSError, match="address already in use"):
            start(instant(default_cast()), port=again.port)


def test_control_in_process_is_as_strict_as_the_endpoint() -> None:
    with start(instant(default_cast())) as running:
        with pytest.raises(msgspec.ValidationError):
            running.control("sim-openai", "slow", factor=-1)
        with pytest.raises(KeyError):
            running.control("nobody", "down")


def test_serving_in_a_thread_leaves_the_logging_of_the_process_alone() -> None:
    before = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in LOGGERS]
    with start(instant(default_cast())):
        after = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in LOGGERS]
    assert after == before
