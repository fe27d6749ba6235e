"""All MCP servers of this process: which there are, who may use which, and their common life.

Each worker process of a machine starts its own, and nothing is started before it is needed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.errors import Forbidden, NotFound
from gateway.governance.keys import ADMIN
from gateway.mcp.server import Seams, Server
from gateway.mcp.words import Outcome, Tool
from gateway.settings.mcp import McpServer
from gateway.settings.names import suggestion
from gateway.settings.tree import Settings


class Servers:
    """The servers of the settings."""

    def __init__(self, settings: Settings, seams: Seams) -> None:
        """Nothing runs yet."""
        self._servers = {name: Server(spec, seams) for name, spec in settings.mcp.servers.items()}
        self._handed_on: set[str] = set()
        #: Without any key at all, everybody is the administrator.
        self._open = not (settings.keys or settings.auth.admin_key)

    def of(self, key: str) -> list[Server]:
        """Those that this key may use."""
        return [one for one in self._servers.values() if self._may(key, one.spec)]

    async def tools(self, key: str, server: str, *, refresh: bool = False) -> list[Tool]:
        """The tools of a server. Raises `NotFound`, `Forbidden` or `McpUnavailable`."""
        return await self._find(key, server).tools(refresh=refresh)

    async def call(self, key: str, server: str, tool: str, given: dict[str, Any]) -> Outcome:
        """Call a tool in the name of a key. Raises as `Server.call`, and `NotFound` or `Forbidden`."""
        return await self._find(key, server).call(tool, given)

    def take_over(self, predecessor: Servers) -> None:
        """Go on with those that run already and whose settings are the same."""
        for name, mine in self._servers.items():
            theirs = predecessor._servers.get(name)
            if theirs is not None and theirs.same_as(mine) and name not in predecessor._handed_on:
                self._servers[name] = theirs
                predecessor._handed_on.add(name)

    async def stop(self) -> None:
        """Stop every one, at the same time; those that a successor goes on with run on."""
        mine = [one for name, one in self._servers.items() if name not in self._handed_on]
        await asyncio.gather(*(one.stop() for one in mine))

    def _find(self, key: str, name: str) -> Server:
        mine = sorted(one.spec.name for one in self.of(key))
        server = self._servers.get(name)
        if server is None:
            told = f"There is no MCP server '{name:.100}'. {suggestion(name, mine)}"
            raise NotFound(told, param="server", code="mcp_server_not_found")
        if name not in mine:
            raise Forbidden(f"The key '{key}' may not use the MCP server '{name}': its 'allowed_keys' do not name it.")
        return server

    def _may(self, key: str, spec: McpServer) -> bool:
        return self._open or key == ADMIN or spec.allowed_keys is None or key in spec.allowed_keys
