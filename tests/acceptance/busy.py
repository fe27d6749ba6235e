"""A gateway that everything happens to that its metrics tell of, over and over, until somebody has seen enough.

Callers of all kinds come: whole and streamed answers, cached ones, wrong keys, spent budgets, full limits, hang-ups.
One provider is down, one hangs now and then; workflows end well and badly, and one waits for a person.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from providers import simulator
from providers.simulator import Faults, Limits, Provider, Simulation
from tests.acceptance.bad_days import MODEL, four
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.acceptance.driving import ADMIN_KEY
from tests.acceptance.flows import Flows, Oracle, an_oracle
from tests.acceptance.tool_world import stdio

Json = dict[str, Any]


def _key(name: str) -> str:
    return f"{name}-0123456789abcdef0123456789abcdef"


#: A beginning that providers keep in their caches.
_LONG = "Once upon a time. " * 400
#: Prometheus's.
METRICS_KEY = _key("prometheus")
_KEYS: list[Json] = [
    {"name": "prometheus", "key": METRICS_KEY},
    {"name": "crowd", "key": _key("crowd"), "tags": ["team"]},
    {"name": "thrifty", "key": _key("thrifty"), "budget": {"usd": 1e-7, "period": "total"}},
    {"name": "hasty", "key": _key("hasty"), "rates": {"rpm": 1}},
    {"name": "single", "key": _key("single"), "rates": {"concurrency": 1}},
]
#: One workflow for each end an execution may come to, and one that waits.
_WORKFLOWS: dict[str, Json] = {
    "greets": {"say": {"type": "template", "template": "Hello"}, "ask": {"type": "prompt", "prompt": "Say hello"}},
    "breaks": {"say": {"type": "template", "template": "{{ 1 / 0 }}"}},
    "waits": {"ok": {"type": "approval", "message": "May it go on?"}},
}


def _hedged(provider: Provider) -> Provider:
    return replace(provider, models=(replace(provider.models[0], name="prompt"),))


def _cast() -> Simulation:
    """Providers, each with a fault of its own."""
    alfa, bravo, charlie, delta = four().providers
    return Simulation(
        providers=(
            replace(
                alfa,
                faults=Faults(overloaded=0.03, cut=0.02),
                limits=Limits(requests_per_min=600, tokens_per_min=60_000),
            ),
            replace(bravo, faults=Faults(first_event_error=0.05, garbled=0.02)),
            replace(charlie, faults=Faults(hang=0.02)),
            delta,
            # For a route that hedges; of a model of their own, so that nobody else's troubles are theirs.
            _hedged(replace(alfa, name="echo", faults=Faults(hang=0.1))),
            _hedged(replace(bravo, name="foxtrot")),
        )
    )


def _configuration(running: simulator.Running, cast: Simulation, oracle: Oracle, tools: Path) -> Json:
    made = configuration(running, cast)
    made["providers"]["alfa"]["budget"] = {"usd": 5}
    made["providers"] |= oracle.configuration["providers"]
    return {
        **made,
        "keys": _KEYS,
        "auth": {"admin_key": ADMIN_KEY},
        "budgets": {"tags": {"team": {"usd": 2, "period": "month"}}},
        "limits": {"queue": {"seconds": 0.2}},
        "timeout": {"first_byte": 1, "idle": 1},
        "requests": {"backoff": 0.05},
        "routes": {
            "hedged": {"targets": ["echo/prompt", "foxtrot/prompt"], "strategy": "priority", "hedge": True},
            "falls": {"targets": [f"delta/{MODEL}"], "fallback": [f"alfa/{MODEL}"]},
            "guarded": {"targets": [f"alfa/{MODEL}"], "guardrails": ["decent"]},
        },
        "guardrails": {
            "private": {"always": True, "pattern": {"find": ["email"], "action": "redact", "side": "request"}},
            "decent": {"moderation": {"model": f"delta/{MODEL}", "policy": "It is decent.", "fail": "open"}},
        },
        "mcp": {"settings_file": str(tools)},
    }


class Busy:
    """The gateway, and those who come to it."""

    def __init__(self, program: Program, oracle: Oracle) -> None:
        self.program = program
        self._flows = Flows(program, oracle)
        self._leave = threading.Event()
        self._come = threading.Thread(target=self._coming, daemon=True)
        #: What went wrong among the callers; they stop then.
        self.failure: BaseException | None = None

    def __enter__(self) -> Busy:
        for slug, nodes in _WORKFLOWS.items():
            self._flows.save({"slug": slug, "name": slug, "nodes": nodes})
        self._come.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        self._come.join(60)

    def _coming(self) -> None:
        try:
            with ThreadPoolExecutor(8) as pool:
                while not self._leave.wait(0.1):
                    for done in [pool.submit(one) for one in self._round()]:
                        done.result()
        except BaseException as exc:  # noqa: BLE001 - told to the test
            self.failure = exc

    def _round(self) -> list[Any]:
        """Everything once, or a few times."""
        return [
            *(lambda n=n: self._ask(MODEL, stream=n % 2 == 0) for n in range(8)),
            *(lambda: self._ask("hedged", stream=True) for _ in range(8)),
            lambda: self._ask("falls"),
            lambda: self._ask("guarded"),
            lambda: self._ask(f"alfa/{MODEL}", said=_LONG),
            lambda: self._tool("tools", "add"),
            lambda: self._tool("gone", "add"),
            *(
                lambda: self._chat({"model": MODEL, "temperature": 0, "messages": _says("The same again?")})
                for _ in range(3)
            ),
            lambda: self._ask(MODEL, key="thrifty"),
            lambda: self._ask(MODEL, key="hasty"),
            *(lambda: self._ask(f"alfa/{MODEL}", key="single") for _ in range(3)),
            lambda: self._ask(MODEL, said="My address is somebody@example.com"),
            lambda: self._ask(MODEL, said="#sim fail=500"),
            lambda: self._ask(MODEL, said="#sim fail=401"),
            self._hang_up,
            self._wrong_key,
            self._feedback,
            *(lambda slug=slug: self._flows.begin(slug, key=ADMIN_KEY) for slug in _WORKFLOWS),
        ]

    def _ask(self, model: str, *, key: str = "crowd", stream: bool = False, said: str = "") -> Any:
        """A question that nobody has asked."""
        said = f"{said} {uuid.uuid4()}"
        return self._chat({"model": model, "stream": stream, "messages": _says(said), "max_tokens": 32}, key=key)

    def _chat(self, body: Json, key: str = "crowd") -> Any:
        return self._flows.call("POST", "/v1/chat/completions", body, key=_key(key))

    def _tool(self, server: str, tool: str) -> None:
        self._flows.call("POST", f"/api/mcp-tools/{server}/{tool}", {"input": {"a": 1, "b": 2}}, key=_key("crowd"))

    def _hang_up(self) -> None:
        """Somebody asks, and does not wait."""
        connection = HTTPConnection("127.0.0.1", self.program.port, timeout=0.05)
        with suppress(OSError, HTTPException):
            body = json.dumps({"model": f"charlie/{MODEL}", "messages": _says(f"{uuid.uuid4()} #sim fail=hang")})
            connection.request("POST", "/v1/chat/completions", body, {"x-api-key": _key("crowd")})
            connection.getresponse()
        connection.close()

    def _wrong_key(self) -> None:
        self._flows.call("GET", "/api/llm/providers", key="nobody-0123456789abcdef")

    def _feedback(self) -> None:
        told = self._ask(MODEL)
        if told.status == 200:
            vote = {"request_id": told.headers["x-steelyard-request-id"], "thumbs": "up"}
            self._flows.call("POST", "/api/feedback", vote, key=_key("crowd"))


def _says(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


@contextmanager
def a_busy_gateway(folder: Path, redis_url: str) -> Generator[Busy]:
    """It is ready, and they come."""
    cast = _cast()
    with simulator.start(cast) as running, an_oracle() as oracle:
        running.control("delta", "down")
        tools = folder / "mcp_settings.json"
        folder.mkdir()
        tools.write_text(json.dumps({"mcpServers": {"tools": stdio(), "gone": {"command": "no-such-program"}}}))
        made = _configuration(running, cast, oracle, tools)
        with a_program(folder, made, REDIS_URL=redis_url, TOOL_SECRET="secret") as program:
            program.start()
            program.until_migrated(ADMIN_KEY)
            with Busy(program, oracle) as busy:
                yield busy
