"""The whole gateway in this process, with providers that answer each call by a script: what was sent, what it cost.

Only the transport is replaced. Providers have the prices of `PRICE`, so that what an answer costs can be written down.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.app import Application, create_app
from gateway.settings import Settings
from gateway.settings.tree import ModelSettings, Price, ProviderSettings
from providers import PROVIDERS
from providers.dialect import Profile
from providers.errors import Cut
from tests.fidelity.wire import streamed
from tests.serving import settings_in

Json = dict[str, Any]
#: Provider → the model it is asked for. `bare` is any OpenAI-compatible server that knows no schemas. The strategy
#: `priority` asks them in this order.
MODELS = {
    "openai": "gpt-4.1",
    "anthropic": "claude-sonnet-5",
    "gemini": "gemini-3-pro",
    "ollama": "llama3.2",
    "grok": "grok-4.20-non-reasoning",
    "bare": "some-model",
}
#: USD per token, the same for all: every figure of an invoice is then one of these times a number of tokens.
PRICE = Price(input=2e-6, output=8e-6, cached_input=0.5e-6, cache_write=2.5e-6, cache_write_hour=4e-6)
#: Seconds by which whoever else speaks has said it all: that takes turns of the loop, and no time.
_LATE = 0.05


@dataclass
class Says:
    """One answer of a provider; `ends` is how a stream ends after its pieces: well, `cut`, cut `late`, or `never`.

    A whole answer comes at once, `late`, or `never`.
    """

    body: bytes = b""
    status: int = 200
    pieces: list[bytes] = field(default_factory=list[bytes])
    ends: str = "well"
    headers: dict[str, str] = field(default_factory=dict[str, str])


#: (provider, the body it was sent) → its answer.
Script = Callable[[str, Json], Says]


@dataclass
class Sent:
    """One call; `closed` once the gateway has let go of it."""

    provider: str
    body: Json
    path: str
    read: int = 0
    closed: bool = False


class _Answer:
    def __init__(self, says: Says, sent: Sent) -> None:
        self.status = says.status
        self.headers: Mapping[str, str] = says.headers
        self._says = says
        self._sent = sent

    async def read(self) -> bytes:
        if self._says.ends == "never":
            await asyncio.Event().wait()
        if self._says.ends == "late":
            await asyncio.sleep(_LATE)
        return self._says.body

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._says.pieces or [self._says.body]:
            self._sent.read += 1
            yield piece
            # As over a network: others have their turn.
            await asyncio.sleep(0)
        if self._says.ends == "late":
            await asyncio.sleep(_LATE)
        if self._says.ends in ("cut", "late"):
            raise Cut
        if self._says.ends == "never":
            await asyncio.Event().wait()


@dataclass
class Heard:
    """What the caller got, and the request's record."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def events(self) -> list[Json]:
        """The data of a stream's events, but for `[DONE]`."""
        lines = self.body.replace(b"\r\n", b"\n").split(b"\n")
        return [json.loads(one[6:]) for one in lines if one.startswith(b"data: {")]


class Scripted:
    """A running gateway whose providers are scripted."""

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        self.script: Script = lambda _provider, _body: Says(b"{}", 500)
        self.sent: list[Sent] = []
        # Its only way to the world: on this one instance, from the outside.
        app.parts.transport.open = self._open  # pyright: ignore[reportAttributeAccessIssue]

    def _open(
        self, _method: str, url: str, _headers: object, body: bytes, _timeouts: object, *, deadline: float | None
    ) -> AbstractAsyncContextManager[_Answer]:
        host, _, path = url.removeprefix("http://").partition("/")
        return self._opened(host.removesuffix(".invalid"), json.loads(body), f"/{path}")

    @asynccontextmanager
    async def _opened(self, provider: str, body: Json, path: str) -> AsyncGenerator[_Answer]:
        sent = Sent(provider, body, path)
        self.sent.append(sent)
        says = self.script(provider, body)
        await asyncio.sleep(0)
        try:
            yield _Answer(says, sent)
        finally:
            sent.closed = True

    def post(self, path: str, body: Json, *, leave: bytes | None = None, query: str = "", **headers: str) -> Heard:
        """Ask; a caller who `leave`s hangs up once this has come, or, if that is nothing, before anything has."""
        sent = {"x-steelyard-cache": "off", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self._run(self._call("POST", path, json.dumps(body).encode(), sent, query, leave))

    def get(self, path: str) -> Json:
        return self._run(self._call("GET", path, b"", {}, "", None)).json

    def forget(self) -> None:
        """Let the DWA forget, and nothing be scripted or sent."""
        self.script = lambda _provider, _body: Says(b"{}", 500)
        self.sent.clear()
        assert self.post("/api/llm/dwa/reset", {}).status == 200

    def totals(self) -> Json:
        """The sums over every request so far: one more is asked, since rows are written in the order of requests."""
        script = self.script
        self.script = lambda _provider, _body: Says(b"{}", 400)
        body: Json = {"model": f"openai/{MODELS['openai']}", "messages": [{"role": "user", "content": "Hi"}]}
        self.record(self.post("/v1/chat/completions", body))
        self.script = script
        self.sent.clear()
        return self.get("/api/db/stats")["totals"]

    def record(self, heard: Heard) -> Json:
        """The request's row, with its attempts, as soon as it is written."""
        path = f"/api/db/requests/{heard.headers['x-steelyard-request-id']}"
        for _ in range(500):
            found = self._run(self._call("GET", path, b"", {}, "", None))
            if found.status == 200:
                return found.json
            time.sleep(0.01)
        raise AssertionError("the request was never logged")

    def _run(self, work: Coroutine[Any, Any, Heard]) -> Heard:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _call(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], query: str, leave: bytes | None
    ) -> Heard:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"content-type", b"application/json"), *pairs],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        first: list[Json] = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()
        said: list[Json] = []

        async def receive() -> Any:
            if first:
                return first.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            said.append(message)
            if leave is not None and leave in b"".join(one.get("body", b"") for one in said):
                gone.set()
                await asyncio.sleep(0.01)

        if leave == b"":
            self._loop.call_later(_LATE, gone.set)
        await self._app(scope, receive, send)
        if leave == b"":
            return Heard(0, {}, b"")
        start = said[0]
        answered = {name.decode(): value.decode() for name, value in start["headers"]}
        return Heard(start["status"], answered, b"".join(one.get("body", b"") for one in said[1:]))


def whole(reply: Json) -> Says:
    """An answer as it is."""
    return Says(json.dumps(reply).encode())


def events(dialect: str, reply: Json, *, upto: bytes | None = None, ends: str = "well") -> Says:
    """The same as a stream, an event at a time; `upto` the event that holds this, and no further."""
    stream = streamed(dialect, reply)
    end = b"\r\n\r\n" if b"\r\n" in stream else b"\n\n"
    pieces = [one + end for one in stream.split(end) if one]
    if upto is not None:
        last = next(number for number, one in enumerate(pieces) if upto in one)
        pieces = pieces[: last + 1]
    return Says(pieces=pieces, ends=ends)


def dialect_of(provider: str) -> str:
    """The format a provider speaks."""
    return provider if provider in ("anthropic", "gemini") else "openai"


def _settings(folder: Path, retries: int) -> Settings:
    known = {one.name: one.profile for one in PROVIDERS}
    bare = Profile(json_schema=False, choices=1)
    providers = {
        name: ProviderSettings(
            name=name,
            dialect=dialect_of(name),  # pyright: ignore[reportArgumentType]
            base_url=f"http://{name}.invalid",
            api_key=None,
            models=(ModelSettings(name=model, upstream=model, price=PRICE),),
            priority=number,
            profile=known.get(name, bare),
        )
        for number, (name, model) in enumerate(MODELS.items())
    }
    settings = settings_in(folder, providers=providers)
    return replace(settings, requests=replace(settings.requests, retries=retries))


class _Stage:
    """A gateway in a thread of its own, from entry to exit: its life cycle belongs to one task."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._world: Scripted | None = None

    def __enter__(self) -> Scripted:
        self._thread.start()
        assert self._ready.wait(30)
        assert self._world is not None, "the gateway did not start"
        return self._world

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the gateway did not stop"

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            app = create_app(self._settings)
            async with app.lifespan():
                self._world = Scripted(app, self._loop)
                self._ready.set()
                await self._over.wait()
        finally:
            self._ready.set()


def scripted(
    folder: Path, *, retries: int = 0, change: Callable[[Settings], Settings] = lambda settings: settings
) -> AbstractContextManager[Scripted]:
    """A gateway with its files in `folder`; `retries` rounds when everybody has failed; `change` says what else."""
    return _Stage(change(_settings(folder, retries)))
