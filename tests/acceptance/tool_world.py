"""MCP servers for the tests: `tool_server.py` as this machine's Python runs it, over either transport."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from gateway.mcp.server import Seams
from gateway.mcp.servers import Counted, Servers, uncounted
from gateway.settings import Settings, load

PROGRAM = Path(__file__).with_name("tool_server.py")
SECRET = "hush-0123456789abcdef"
#: Who may ask, in these tests.
KEYS = "alice:alice-0123456789abcdef,bob:bob-0123456789abcdef"


def stdio(how: str = "", **more: Any) -> dict[str, Any]:
    """The entry of a server over stdio that misbehaves so."""
    env = {"TOOL_SERVER": how, "TOOL_SECRET": "${TOOL_SECRET}"}
    return {"command": sys.executable, "args": [str(PROGRAM), "stdio"], "env": env, **more}


def settings_of(folder: Path, entries: dict[str, Any]) -> Settings:
    """Settings with these servers, and with keys for alice, bob and the administrator."""
    path = folder / "mcp_settings.json"
    path.write_text(json.dumps({"mcpServers": entries}))
    environ = {"MCP_SETTINGS_FILE": str(path), "TOOL_SECRET": SECRET, "STEELYARD_API_KEYS": KEYS}
    return load({**environ, "STEELYARD_ADMIN_KEY": "admin-0123456789abcdef"})


def servers_of(settings: Settings, counted: Counted = uncounted) -> Servers:
    """The servers of these settings, started by nobody yet; `counted` is told of calls."""
    return Servers(settings, Seams(time.time, time.monotonic, random.Random(7), "0.0.0"), counted=counted)


@contextmanager
def over_http(port: int) -> Generator[subprocess.Popen[bytes]]:
    """`tool_server.py` as an HTTP server, ready."""
    process = subprocess.Popen([sys.executable, str(PROGRAM), "http", str(port)], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert process.poll() is None, "the HTTP server did not start"
                time.sleep(0.02)
            else:
                break
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def until(condition: Any, *, within: float = 30.0) -> None:
    """Wait for a condition; fail when it never comes true."""
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        await asyncio.sleep(0.01)


def family() -> set[int]:
    """The processes under this one that run `tool_server.py`, or were started by it."""
    found: set[int] = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found
