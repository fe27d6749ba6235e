"""One MCP server, started when it is first needed and kept running from then on.

    stopped → starting → running → failed → (after a pause) starting …

A server that ends, or that does not answer even a request for its tools after a call took too long, is started again
after a pause of random(½, 1) · min(60 s, 1 s · 2ⁿ⁻¹) for the n-th failure in a row. After five in a row it rests until
somebody needs it again: a server nobody asks for is not started for ever.

Law: the process is opened and closed by one task of its own, which is told to end and never cancelled, because
cancelling it in the midst of closing would leave the server's process behind.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from contextvars import Context
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gateway import schemas
from gateway.errors import Invalid, McpUnavailable, NotFound, ToolFailed, ToolTimedOut
from gateway.mcp.words import Condition, Lost, Outcome, Refused, Status, Tool, masked
from gateway.settings.mcp import McpServer
from gateway.settings.names import suggestion

if TYPE_CHECKING:
    from gateway.mcp.connection import Connection

_log = logging.getLogger("steelyard.mcp")
#: Seconds. Doubled: a server that stumbled once is away for two seconds; halved: one that cannot start burns more.
FIRST_PAUSE = 1.0
#: Seconds. Doubled: a server that is well again is missed for two minutes.
LONGEST_PAUSE = 60.0
#: Failures in a row after which it rests: by then half a minute has passed.
_TRIES = 5
#: Seconds of life after which a failure is the first again. A crash by each call must not pass for a first one.
_STEADY = 60.0
#: Seconds for the answer of a server that is suspected to hang.
_PROBE = 5.0
#: Seconds for which a list of tools is believed when a tool is asked for that is not on it.
_FRESH = 5.0


class Seams(Struct, frozen=True):
    """What every server is started with: clocks, chance, trust, and our version."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    rng: random.Random
    version: str
    verify: bool = True
    ca_file: Path | None = None


class Server:
    """One server."""

    def __init__(self, spec: McpServer, seams: Seams) -> None:
        """Nothing runs before it is needed."""
        self.spec = spec
        self._seams = seams
        self._condition: Condition = "disabled" if spec.disabled else "stopped"
        self._reason: str | None = None
        self._since: float | None = None
        self._retry_at: float | None = None
        self._restarts = 0
        self._failures = 0
        self._connection: Connection | None = None
        self._told: tuple[str | None, str | None] = (None, None)
        self._tools: dict[str, Tool] | None = None
        self._listed_at = 0.0
        self._stale = False
        self._settled = asyncio.Event()
        self._ending = asyncio.Event()
        self._starting: asyncio.Timeout | None = None
        self._life: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    def same_as(self, other: Server) -> bool:
        """Whether it would be started in just the same way."""
        mine, theirs = self._seams, other._seams
        return self.spec == other.spec and (mine.verify, mine.ca_file) == (theirs.verify, theirs.ca_file)

    def status(self) -> Status:
        """How it does."""
        known = None if self._tools is None else len(self._tools)
        name, protocol = self._told
        if self._connection is not None and self._connection.lost.is_set():
            self._over()
        return Status(self._condition, self._reason, self._since, self._retry_at, self._restarts, known, name, protocol)

    async def tools(self, *, refresh: bool = False) -> list[Tool]:
        """Its tools, those that are allowed; as they were told last, unless it says that they have changed.

        Raises `McpUnavailable`.
        """
        if self._tools is None or self._stale or refresh:
            await self._list()
        return list((self._tools or {}).values())

    async def call(self, tool: str, given: dict[str, Any]) -> Outcome:
        """Call a tool.

        Raises:
            NotFound: there is no such tool.
            Invalid: what is given does not follow the tool's schema.
            ToolTimedOut: it took longer than the server's `timeout`.
            ToolFailed: the server answered with an error of the protocol.
            McpUnavailable: the server is away, or went away during the call.
        """
        known = await self._find(tool)
        _check(known, given)
        connection = await self._connected()
        try:
            async with asyncio.timeout(self.spec.timeout):
                return await connection.call(tool, given)
        except TimeoutError:
            self._probe(connection)
            told = f"'{self.spec.name}': the tool '{tool}' took longer than {self.spec.timeout:g} s."
            raise ToolTimedOut(told) from None
        except Lost as exc:
            connection.lost.set()
            raise self._unavailable(f"It went away during the call: {exc}") from None
        except Refused as exc:
            raise ToolFailed(f"'{self.spec.name}': the tool '{tool}' was not run: {exc}") from None

    def knows(self, tool: str) -> bool:
        """Whether the tools that it told last have this one."""
        return tool in (self._tools or {})

    @property
    def known(self) -> list[str] | None:
        """The names of the tools that it told last; None: it has told of none yet."""
        return None if self._tools is None else list(self._tools)

    async def stop(self) -> None:
        """End it and its process, and start it no more."""
        self._ending.set()
        if self._probing is not None:
            self._probing.cancel()
        if self._starting is not None:
            with suppress(RuntimeError):  # it is over already
                self._starting.reschedule(0.0)
        if self._life is not None:
            await asyncio.wait([self._life])
        if self._condition != "disabled":
            self._settle("stopped", None)

    async def _find(self, tool: str) -> Tool:
        await self.tools()
        aged = self._seams.monotonic() - self._listed_at >= _FRESH
        if tool not in (self._tools or {}) and aged:
            await self._list()
        known = self._tools or {}
        if tool not in known:
            told = f"'{self.spec.name}' has no tool '{tool:.100}'. {suggestion(tool, sorted(known))}"
            raise NotFound(told, param="tool", code="tool_not_found")
        return known[tool]

    async def _list(self) -> None:
        connection = await self._connected()
        try:
            async with asyncio.timeout(self.spec.timeout):
                self._keep_tools(await connection.tools())
        except TimeoutError:
            self._probe(connection)
            raise self._unavailable(f"It did not tell its tools within {self.spec.timeout:g} s.") from None
        except (Lost, Refused) as exc:
            if isinstance(exc, Lost):
                connection.lost.set()
            raise self._unavailable(f"It did not tell its tools: {exc}") from None

    def _keep_tools(self, tools: list[Tool]) -> None:
        allowed = self.spec.allowed_tools
        self._tools = {one.name: one for one in tools if allowed is None or one.name in allowed}
        self._listed_at, self._stale = self._seams.monotonic(), False

    async def _connected(self) -> Connection:
        """The connection; begun, and waited for, where there is none. Raises `McpUnavailable`."""
        if self.spec.disabled:
            raise self._unavailable("It is switched off in the settings ('disabled').")
        if self._ending.is_set():
            raise self._unavailable("It is being stopped.")
        now = self._seams.wall()
        if self._life is None or (self._life.done() and now >= (self._retry_at or 0.0)):
            self._settled.clear()
            self._condition, self._since = "starting", now
            # It outlives whoever needed it first, whose name is on no line of it.
            self._life = asyncio.create_task(self._live(), context=Context())
            self._life.add_done_callback(self._ended)
        if self._condition != "failed":
            await self._settled.wait()
        connection = self._connection
        if connection is None or connection.lost.is_set():
            wait = max(0.0, (self._retry_at or now) - now)
            raise self._unavailable(self._reason or "It has just ended.", wait or FIRST_PAUSE)
        return connection

    async def _live(self) -> None:
        """Start it, again and again while that is worth it."""
        self._failures = 0
        module = await asyncio.to_thread(import_module, "gateway.mcp.connection")
        while not self._ending.is_set():
            self._settled.clear()
            self._condition, self._since = "starting", self._seams.wall()
            began = self._seams.monotonic()
            reason = await self._one_life(module)
            self._connection = None
            if self._ending.is_set():
                return
            self._failures = 1 if self._seams.monotonic() - began >= _STEADY else self._failures + 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._failures - 1)) * self._seams.rng.uniform(0.5, 1.0)
            self._retry_at = self._seams.wall() + pause
            self._settle("failed", reason)
            _log.warning("an MCP server failed", extra={"mcp_server": self.spec.name, "reason": reason})
            if self._failures >= _TRIES:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            self._restarts += 1

    async def _one_life(self, module: ModuleType) -> str:
        """From its start to its end; what ended it."""
        seconds = self.spec.start_timeout
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(seconds) as self._starting:
                    connection = await stack.enter_async_context(self._opened(module))
                    tools = await connection.tools()
                self._starting = None
                self._keep_tools(tools)
                self._connection = connection
                self._told = connection.server, connection.protocol
                self._retry_at = None
                self._settle("running", None)
                await self._until_over(connection)
                # Closing it may take a while.
                self._over()
            said = f" Its last words: {connection.last_words}" if connection.last_words else ""
            return f"It ended by itself.{said}"
        except TimeoutError:
            return f"It was not ready within {seconds:g} s of its start ('start_timeout')."
        except Exception as exc:  # noqa: BLE001 - whatever the SDK raises for a server that cannot be had
            told: str = module.reason_of(exc)
            return masked(told, self.spec.secrets())
        finally:
            self._starting = None

    def _opened(self, module: ModuleType) -> Any:
        def changed() -> None:
            self._stale = True

        seams = self._seams
        return module.connected(
            self.spec, version=seams.version, verify=seams.verify, ca_file=seams.ca_file, changed=changed
        )

    async def _until_over(self, connection: Connection) -> None:
        waits = [asyncio.create_task(self._ending.wait()), asyncio.create_task(connection.lost.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _probe(self, connection: Connection) -> None:
        """Whether it hangs as a whole, or only that call did."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._ask(connection))

    async def _ask(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_PROBE):
                await connection.tools()
        except (TimeoutError, Lost):
            _log.warning("an MCP server hangs", extra={"mcp_server": self.spec.name})
            connection.lost.set()
        except Refused:
            pass  # it answers

    def _ended(self, life: asyncio.Task[None]) -> None:
        """Whoever waits must not wait for ever for a life that a defect ended: an SDK that cannot be imported, say."""
        if not life.cancelled() and (defect := life.exception()) is not None:
            _log.error("an MCP server cannot be kept", extra={"mcp_server": self.spec.name}, exc_info=defect)
            self._retry_at = self._seams.wall() + LONGEST_PAUSE
            self._settle("failed", "The gateway has a defect here; its log says which.")

    def _over(self) -> None:
        self._connection = None
        self._settle("failed", "It has just ended.")

    def _settle(self, condition: Condition, reason: str | None) -> None:
        self._condition, self._reason, self._since = condition, reason, self._seams.wall()
        self._settled.set()

    def _unavailable(self, why: str, retry_after: float | None = None) -> McpUnavailable:
        said = masked(why, self.spec.secrets())
        return McpUnavailable(f"The MCP server '{self.spec.name}' is not there. {said}", retry_after=retry_after)


def _check(tool: Tool, given: dict[str, Any]) -> None:
    try:
        validator = schemas.Validator(tool.input_schema)
    except schemas.BadSchema:
        return  # the server's own mistake: let it judge what it is given
    problems: list[tuple[str, str]] = []
    for error in validator.errors(given):
        hints = [suggestion(name, error.known) for name in error.unknown]
        problems.append((schemas.json_path(error.path), " ".join([error.message, *hints])))
    if problems:
        raise Invalid(f"The input of '{tool.name}' is not valid:", problems, param="input", code="invalid_tool_input")
