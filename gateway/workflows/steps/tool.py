"""A tool of an MCP server, called in the name of the key that began the execution.

A tool that says itself that it failed fails the step for good: its text says why, and the same input would fail again.
A server that is away or was lost, or a tool that took too long, may be there at the next try. Nobody can know then
whether the tool has run, so one that must not run twice takes `"retries": 0`.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import McpUnavailable, ToolTimedOut
from gateway.governance.keys import Principal
from gateway.mcp.servers import Servers
from gateway.workflows.bind import Scope
from gateway.workflows.kept import Execution, Failure
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Tool

#: Characters of a failed tool's text that are kept.
_SHOWN = 500


class Tools:
    """Calls tools."""

    def __init__(self, servers: Callable[[], Servers], caller: Callable[[Execution], Principal]) -> None:
        """Of these servers; `caller` knows whose key began an execution."""
        self._servers = servers
        self._caller = caller

    async def __call__(self, context: Context, node: Tool, known: Scope) -> Result:
        """Call it. Raises `StepFailed`, and `GatewayError` for what trying again would not mend."""
        by = self._caller(context.execution)
        try:
            outcome = await self._servers().call(by, node.server, node.tool, node.input)
        except (McpUnavailable, ToolTimedOut) as exc:
            raise StepFailed(Failure(exc.type, exc.message, exc.code, exc.status), transient=True) from exc
        if outcome.is_error:
            said = outcome.text[:_SHOWN] or "no reason was given"
            raise StepFailed(Failure("tool_error", f"{node.server}/{node.tool}: {said}"), transient=False)
        return Result({"text": outcome.text, "content": outcome.content, "structured": outcome.structured})
