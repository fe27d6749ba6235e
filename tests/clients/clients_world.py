"""A gateway as users start it, and clients that obey orders in processes of their own.

The gateway is `steelyard serve` with a configuration file: an instant cast of simulated providers, a key for every
client, one for the administrator. A client is a script under `node` or `python` that reads orders, one JSON object a
line, and answers each with what came of it or which error it raised. So every client stays in the environment it was
installed into, and what is expected of all of them is said once, in `test_clients.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from providers import simulator
from providers.simulator import Lengths, Model, Provider, Simulation
from tests.acceptance.bad_processes import ROOT, Program, a_program
from tests.acceptance.driving import PIXEL
from tests.clients.them import Client

HERE = Path(__file__).parent
ADMIN_KEY = "admin-0123456789abcdef0123456789abcdef"
#: Names that clients know as models, because some accept no others; every provider serves all of them.
CHAT_NAMES = ("sim-chat", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")
EMBED_NAMES = ("sim-embed", "text-embedding-3-small")
_PATHS = {"openai": "/v1", "anthropic": "", "gemini": ""}
_CAPABILITIES = ["tools", "vision", "json_schema", "reasoning"]


def cast() -> Simulation:
    """One provider of each wire format, that answers at once."""
    chats = tuple(Model(name=name, lengths=Lengths(median_tokens=40)) for name in CHAT_NAMES)
    embeds = tuple(Model(name=name, kind="embedding") for name in EMBED_NAMES)
    return Simulation(
        providers=(
            Provider(name="sim-openai", dialect="openai", models=(*chats, *embeds)),
            Provider(name="sim-anthropic", dialect="anthropic", models=chats),
            Provider(name="sim-gemini", dialect="gemini", models=(*chats, *embeds)),
        )
    )


def settings(running: simulator.Running, keys: Mapping[str, str]) -> dict[str, Any]:
    """What the `steelyard.yaml` says; no second round when everybody has failed, so that the client decides."""
    return {
        "auth": {"admin_key": ADMIN_KEY},
        "keys": [{"name": name, "key": key} for name, key in keys.items()],
        "requests": {"retries": 0},
        "request_log": {"flush_interval": 0.05},
        "providers": {
            one.name: {
                "dialect": one.dialect,
                "base_url": f"{running.url}/{one.name}{_PATHS[one.dialect]}",
                "models": [
                    {
                        "name": model.name,
                        "price": {"input": 1, "output": 2} if model.kind == "chat" else {"input": 1},
                        "capabilities": _CAPABILITIES if model.kind == "chat" else ["embeddings"],
                    }
                    for model in one.models
                ],
            }
            for one in cast().providers
        },
    }


@dataclass(frozen=True)
class World:
    """The gateway, and the providers behind it."""

    program: Program
    running: simulator.Running
    keys: Mapping[str, str]

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Ask as the administrator."""
        connection = HTTPConnection("127.0.0.1", self.program.port, timeout=20)
        try:
            sent = {"authorization": f"Bearer {ADMIN_KEY}"}
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, told
        return told

    def forget(self) -> None:
        """Let every provider be healthy, and the DWA know nothing against any."""
        for provider in self.running.state():
            self.running.control(provider)
        self.admin("POST", "/api/llm/dwa/reset", {})

    def records(self, key: str) -> list[dict[str, Any]]:
        """What was recorded of a client, newest first."""
        return self.admin("GET", f"/api/db/requests/recent?key={key}&limit=500")["requests"]

    def count(self, provider: str, what: str) -> int:
        """A counter of a simulated provider."""
        return self.running.state()[provider]["counters"][what]


@contextmanager
def serving(folder: Path, names: list[str]) -> Generator[World]:
    """A gateway with a key for each of these clients."""
    keys = {name: f"key-of-{name}-0123456789abcdef0123456789abcdef" for name in names}
    with simulator.start(cast()) as running, a_program(folder, settings(running, keys)) as program:
        program.start(really=True)  # as users do
        yield World(program, running, keys)
        program.terminate()


class Obeying:
    """A script's process. Clients of one script share it: most take seconds to load."""

    def __init__(self, command: list[str], world: World, name: str) -> None:
        self._complaints = world.program.folder / f"{name}.stderr"
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(
                command,
                cwd=world.program.folder,
                env={
                    **environ,
                    "GATEWAY": world.program.url,
                    "LLM_USER_PATH": str(world.program.folder / "llm"),
                    # No look-ups in the network: everything is on this machine.
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    def stop(self) -> None:
        """Kill it: it holds nothing, and some clients keep threads that take their time to end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait(10)
        self._process.stdin.close()
        self._process.stdout.close()

    def __call__(self, order: dict[str, Any]) -> dict[str, Any]:
        """Give an order; `facts` or `raised` of what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._complaints.read_text()
        return json.loads(line)


def missing(client: Client) -> str | None:
    """What is not there that the client needs; None when all is."""
    if client.home == "node" and shutil.which("node") is None:
        return "node"
    installed = _home(client) / ".installed"
    return None if installed.exists() else str(installed.parent.relative_to(ROOT))


def obeying(client: Client, world: World) -> Obeying:
    """Start its script."""
    if client.home == "node":
        command = ["node", str(HERE / "node" / client.script)]
    else:
        command = [str(_home(client) / "bin" / "python"), str(HERE / "python" / client.script)]
    return Obeying(command, world, client.script)


@dataclass(frozen=True)
class Doing:
    """One client, ready for orders."""

    client: Client
    key: str
    process: Obeying

    def __call__(self, scenario: str, model: str, said: str, **more: Any) -> dict[str, Any]:
        """Ask it to do something; `facts` or `raised` of what came of it."""
        order = {
            "scenario": scenario,
            "model": model,
            "provider": model.partition("/")[0],
            "said": said,
            "through": self.client.through,
            "image": PIXEL,
            "key": self.key,
            "retries": 0,
            **more,
        }
        return self.process(order)


def _home(client: Client) -> Path:
    # Where node looks for packages is a matter of where the script is.
    return HERE / "node" / "node_modules" if client.home == "node" else ROOT / ".clients" / client.home
