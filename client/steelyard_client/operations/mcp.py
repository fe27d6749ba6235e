"""MCP servers and their tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steelyard_client.answers.mcp import McpServerList, McpSettings, McpStatusList, McpToolAnswer, McpToolList
from steelyard_client.asking import Ask
from steelyard_client.operation import Operation


class Mcp:
    """`/api/mcp-servers` and `/api/mcp-tools`."""

    @Operation
    @staticmethod
    def mcp_servers() -> Ask[McpServerList]:
        """Those that your key may use."""
        return Ask(method="GET", address="/api/mcp-servers", answer=McpServerList)

    @Operation
    @staticmethod
    def mcp_settings() -> Ask[McpSettings]:
        """Their settings, secrets masked. For the administrator."""
        return Ask(method="GET", address="/api/mcp-servers/settings", answer=McpSettings)

    @Operation
    @staticmethod
    def mcp_status() -> Ask[McpStatusList]:
        """How each of them does, and why."""
        return Ask(method="GET", address="/api/mcp-servers/status", answer=McpStatusList)

    @Operation
    @staticmethod
    def mcp_tools(server: str, *, refresh: bool | None = None) -> Ask[McpToolList]:
        """The tools of one server, which is started if it does not run; `refresh` asks it anew."""
        query, place = {"refresh": refresh}, {"server": server}
        address = "/api/mcp-servers/{server}/tools"
        return Ask(method="GET", address=address, place=place, query=query, answer=McpToolList)

    @Operation
    @staticmethod
    def execute_mcp_tool(server: str, tool: str, input: Mapping[str, Any] | None = None) -> Ask[McpToolAnswer]:
        """Call a tool; `is_error` of the answer is the tool's own word."""
        place = {"server": server, "tool": tool}
        body = {"input": dict(input or {})}
        return Ask(
            method="POST", address="/api/mcp-tools/{server}/{tool}", place=place, body=body, answer=McpToolAnswer
        )
