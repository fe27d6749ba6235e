"""What an MCP server leaves behind when it ends is closed once: by then the number may be a caller's connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.mcp.connection import connected
from gateway.settings.mcp import McpServer
from tests.acceptance.tool_world import settings_of, stdio

Run = Callable[[Coroutine[Any, Any, list[int]]], list[int]]
#: Files that are opened where a closed descriptor was.
_FILES = 8


async def _closed_by_others(server: McpServer) -> list[int]:
    """Which of the files that were opened as soon as the server had gone are closed a few turns later."""
    with suppress(OSError):
        async with connected(server, version="0", verify=False, ca_file=None, changed=lambda: None):
            pass
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(_FILES)]
    for _ in range(5):
        await asyncio.sleep(0.001)
    gone: list[int] = []
    for number in opened:
        try:
            os.close(number)
        except OSError:
            gone.append(number)
    return gone


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("entry", [stdio(), {"command": "no-such-program"}], ids=["ends", "never starts"])
def test_no_descriptor_of_somebody_else_is_closed(entry: dict[str, Any], run: Run, tmp_path: Path) -> None:
    server = settings_of(tmp_path, {"tools": entry}).mcp.servers["tools"]
    assert not run(_closed_by_others(server))
