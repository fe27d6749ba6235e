"""One connection to one MCP server, over stdio or streamable HTTP. The only door to the `mcp` SDK and its HTTP client.

Law: whatever goes wrong here leaves as `Lost` or `Refused`, never as an exception of the SDK; what the process writes
to its standard error goes to our log with its secrets masked, and what it writes to standard output and is no message
is passed over.

The SDK is 0.65 s and 55 MB of a process (Python 3.11, 2026-11), most of it models of the protocol. So this module is
imported when the first server starts, and not before. The SDK's scopes belong to the task that opened them: who enters
`connected` leaves it in the same task; calls may come from any.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CONNECTION_CLOSED, Implementation, TextContent, ToolListChangedNotification
from mcp.types import Tool as ToolType

from gateway.mcp.guarding import Guarded
from gateway.mcp.words import Lost, Outcome, Refused, Tool, masked, masked_tree
from gateway.settings.mcp import McpServer
from providers.egress import Proxies, tls_context
from providers.reach import EVERYWHERE, Reach

_log = logging.getLogger("steelyard.mcp")
#: Statuses after which a session is not there any more, or not for us; a new one may be.
_LOST_STATUSES = frozenset({401, 403, 404, 408, 429})
#: Seconds to connect and to send. How long an answer may take is the caller's to say.
_HTTP_TIMEOUT = 30.0
#: Pages of tools. A server that never says that a page is its last is not asked for ever.
_MOST_PAGES = 100
#: Tells the process's number, which is also its group's, and becomes the server. The SDK keeps the number to itself,
#: and ends the group only when the server does not end by itself: what it had started would be left behind.
_SHELL = "/bin/sh"
_LAUNCH = ("-c", 'echo $$ >&2; exec "$@"', "sh")
#: Bytes of a line of standard error; longer ones are cut in pieces.
_LONGEST_LINE = 4096
#: Lines of standard error that are logged in a second; more are counted. A program in a loop writes a million.
_MOST_LINES = 100
#: Seconds to read no further when a server has written what is no message, or too many lines: it waits, and not we.
_BREATH = 0.002
#: The SDK logs what it cannot read, content and all, and its HTTP client every URL with its query. That a server talks
#: nonsense, or is not there, is told here, without them.
for _name in ("mcp", "client", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Connection:
    """An open connection. `lost` is set when it has ended by itself."""

    def __init__(self, client: Client, ear: _Ear) -> None:
        """Over this client."""
        self._client = client
        self._ear = ear
        self.lost = ear.lost

    @property
    def server(self) -> str | None:
        """What the server calls itself."""
        info = self._client.server_info
        return None if info is None else f"{info.name} {info.version}".strip()

    @property
    def protocol(self) -> str:
        """The version of the protocol that both speak."""
        return self._client.protocol_version

    @property
    def last_words(self) -> str | None:
        """The last line that its process wrote to standard error."""
        return self._ear.last_words

    async def tools(self) -> list[Tool]:
        """All its tools. Raises `Lost` or `Refused`."""
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._told(self._client.list_tools(cursor=cursor))
            found += [_tool(one) for one in page.tools]
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    async def call(self, tool: str, given: dict[str, Any]) -> Outcome:
        """Call a tool; cancelled, the server is told. Raises `Lost` or `Refused`."""
        result = await self._told(self._client.call_tool(tool, given))
        blocks = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        clean = masked_tree([text, blocks, result.structured_content], self._ear.certain_secrets)
        return Outcome(*clean, is_error=bool(result.is_error))

    async def _told(self, asking: Any) -> Any:
        self._ear.status = None
        try:
            return await asking
        except MCPError as exc:
            status = self._ear.status
            if exc.code == CONNECTION_CLOSED or self.lost.is_set() or status is not None:
                raise Lost(self._ear.masked(f"{exc.message} (status {status})" if status else exc.message)) from None
            raise Refused(self._ear.masked(exc.message)) from None
        except Exception as exc:  # noqa: BLE001 - whatever the SDK raises for what it cannot read
            # An answer that breaks the protocol or the tool's own schema; the text may quote what was sent.
            if self.lost.is_set() or isinstance(exc, OSError | httpx2.HTTPError):
                raise Lost(self._ear.masked(reason_of(exc))) from None
            raise Refused(self._ear.masked(reason_of(exc))) from None


class _Ear:
    """What is heard of a server beside its answers."""

    def __init__(self, server: McpServer, changed: Callable[[], None]) -> None:
        self.lost = asyncio.Event()
        self._last = b""
        #: When the present second of standard error began, and its lines.
        self._second, self._lines = 0.0, 0
        #: The number of its process and of its group, which `_LAUNCH` tells first.
        self.process: int | None = None
        #: Of the last HTTP answer that was a failure.
        self.status: int | None = None
        self.certain_secrets = tuple(server.certain_secrets())
        self._server = server
        self._changed = changed
        self._nonsense = 0
        #: Readable once the process has ended.
        self._end: int | None = None

    @property
    def last_words(self) -> str | None:
        return self.masked(self._last.decode(errors="replace")) or None

    def masked(self, text: str) -> str:
        return masked(text, self._server.secrets())

    async def message(self, message: Any) -> None:
        """The SDK hands over what is no answer."""
        if isinstance(message, ToolListChangedNotification):
            self._changed()
        elif isinstance(message, Exception):
            self._nonsense += 1
            if self._nonsense == 1:
                _log.warning("an MCP server writes what is no message", extra={"mcp_server": self._server.name})

    async def answered(self, response: httpx2.Response) -> None:
        """The HTTP client hands over each answer's head."""
        if response.status_code in _LOST_STATUSES or response.status_code >= 500:
            self.status = response.status_code

    def line(self, line: bytes) -> None:
        """A line of standard error."""
        if self.process is None and line.isdigit():
            self.process = int(line)
            self._watch(self.process)
            return
        line = line.strip()
        if line:
            self._last = line
            if self._has_room():
                text = self.masked(line.decode(errors="replace"))
                _log.info("an MCP server says", extra={"mcp_server": self._server.name, "line": text})

    def _has_room(self) -> bool:
        """Whether a line more of standard error is logged within this second."""
        now = asyncio.get_running_loop().time()
        if now - self._second >= 1.0:
            if self._lines > _MOST_LINES:
                untold = self._lines - _MOST_LINES
                _log.warning("an MCP server said more", extra={"mcp_server": self._server.name, "lines": untold})
            self._second, self._lines = now, 0
        self._lines += 1
        return self._lines <= _MOST_LINES

    @property
    def floods(self) -> bool:
        """Whether it has written too many lines of late."""
        return self._lines > _MOST_LINES

    def _watch(self, process: int) -> None:
        """Hear of its end, also where what it started holds its standard output open. Where the system can tell."""
        if not hasattr(os, "pidfd_open"):
            return
        try:
            self._end = os.pidfd_open(process)
        except OSError:
            self.lost.set()
        else:
            asyncio.get_running_loop().add_reader(self._end, self.lost.set)

    def close(self) -> None:
        """Listen no more."""
        if self._end is not None:
            asyncio.get_running_loop().remove_reader(self._end)
            os.close(self._end)
            self._end = None


class _Heard:
    """A transport's streams, with the end of what comes in noted."""

    def __init__(self, transport: Any, ear: _Ear) -> None:
        self._transport = transport
        self._ear = ear

    async def __aenter__(self) -> tuple[Any, Any]:
        came, sent = await self._transport.__aenter__()
        return _Incoming(came, self._ear.lost), sent

    async def __aexit__(self, *exc: Any) -> bool | None:
        return await self._transport.__aexit__(*exc)


class _Incoming:
    """The stream of what comes in."""

    def __init__(self, stream: Any, lost: asyncio.Event) -> None:
        self._stream = stream
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> _Incoming:
        return self

    async def __anext__(self) -> Any:
        try:
            came = await self._stream.__anext__()
        except BaseException:
            self._lost.set()
            raise
        if isinstance(came, Exception):
            await asyncio.sleep(_BREATH)
        return came

    async def __aenter__(self) -> _Incoming:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        return await self._stream.__aexit__(*exc)


@asynccontextmanager
async def connected(
    server: McpServer, *, version: str, verify: bool, ca_file: Path | None, changed: Callable[[], None]
) -> AsyncGenerator[Connection]:
    """Start or reach the server, and agree on a version of the protocol; on leaving, stop it with all its children.

    `changed` is called when the server says that its tools are others now. Raises whatever kept it from starting.
    """
    ear = _Ear(server, changed)
    async with AsyncExitStack() as stack:
        if server.url is not None:
            transport = await _over_http(server, server.url.reveal(), ear, stack, verify=verify, ca_file=ca_file)
        else:
            transport = await _over_stdio(server, ear, stack)
        client = Client(
            transport,
            client_info=Implementation(name="steelyard", version=version),
            cache=None,
            message_handler=ear.message,
        )
        try:
            await stack.enter_async_context(client)
        except Exception as exc:  # noqa: BLE001 - whatever the SDK raises for a server that cannot be had
            said = ear.last_words or (f"status {ear.status}" if ear.status else None)
            raise Lost(ear.masked(reason_of(exc) + (f" ({said})" if said else ""))) from None
        yield Connection(client, ear)


async def _over_stdio(server: McpServer, ear: _Ear, stack: AsyncExitStack) -> Any:
    reading, writing = os.pipe()
    pipe, end = os.fdopen(reading, "rb", 0), os.fdopen(writing, "w")
    stack.callback(end.close)
    stream = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    # The loop owns the pipe, and closes it in a turn to come: closed here as well, its number might be somebody else's
    # by then, a caller's connection say, and the loop would close that.
    channel, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    stack.callback(channel.close)
    listening = asyncio.create_task(_listen(stream, ear))
    stack.callback(listening.cancel)
    stack.callback(_end_group, ear)
    stack.callback(ear.close)
    command = server.command or ""
    if server.cwd is None and shutil.which(command, path=_path_of(server)) is None:
        raise FileNotFoundError(errno.ENOENT, "There is no such program", command)
    # An image without a shell has hardly anything that a server could leave behind.
    run = [_SHELL, *_LAUNCH, command] if shutil.which(_SHELL) else [command]
    parameters = StdioServerParameters(
        command=run[0],
        args=[*run[1:], *(one.reveal() for one in server.args)],
        env={name: one.reveal() for name, one in server.env.items()},
        cwd=server.cwd,
        # What is no UTF-8 is no message either, and must not end those that are.
        encoding_error_handler="replace",
    )
    return _Heard(stdio_client(parameters, errlog=end), ear)


def _path_of(server: McpServer) -> str | None:
    named = server.env.get("PATH")
    return None if named is None else named.reveal()


def _end_group(ear: _Ear) -> None:
    """End what the server has started and left behind."""
    if ear.process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(ear.process, signal.SIGKILL)


async def _listen(stream: asyncio.StreamReader, ear: _Ear) -> None:
    rest = b""
    while came := await stream.read(_LONGEST_LINE):
        *lines, rest = (rest + came).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            ear.line(line)
        if ear.floods:
            await asyncio.sleep(_BREATH)
    ear.line(rest)


async def _over_http(
    server: McpServer, url: str, ear: _Ear, stack: AsyncExitStack, *, verify: bool, ca_file: Path | None
) -> Any:
    reach = Reach(EVERYWHERE if server.private else (), [urlsplit(url).hostname or ""])
    # Proxies as for providers, and no more of the environment: a netrc's password is for somebody else.
    proxy = Proxies(trust_env=True).of(url)
    http = httpx2.AsyncClient(
        headers={"accept-encoding": "identity"} | {name: one.reveal() for name, one in server.headers.items()},
        timeout=httpx2.Timeout(_HTTP_TIMEOUT, read=None),
        transport=Guarded(reach, verify=tls_context(verify=verify, ca_file=ca_file), proxy=proxy),
        event_hooks={"response": [ear.answered]},
        trust_env=False,
    )
    await stack.enter_async_context(http)
    return _Heard(streamable_http_client(url, http_client=http), ear)


def reason_of(exc: BaseException) -> str:
    """The first of what went wrong, in one line."""
    while isinstance(exc, BaseExceptionGroup):
        exc = cast("BaseExceptionGroup[BaseException]", exc).exceptions[0]
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.strerror}: {exc.filename}" if exc.filename else exc.strerror
    said = str(exc).strip().partition("\n")[0]
    return said if isinstance(exc, Lost | Refused | MCPError) and said else f"{type(exc).__name__}: {said}".rstrip(": ")


def _tool(tool: ToolType) -> Tool:
    notes = tool.annotations
    return Tool(
        tool.name,
        tool.title,
        tool.description,
        tool.input_schema,
        tool.output_schema,
        None if notes is None else notes.model_dump(mode="json", by_alias=True, exclude_none=True),
    )
