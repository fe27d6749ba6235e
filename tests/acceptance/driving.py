"""A gateway for the acceptance tests, with simulated providers behind it, and plain HTTP to look at it from outside.

Plain HTTP is `http.client`: it sends what it is told, also what no SDK would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.secrets import Secret
from gateway.settings.sections import Auth
from gateway.settings.shared import Key
from providers import simulator
from tests.serving import Serving, settings_in, simulated, until

#: One model of each wire format; every test of a caller's dialect runs against all three.
OPENAI, ANTHROPIC, GEMINI = CHAT_MODELS = ("sim-openai/sim-chat", "sim-anthropic/sim-chat", "sim-gemini/sim-chat")
ADMIN_KEY = "admin-0123456789abcdef0123456789abcdef"
ALICE_KEY = "alice-0123456789abcdef0123456789abcdef"
BOB_KEY = "bob-0123456789abcdef0123456789abcdef"
#: A valid 1×1 PNG.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
Change = Callable[[Settings], Settings]


@dataclass(frozen=True)
class Answer:
    """What came back: header names in lower case, of several alike the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """Server-sent events as (name, data); `[DONE]` stays text."""
        found: list[tuple[str, Any]] = []
        for block in self.body.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                data = fields["data"]
                found.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
        return found


class World:
    """A running gateway and the simulator behind it."""

    def __init__(self, serving: Serving, running: simulator.Running) -> None:
        self.serving = serving
        self.running = running

    @property
    def url(self) -> str:
        return self.serving.url

    def call(self, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str) -> Answer:
        """One request; bytes go out as they are, anything else as JSON. `x_api_key` names the header x-api-key."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.serving.port, timeout=20)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, key: str | None = None) -> Answer:
        return self.call("GET", path, key=key)

    def post(self, path: str, body: object, *, key: str | None = None, **headers: str) -> Answer:
        return self.call("POST", path, body, key=key, **headers)

    def chat(self, said: str, model: str = OPENAI, *, key: str | None = None, **more: Any) -> Answer:
        """A chat completion with one user message; `headers` among `more` go out as headers."""
        headers = more.pop("headers", {})
        body = {"model": model, "messages": [{"role": "user", "content": said}], **more}
        return self.post("/v1/chat/completions", body, key=key, **headers)

    def orchestrate(self, key: str | None = None, **body: Any) -> Answer:
        return self.post("/api/llm/orchestrate", body, key=key)

    def asked(self, provider: str | None = None) -> int:
        """How many requests the simulated providers, or one of them, have seen."""
        state = self.running.state()
        return sum(state[name]["counters"]["requests"] for name in ([provider] if provider else state))

    def forget(self, key: str | None = None) -> None:
        """Let the DWA forget, the cache be empty and every provider be healthy."""
        for provider in self.running.state():
            self.running.control(provider)
        assert self.post("/api/llm/dwa/reset", {}, key=key).status == 200
        assert self.call("DELETE", "/api/db/cache/clear", key=key).status == 200

    def record(self, request_id: str, key: str | None = None) -> dict[str, Any]:
        """The request's record, as soon as it is there."""
        path = f"/api/db/requests/{request_id}"
        until(lambda: self.get(path, key).status == 200)
        return self.get(path, key).json


def with_keys(settings: Settings) -> Settings:
    """Two callers and an administrator; the tests' many wrong keys, all from one address, are mistakes."""
    keys = (Key(name="alice", key=Secret(ALICE_KEY)), Key(name="bob", key=Secret(BOB_KEY)))
    return replace(settings, keys=keys, auth=Auth(admin_key=Secret(ADMIN_KEY), wrong_keys=0))


def impatient(settings: Settings) -> Settings:
    """No second round when everybody has failed, so that failures are quick."""
    return replace(settings, requests=replace(settings.requests, retries=0))


@contextmanager
def world_in(folder: Path, *changes: Change, cast: simulator.Simulation | None = None) -> Generator[World]:
    """A gateway with its files in `folder`, the instant cast behind it, and its settings changed."""
    cast = cast or simulator.instant(simulator.default_cast())
    settings = settings_in(folder)
    with simulator.start(cast) as running:
        settings = simulated(settings, running, cast)
        for change in changes:
            settings = change(settings)
        with Serving(settings) as serving:
            yield World(serving, running)
