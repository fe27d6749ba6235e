"""The whole gateway in this process, with providers that play scripts: what was sent to them, and what the caller got.

Nothing stands between the caller's bytes and the provider's but the gateway itself; only its transport is replaced.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.app import Application, create_app
from gateway.settings import Settings
from gateway.settings.tree import ModelSettings, Price, ProviderSettings
from providers import PROVIDERS
from providers.simulator import anthropic_ask, gemini_ask, openai_ask
from providers.simulator.wire import Complaint, Operation
from tests.fidelity.reading import assembled
from tests.fidelity.wire import DIALECTS, Json, streamed
from tests.serving import settings_in

#: Names that are of no old generation, so that nothing is left out for a model's age.
UPSTREAM = {"openai": "gpt-5.5", "anthropic": "claude-sonnet-5", "gemini": "gemini-3-pro"}
#: The model of a provider that takes what its newer ones no longer do: sampling, and budgets of thinking.
OLDER = {"anthropic": "claude-haiku-4-5"}
_PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "orchestrate": "/api/llm/orchestrate",
}
_FREE = Price(input=0.0, output=0.0, cached_input=0.0)


@dataclass
class Heard:
    """One exchange: what the provider was sent, and what the caller got, as bytes and read."""

    status: int
    headers: dict[str, str]
    body: bytes
    answer: Json
    sent: Json | None
    #: The same as bytes.
    raw: bytes
    #: What the provider said, as bytes.
    told: bytes
    #: What a strict server of the provider's dialect says against what it was sent.
    complaint: str = ""


class _Answer:
    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self._body = body

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


@dataclass
class _Script:
    """The transport: remembers what it is given, and answers what it is told to."""

    answer: bytes = b""
    sent: list[bytes] = field(default_factory=list[bytes])

    def open(
        self, _method: str, _url: str, _headers: object, body: bytes, _timeouts: object, *, deadline: float | None
    ) -> AbstractAsyncContextManager[_Answer]:
        self.sent.append(body)
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[_Answer]:
        yield _Answer(self.answer)


class World:
    """A running gateway whose three providers are scripted."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._script = _Script()
        # Its only way to the world: on this one instance, from the outside.
        app.parts.transport.open = self._script.open  # pyright: ignore[reportAttributeAccessIssue]

    async def ask(
        self,
        ingress: str,
        provider: str,
        ask: Json,
        reply: Json,
        *,
        stream: bool,
        drop: bool = False,
        older: bool = False,
    ) -> Heard:
        """Send a request in the ingress's format to a provider, to its `older` model if it has one, that answers so."""
        told = streamed(provider, reply) if stream else json.dumps(reply).encode()
        self._script.answer = told
        self._script.sent.clear()
        headers = {"x-steelyard-cache": "off", **({"x-steelyard-drop-params": "true"} if drop else {})}
        status, answered, body = await self._post(*_addressed(ingress, _model(provider, older), ask, stream), headers)
        sent = self._script.sent[-1] if self._script.sent else None
        is_stream = answered.get("content-type", "").startswith("text/event-stream")
        try:
            answer = assembled(ingress, body) if is_stream else json.loads(body)
        except AssertionError as broken:
            # A stream that ends in an error: whoever expects an answer does not find it here.
            answer = {"broken": str(broken)}
        complaint = _complaint(provider, sent, stream) if sent is not None else ""
        return Heard(status, answered, body, answer, json.loads(sent) if sent else None, sent or b"", told, complaint)

    async def _post(self, path: str, query: str, body: bytes, headers: Json) -> tuple[int, dict[str, str], bytes]:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"content-type", b"application/json"), *pairs],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        messages: list[Json] = [{"type": "http.request", "body": body, "more_body": False}]
        said: list[Json] = []

        async def receive() -> Any:
            if messages:
                return messages.pop()
            # The caller stays: there is nothing more to be heard of it.
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            said.append(message)

        await self._app(scope, receive, send)
        start = said[0]
        answered = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], answered, b"".join(one.get("body", b"") for one in said[1:])


def _model(provider: str, older: bool) -> str:
    return f"{provider}/{OLDER.get(provider, UPSTREAM[provider]) if older else UPSTREAM[provider]}"


def _addressed(ingress: str, model: str, ask: Json, stream: bool) -> tuple[str, str, bytes]:
    """Path, query and body of the request."""
    if ingress == "gemini":
        verb = "streamGenerateContent" if stream else "generateContent"
        return f"/v1beta/models/{model}:{verb}", "alt=sse" if stream else "", json.dumps(ask).encode()
    streaming: Json = {"stream": True} if stream else {}
    if stream and ingress == "openai":
        # Without being asked, this format's streams have no usage.
        streaming["stream_options"] = {"include_usage": True}
    if ingress == "responses":
        # Unless told otherwise, this API stores every answer.
        streaming["store"] = False
    body = {"model": model, **streaming, **ask}
    return _PATHS[ingress], "", json.dumps(body).encode()


def _complaint(provider: str, body: bytes, stream: bool) -> str:
    """What the simulator's strict reader, which is written after the real API, has against a request."""
    try:
        if provider == "openai":
            openai_ask.chat(body, strict=True)
        elif provider == "anthropic":
            anthropic_ask.messages(body, {b"anthropic-version": b"2023-06-01"}, count=False)
        else:
            gemini_ask.generate(body, Operation("chat", UPSTREAM["gemini"], stream))
    except Complaint as exc:
        return exc.reply.body.decode()
    return ""


def _settings(folder: Path) -> Settings:
    found = {one.name: one for one in PROVIDERS}
    providers = {
        name: ProviderSettings(
            name=name,
            dialect=found[name].dialect,
            base_url=f"http://{name}.invalid",
            api_key=None,
            models=tuple(
                ModelSettings(name=model, upstream=model, price=_FREE)
                for model in (UPSTREAM[name], OLDER.get(name))
                if model is not None
            ),
            # What is judged is translation: requests for responses are not passed on in their own form; and the models
            # stand for those that give several answers to one call, too.
            profile=replace(found[name].profile, responses=False, single_choice=""),
        )
        for name in DIALECTS
    }
    settings = settings_in(folder, providers=providers)
    # A second try would answer the same.
    return replace(settings, requests=replace(settings.requests, retries=0))


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[World]:
    """A gateway with its files in `folder`, from start to stop."""
    app = create_app(_settings(folder))
    async with app.lifespan():
        yield World(app)
