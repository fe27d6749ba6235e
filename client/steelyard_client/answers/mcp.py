"""Answers: mcp. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(kw_only=True)
class McpServerSummary:
    """A server that you may use. `tools` counts those it told; null until it has run."""

    name: str
    transport: Literal["stdio", "http"]
    status: Literal["disabled", "stopped", "starting", "running", "failed"]
    tools: int | None


@dataclass(kw_only=True)
class McpServerList:
    """All servers that you may use, by name."""

    servers: list[McpServerSummary]


@dataclass(kw_only=True)
class McpServerSettings:
    """A server as it is configured, with whatever may be a secret masked.

    `allowed_keys` null: every key may use it; `allowed_tools` null: all its tools are to be had. Times in seconds.
    """

    name: str
    transport: Literal["stdio", "http"]
    disabled: bool
    command: str | None
    args: list[str]
    env: dict[str, str]
    cwd: str | None
    url: str | None
    headers: dict[str, str]
    allowed_keys: list[str] | None
    allowed_tools: list[str] | None
    timeout: float
    start_timeout: float


@dataclass(kw_only=True)
class McpSettings:
    """The file, null when there is none, and the servers it names."""

    file: str | None
    servers: list[McpServerSettings]


@dataclass(kw_only=True)
class McpServerStatus:
    """How a server does in this process.

    `reason` says why it failed, `since` when it came to be so, `retry_at` when it is started again; `restarts` counts
    since the gateway's start; `server` and `protocol` are what it said of itself.
    """

    name: str
    status: Literal["disabled", "stopped", "starting", "running", "failed"]
    reason: str | None
    since: datetime | None
    retry_at: datetime | None
    restarts: int
    tools: int | None
    server: str | None
    protocol: str | None


@dataclass(kw_only=True)
class McpStatusList:
    """Of all servers that you may use."""

    servers: list[McpServerStatus]


@dataclass(kw_only=True)
class McpTool:
    """A tool as its server describes it; the schemas are JSON Schema, `annotations` the server's own hints."""

    name: str
    title: str | None
    description: str | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any] | None


@dataclass(kw_only=True)
class McpToolList:
    """The tools of a server that are allowed."""

    server: str
    tools: list[McpTool]


@dataclass(kw_only=True)
class McpToolAnswer:
    """What a tool answered: its text, its blocks as MCP has them, and structured content where it gives some.

    `is_error`: the tool itself says that it failed; the text says why.
    """

    server: str
    tool: str
    is_error: bool
    text: str
    content: list[dict[str, Any]]
    structured: Any
