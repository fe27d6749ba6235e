"""All MCP servers of this process: which there are, who may use which, and their common life.

Each worker process of a machine starts its own, and nothing is started before it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.errors import Forbidden, GatewayError, Invalid, McpUnavailable, NotFound, ToolFailed, ToolTimedOut
from gateway.governance.keys import Principal
from gateway.mcp.server import Seams, Server
from gateway.mcp.words import Outcome, Tool
from gateway.settings.mcp import McpServer
from gateway.settings.names import suggestion
from gateway.settings.tree import Settings

#: Told of each call: server, tool, how it ended, and seconds.
Counted = Callable[[str, str, str, float], None]


def uncounted(server: str, tool: str, outcome: str, seconds: float) -> None:
    """Count nothing."""


_ENDINGS: dict[type[GatewayError], str] = {
    NotFound: "not_found",
    Invalid: "invalid",
    ToolTimedOut: "timed_out",
    ToolFailed: "refused",
    McpUnavailable: "unavailable",
}
#: Names of tools that one server has among the metrics; a server may change its tools as often as it likes.
_MOST_LABELS = 100
_OTHER = "other"


class Servers:
    """The servers of the settings."""

    def __init__(self, settings: Settings, seams: Seams, *, counted: Counted = uncounted) -> None:
        """Nothing runs yet; `counted` is told of calls of servers that there are."""
        self._counted = counted
        self._monotonic = seams.monotonic
        self._tools: dict[str, set[str]] = {}
        self._servers = {name: Server(spec, seams) for name, spec in settings.mcp.servers.items()}
        self._handed_on: set[str] = set()

    def everyone(self) -> list[Server]:
        """All there are."""
        return list(self._servers.values())

    def of(self, by: Principal) -> list[Server]:
        """Those that this caller may use."""
        return [one for one in self._servers.values() if _may(by, one.spec)]

    async def tools(self, by: Principal, server: str, *, refresh: bool = False) -> list[Tool]:
        """The tools of a server that this caller may use. Raises `NotFound`, `Forbidden` or `McpUnavailable`."""
        found = await self._find(by, server).tools(refresh=refresh)
        return [one for one in found if _may_call(by, server, one.name)]

    async def call(self, by: Principal, server: str, tool: str, given: dict[str, Any]) -> Outcome:
        """Call a tool in the name of a caller. Raises as `Server.call`, and `NotFound` or `Forbidden`."""
        found, began, ended = self._find(by, server), self._monotonic(), "cancelled"
        if not _may_call(by, server, tool):
            may = ", ".join(one for one in by.mcp_tools or () if one.startswith(f"{server}/"))
            raise Forbidden(f"The key '{by.name}' may not use the tool '{tool:.100}' of '{server}'. It may use: {may}.")
        try:
            outcome = await found.call(tool, given)
            ended = "tool_error" if outcome.is_error else "ok"
            return outcome
        except GatewayError as exc:
            ended = _ENDINGS.get(type(exc), "error")
            raise
        finally:
            self._counted(server, self._label(server, tool, ended), ended, self._monotonic() - began)

    def _label(self, server: str, tool: str, ended: str) -> str:
        """A tool's name as a label: one of a bounded list, that the server itself has told of."""
        known = self._tools.setdefault(server, set())
        if tool not in known and (ended == "not_found" or len(known) >= _MOST_LABELS):
            return _OTHER
        if tool not in known and not self._servers[server].knows(tool):
            return _OTHER
        known.add(tool)
        return tool

    def lacks(self, server: str, tool: str) -> tuple[str, str] | None:
        """What there is not of these two, `server` or `tool`, and a sentence that says so.

        Of a server that has not told its tools yet every tool may be there.
        """
        there = self._servers.get(server)
        if there is None:
            return "server", f"There is no MCP server '{server:.100}'. {suggestion(server, sorted(self._servers))}"
        if there.known is None or tool in there.known:
            return None
        return "tool", f"'{server}' has no tool '{tool:.100}'. {suggestion(tool, sorted(there.known))}"

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

    def _find(self, by: Principal, name: str) -> Server:
        mine = sorted(one.spec.name for one in self.of(by))
        server = self._servers.get(name)
        if server is None:
            told = f"There is no MCP server '{name:.100}'. {suggestion(name, mine)}"
            raise NotFound(told, param="server", code="mcp_server_not_found")
        if name not in mine and _named_by(server.spec, by):
            told = ", ".join(by.mcp_tools or ()) or "none"
            raise Forbidden(f"The key '{by.name}' may not use the MCP server '{name}'. Of tools it may use: {told}.")
        if name not in mine:
            said = f"The key '{by.name}' may not use the MCP server '{name}': its 'allowed_keys' do not name it."
            raise Forbidden(said)
        return server


def _may(by: Principal, spec: McpServer) -> bool:
    """The server's settings let the caller in, and so does what the caller's key says of tools."""
    lists = by.mcp_tools
    return _named_by(spec, by) and (lists is None or any(one.partition("/")[0] == spec.name for one in lists))


def _named_by(spec: McpServer, by: Principal) -> bool:
    return by.admin or spec.allowed_keys is None or by.name in spec.allowed_keys


def _may_call(by: Principal, server: str, tool: str) -> bool:
    return by.mcp_tools is None or server in by.mcp_tools or f"{server}/{tool}" in by.mcp_tools
