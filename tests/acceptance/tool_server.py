"""An MCP server for the tests, made with the official SDK; a program of its own: `tool_server.py stdio|http [port]`.

Misbehaviour by TOOL_SERVER: `rubbish` (lines on standard output that are no messages), `slow` (a second until it
starts), `stuck` (it never starts), `child` (a grandchild that outlives its standard input), `deaf` (it ignores the end
of its standard input and SIGTERM), `short-lived` (it dies before it has said a word), `loud` (50,000 lines on standard
error).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("tool-server", version="1.2.3")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(structured_output=False)
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool(structured_output=False)
def told() -> str:
    """What the server was given as a secret."""
    return os.environ.get("TOOL_SECRET", "nothing")


@server.tool()
def describe(name: str) -> dict[str, Any]:
    """An object."""
    return {"name": name, "tags": ["a", "b"]}


@server.tool()
def complain(reason: str) -> str:
    """Fail."""
    raise ToolError(f"this failed: {reason} {os.environ.get('TOOL_SECRET', '')}")


@server.tool()
async def wait(seconds: float) -> str:
    """Take so long, and let others go on."""
    await anyio.sleep(seconds)
    return "done"


@server.tool()
async def hang() -> str:
    """Hang as a whole: nothing else is answered either."""
    time.sleep(3600)  # noqa: ASYNC251 - this is the misbehaviour
    return "never"


@server.tool()
async def die(code: int) -> str:
    """End the process at once."""
    print("dying of", code, os.environ.get("TOOL_SECRET", ""), file=sys.stderr, flush=True)
    os._exit(code)


@server.tool()
def pid() -> int:
    """The process's number."""
    return os.getpid()


def _misbehave(how: str) -> None:
    if how == "rubbish":
        sys.stdout.buffer.write(b'Starting up...\n\xff\xfe rubbish\n{"half": \n[1,2]\n')
        sys.stdout.flush()
    elif how == "loud":
        sys.stderr.write("loud\n" * 50_000)
    elif how == "slow":
        time.sleep(1.0)
    elif how == "stuck":
        time.sleep(3600)
    elif how == "short-lived":
        sys.exit("no licence found for " + os.environ.get("TOOL_SECRET", "nobody"))
    elif how == "child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], stdin=subprocess.DEVNULL)
    elif how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    how = os.environ.get("TOOL_SERVER", "")
    _misbehave(how)
    if sys.argv[1] == "http":
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run("stdio")
        if how == "deaf":
            time.sleep(3600)
