"""What bad days are made of: providers that break on command, callers that keep coming, callers that hang up.

Law: nothing here measures how long something took. Load is counted in requests, and what must happen is polled for,
with a deadline that only a broken gateway meets. Gateways that are processes of their own are in `bad_processes`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.sections import Requests, Timeouts
from providers import simulator
from providers.simulator import Lengths, Model, Prices, Provider, Simulation, Speed, Trouble
from providers.simulator.config import Dialect
from tests.serving import Serving, settings_in, simulated

#: The model every provider of the cast serves.
MODEL = "sim-chat"
#: The cast, with the dialect that each speaks.
DIALECTS: Mapping[str, Dialect] = {
    "alfa": "openai",
    "bravo": "anthropic",
    "charlie": "gemini",
    "delta": "openai",
}
#: Seconds after which a test gives up on what should have happened long ago.
PATIENCE = 40.0


def four(
    favourite: str = "alfa", *, first_token_s: float = 0.01, tokens: int = 16, tokens_per_s: float = 0.0
) -> Simulation:
    """Four providers, of which the favourite is the quickest and the cheapest, so that the DWA prefers it."""
    return Simulation(
        providers=tuple(
            Provider(
                name=name,
                dialect=dialect,
                models=(
                    Model(
                        name=MODEL,
                        speed=Speed(
                            first_token_s=first_token_s * (1 if name == favourite else 2.5 + number / 4),
                            sigma=0.15,
                            tokens_per_s=tokens_per_s,
                        ),
                        lengths=Lengths(median_tokens=tokens),
                        prices=Prices(
                            input_usd_per_1m=1 if name == favourite else 3,
                            output_usd_per_1m=4 if name == favourite else 12,
                        ),
                    ),
                ),
            )
            for number, (name, dialect) in enumerate(DIALECTS.items())
        )
    )


class Day:
    """A gateway in this process, and the four providers behind it."""

    def __init__(self, serving: Serving, running: simulator.Running) -> None:
        self.serving = serving
        self.running = running

    @property
    def url(self) -> str:
        return self.serving.url

    def befall(self, trouble: Trouble, *names: str, seconds: float | None = None) -> None:
        """From now on this happens at these providers, or at all."""
        for name in names or DIALECTS:
            self.running.control(name, trouble, seconds=seconds)

    def heal(self) -> None:
        for name in DIALECTS:
            self.running.control(name)

    def counters(self, name: str) -> dict[str, Any]:
        return self.running.state()[name]["counters"]

    def seen(self, *names: str) -> int:
        """Requests that have reached these providers, or all."""
        state = self.running.state()
        return sum(state[name]["counters"]["requests"] for name in names or DIALECTS)

    def busy(self) -> int:
        """Requests that providers are working on."""
        return sum(one["counters"]["in_flight"] for one in self.running.state().values())


def impatient(settings: Settings) -> Settings:
    """Settings under which a hanging provider is given up soon, and pauses between retries are short."""
    return replace(
        settings,
        timeout=Timeouts(connect=2.0, first_byte=0.5, idle=0.5),
        requests=replace(Requests(), backoff=0.05),
    )


def patient(settings: Settings) -> Settings:
    """Settings under which nothing is given up while a test runs."""
    return settings


@contextmanager
def a_day(
    folder: Path,
    cast: Simulation | None = None,
    change: Callable[[Settings], Settings] = impatient,
    *,
    by_way_of: Mapping[str, int] | None = None,
) -> Generator[Day]:
    """The day begins well. Providers named in `by_way_of` are reached by that port of this machine."""
    cast = cast or four()
    with simulator.start(cast) as running:
        settings = simulated(change(settings_in(folder)), running, cast)
        for name, port in (by_way_of or {}).items():
            provider = settings.providers[name]
            moved = replace(provider, base_url=provider.base_url.replace(f":{running.port}/", f":{port}/"))
            settings = replace(settings, providers={**settings.providers, name: moved})
        with Serving(settings) as serving:
            yield Day(serving, running)


@asynccontextmanager
async def a_day_beside(
    folder: Path, change: Callable[[Settings], Settings], cast: Simulation | None = None
) -> AsyncGenerator[Day]:
    """The same for tests whose own event loop serves something to the gateway, which needs it to start and stop."""
    day = a_day(folder, cast, change)
    begun = await asyncio.to_thread(day.__enter__)
    try:
        yield begun
    finally:
        await asyncio.to_thread(day.__exit__, None, None, None)


@dataclass(frozen=True)
class Told:
    """What a caller was told in answer to `asked`. Status 0: the connection broke."""

    asked: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: bool
    dialect: str
    #: On the event loop's clock, when the last byte was there.
    at: float

    @property
    def id(self) -> str:
        return self.headers.get("x-steelyard-request-id", "")

    @property
    def provider(self) -> str:
        return self.headers.get("x-steelyard-provider", "")

    @property
    def number(self) -> int:
        """Of a crowd's question."""
        return int(self.asked.strip(".").rpartition(" ")[2])

    @property
    def reason(self) -> str:
        return self.headers.get("x-steelyard-reason", "")

    @property
    def attempts(self) -> int:
        return int(self.headers.get("x-steelyard-attempts", "0"))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events, without `[DONE]`."""
        lines = [line.removeprefix(b"data: ") for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        return [json.loads(line) for line in lines if line != b"[DONE]"]

    @property
    def text(self) -> str:
        """What the model said."""
        if not self.stream:
            return self.json["choices"][0]["message"]["content"] if self.dialect == "openai" else _text(self.json)
        if self.dialect == "openai":
            choices = [choice for event in self.events for choice in event["choices"]]
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        return "".join(event["delta"].get("text", "") for event in self.events if event["type"].endswith("_delta"))

    @property
    def clean_end(self) -> bool:
        """A stream that says it is complete, once, in its last event."""
        end = b"data: [DONE]\n\n" if self.dialect == "openai" else b'data: {"type":"message_stop"}\n\n'
        return self.body.endswith(end) and self.body.count(end) == 1

    @property
    def good(self) -> bool:
        """It is a whole answer to this caller's question, with a clean end."""
        if self.status != 200 or b'"error"' in self.body:
            return False
        return self.asked in self.text and self.text.startswith("[simulated]") and (not self.stream or self.clean_end)


def _text(message: Any) -> str:
    return "".join(block.get("text", "") for block in message["content"])


def question(
    text: str, *, dialect: str = "openai", stream: bool = False, model: str = MODEL, **fields: object
) -> tuple[str, dict[str, object]]:
    """Path and body of a request in a caller's dialect."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    if dialect == "anthropic":
        return "/v1/messages", {**body, "max_tokens": 64, **fields}
    return "/v1/chat/completions", {**body, **fields}


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    text: str,
    *,
    dialect: str = "openai",
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Told:
    """One request, whatever comes of it."""
    path, body = question(text, dialect=dialect, stream=stream, **fields)
    clock = asyncio.get_running_loop().time
    try:
        async with session.post(url + path, json=body, headers=headers) as answer:
            said = await answer.read()
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Told(text, answer.status, found, said, stream, dialect, clock())
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        return Told(text, 0, {}, repr(exc).encode(), stream, dialect, clock())


@asynccontextmanager
async def callers(*, at_once: int = 0, key: str | None = None) -> AsyncGenerator[aiohttp.ClientSession]:
    """A client for `ask`, which waits as long as a test may take; `key` is its own."""
    connector, headers = aiohttp.TCPConnector(limit=at_once), {"authorization": f"Bearer {key}"} if key else {}
    patience = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=patience, headers=headers) as session:
        yield session


@dataclass
class Crowd:
    """Callers that keep coming, each with a question of its own: both SDKs' dialects, whole answers and streams."""

    #: The gateways that are asked, four questions each in turn; may be replaced while they come.
    urls: Sequence[str]
    session: aiohttp.ClientSession
    streams: bool
    answers: list[Told] = field(default_factory=list[Told])
    #: How many questions were asked; the last one was "question <this>.".
    asked: int = 0
    _running: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def keep_coming(self, pace: float, at_most: int) -> None:
        """`pace` requests a second, 100 at once, until cancelled."""
        while self.asked < at_most:
            if len(self._running) < 100:
                self.asked += 1
                task = asyncio.create_task(self._one(self.asked))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await asyncio.sleep(1 / pace)

    async def _one(self, number: int) -> None:
        dialect = "anthropic" if number % 4 >= 2 else "openai"
        stream = self.streams and number % 2 == 1
        url = self.urls[number // 4 % len(self.urls)]
        self.answers.append(await ask(self.session, url, f"question {number}.", dialect=dialect, stream=stream))

    async def more(self, number: int) -> list[Told]:
        """Wait until that many more have been answered: those."""
        before = len(self.answers)
        await eventually(lambda: len(self.answers) >= before + number)
        return self.answers[before:]

    async def are_answered(self) -> None:
        """Wait for those under way now, while others keep coming."""
        await asyncio.wait(set(self._running))

    async def settle(self) -> None:
        """Wait for those still under way."""
        while self._running:
            await asyncio.wait(self._running)

    @property
    def bad(self) -> list[tuple[int, bytes]]:
        return [(one.status, one.body[-300:]) for one in self.answers if not one.good]


@asynccontextmanager
async def a_crowd(
    *urls: str, pace: float = 50, at_most: int = 1000, streams: bool = True, key: str | None = None
) -> AsyncGenerator[Crowd]:
    """Load in the background. At the end nobody new comes, and everybody gets an answer."""
    async with callers(key=key) as session:
        crowd = Crowd(urls, session, streams)
        coming = asyncio.create_task(crowd.keep_coming(pace, at_most))
        try:
            yield crowd
        finally:
            coming.cancel()
            await asyncio.wait([coming])
            await crowd.settle()


async def eventually(condition: Callable[[], object], *, within: float = PATIENCE, what: str = "") -> None:
    """Poll until it is true; fail the test when it never is."""
    give_up = time.monotonic() + within
    while not condition():
        assert time.monotonic() < give_up, what or "it never happened"
        await asyncio.sleep(0.01)


async def look(session: aiohttp.ClientSession, url: str) -> Any:
    """The JSON found there, whatever the status."""
    async with session.get(url) as answer:
        return await answer.json()


async def until_seen(
    session: aiohttp.ClientSession, url: str, wanted: Callable[[Any], object], *, within: float = PATIENCE
) -> Any:
    """Poll a page until it shows what is wanted.

    An error shows nothing yet: a gateway serves before its new database has a schema, and until then has no records.
    """
    give_up = time.monotonic() + within
    while True:
        found = await look(session, url)
        if "error" not in found and wanted(found):
            return found
        assert time.monotonic() < give_up, f"{url} never showed it; the last was {found}"
        await asyncio.sleep(0.05)


class Caller:
    """A caller on a bare socket, which can hang up at any moment."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def asks(cls, url: str, path: str, body: Mapping[str, object], *, cut_at: int | None = None) -> Caller:
        """Connect and send the request, or its first `cut_at` bytes."""
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        said = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        data = f"{head}content-length: {len(said)}\r\n\r\n".encode() + said
        writer.write(data[:cut_at])
        await writer.drain()
        return cls(reader, writer)

    async def until(self, text: bytes) -> bytes:
        """Everything up to the text, and it."""
        return await asyncio.wait_for(self._reader.readuntil(text), PATIENCE)

    async def hang_up(self, *, rudely: bool = False) -> None:
        """Close the connection: with a FIN, or rudely with a RST."""
        if rudely:
            self._writer.transport.abort()
            return
        self._writer.close()
        await self._writer.wait_closed()
