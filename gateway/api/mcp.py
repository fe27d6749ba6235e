"""`/api/mcp-servers` and `/api/mcp-tools`: the MCP servers that the caller's key may use, and their tools."""

from datetime import UTC, datetime
from typing import Any

from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct, convert, field, structs

from gateway.api.access import Gateway, admin, caller, principal_of, user
from gateway.api.answers.mcp import (
    McpServerList,
    McpServerSettings,
    McpServerStatus,
    McpServerSummary,
    McpSettings,
    McpStatusList,
    McpTool,
    McpToolAnswer,
    McpToolList,
    McpTransport,
)
from gateway.settings.mcp import McpServer

_Request = Request[object, object, State]


class McpToolRequest(Struct, forbid_unknown_fields=True):
    """What the tool is given; it is to follow the tool's `input_schema`."""

    input: dict[str, Any] = field(default_factory=dict[str, Any])


class McpServers(Controller):
    """The servers. Asking for their status starts none of them; asking for their tools does."""

    path = "/api/mcp-servers"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["MCP"]  # noqa: RUF012 - as above

    @get(summary="List the MCP servers that you may use")
    async def list_servers(self, gateway: Gateway, request: _Request) -> McpServerList:
        """By name, with how each does."""
        found = gateway.mcp.of(principal_of(request))
        return McpServerList(
            [
                McpServerSummary(one.spec.name, _transport(one.spec), one.status().status, one.status().tools)
                for one in found
            ]
        )

    @get("/settings", summary="Their settings, secrets masked", guards=[admin])
    async def settings(self, gateway: Gateway) -> McpSettings:
        """As the file of MCP_SETTINGS_FILE says, for the administrator."""
        file = gateway.settings.mcp.settings_file
        return McpSettings(
            None if file is None else str(file), [_shown(one) for one in gateway.settings.mcp.servers.values()]
        )

    @get("/status", summary="How each of them does, and why")
    async def status(self, gateway: Gateway, request: _Request) -> McpStatusList:
        """Of the process that answers: each worker has its own."""
        found = gateway.mcp.of(principal_of(request))
        answers: list[McpServerStatus] = []
        for one in found:
            told = structs.asdict(one.status())
            told |= {name: _when(told[name]) for name in ("since", "retry_at")}
            answers.append(McpServerStatus(name=one.spec.name, **told))
        return McpStatusList(answers)

    @get("/{server:str}/tools", summary="The tools of one server", guards=[user])
    async def tools(
        self, gateway: Gateway, request: _Request, server: FromPath[str], refresh: FromQuery[bool] = False
    ) -> McpToolList:
        """As it told them last; `refresh` asks it again. Starts it where it does not run yet: needs the scope `use`."""
        found = await gateway.mcp.tools(principal_of(request), server, refresh=refresh)
        return McpToolList(server, [convert(structs.asdict(one), McpTool) for one in found])


class McpTools(Controller):
    """Their tools."""

    path = "/api/mcp-tools"
    guards = [caller]  # noqa: RUF012 - as above
    tags = ["MCP"]  # noqa: RUF012 - as above

    @post("/{server:str}/{tool:str}", summary="Call a tool", status_code=HTTP_200_OK)
    async def call(
        self,
        gateway: Gateway,
        request: _Request,
        server: FromPath[str],
        tool: FromPath[str],
        data: JSONBody[McpToolRequest],
    ) -> McpToolAnswer:
        """422 with every problem when the input does not follow the tool's schema.

        503 while the server is away, 504 when the tool takes longer than the server's `timeout`.
        """
        outcome = await gateway.mcp.call(principal_of(request), server, tool, data.input)
        return McpToolAnswer(server, tool, outcome.is_error, outcome.text, outcome.content, outcome.structured)


def _transport(spec: McpServer) -> McpTransport:
    return "stdio" if spec.command is not None else "http"


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _shown(spec: McpServer) -> McpServerSettings:
    return McpServerSettings(
        name=spec.name,
        transport=_transport(spec),
        disabled=spec.disabled,
        command=spec.command,
        args=list(spec.args_shown),
        env={name: str(value) for name, value in spec.env.items()},
        cwd=None if spec.cwd is None else str(spec.cwd),
        url=None if spec.url is None else str(spec.url),
        headers={name: str(value) for name, value in spec.headers.items()},
        allowed_keys=None if spec.allowed_keys is None else list(spec.allowed_keys),
        allowed_tools=None if spec.allowed_tools is None else list(spec.allowed_tools),
        timeout=spec.timeout,
        start_timeout=spec.start_timeout,
    )
