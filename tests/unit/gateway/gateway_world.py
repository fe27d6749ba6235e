"""A gateway without sockets: providers that play scripts, tickets that remember their ending, a sink that remembers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, cast

import msgspec

from cache import CacheStats, Leases, MemoryStore, Store
from dwa import BALANCED, Balancer, Candidate, Objective, Shape, Ticket
from dwa.strategies import STRATEGIES
from gateway.api.chat import CHAT_COMPLETIONS
from gateway.api.ingress import Incoming, Surface
from gateway.asking import Ask, Defaults, Preparing
from gateway.caching import AnswerCache, CachePolicy
from gateway.catalog import Catalog, Deployment, Price, Route
from gateway.exchange import Exchange, Preferences
from gateway.failover import Failover, RetryPolicy
from gateway.pipeline import Pipeline, Streamed
from gateway.responses import Responses
from gateway.sinks import Sinks
from providers.client import Endpoint
from providers.dialect import Dialect, Profile, Target
from providers.dialects import OPENAI
from providers.errors import Fault
from providers.transport import Timeouts, Transport

#: USD per token.
PRICE = Price(1e-6, 2e-6)
#: What `reply` and `finished` cost by default: 10 tokens in, 5 out.
COST = 10 * 1e-6 + 5 * 2e-6


def deployment(
    key: str,
    *,
    price: Price = PRICE,
    context: int | None = None,
    capabilities: frozenset[str] | None = None,
    dialect: Dialect = OPENAI,
    priority: int = 0,
    timeouts: Timeouts | None = None,
) -> Deployment:
    """`provider/model`, reached at a host that has the provider's name."""
    provider, _, model = key.partition("/")
    return Deployment(
        provider=provider,
        model=model,
        dialect=dialect,
        endpoint=Endpoint(f"http://{provider}", (), timeouts or Timeouts()),
        target=Target(provider, model, Profile()),
        price=price,
        candidate=Candidate(key, price.input, price.output, price.cached_input, priority),
        context=context,
        capabilities=capabilities,
    )


def exchange(**changes: object) -> Exchange:
    """One that has just begun."""
    facts: dict[str, object] = {
        "id": "req_1",
        "created": 1_700_000_000.0,
        "began": asyncio.get_running_loop().time(),
        "surface": "chat",
        "dialect": "openai",
        "principal": "tenant",
        "requested_model": "m",
        "stream": False,
        "preferences": Preferences(),
    }
    return Exchange(**(facts | changes))  # pyright: ignore[reportArgumentType] - the fields, by name


class Noted:
    """A ticket that remembers how it ended; ending twice is refused by the real one inside."""

    def __init__(self, ticket: Ticket) -> None:
        self.real = ticket
        self.key = ticket.key
        self.sequel = ticket.sequel
        self.endings: list[tuple[object, ...]] = []
        self.first_tokens = 0

    @property
    def on_hang(self) -> Callable[[], None] | None:
        return self.real.on_hang

    @on_hang.setter
    def on_hang(self, tell: Callable[[], None] | None) -> None:
        self.real.on_hang = tell

    def first_token(self) -> None:
        self.first_tokens += 1
        self.real.first_token()

    def success(self, prompt: int, answer: int, cost: float | None = None, cached: int = 0) -> None:
        self.endings.append(("success", prompt, answer, cost, cached))
        self.real.success(prompt, answer, cost, cached)

    def failure(self, kind: str, caller_saw: bool = False) -> None:
        self.endings.append(("failure", kind, caller_saw))
        self.real.failure(kind, caller_saw)

    def throttled(self, retry_after: float | None = None) -> None:
        self.endings.append(("throttled", retry_after))
        self.real.throttled(retry_after)

    def caller_error(self) -> None:
        self.endings.append(("caller_error",))
        self.real.caller_error()

    def cancelled(self) -> None:
        self.endings.append(("cancelled",))
        self.real.cancelled()

    def outrun(self) -> None:
        self.endings.append(("outrun",))
        self.real.outrun()


class Ledger(Balancer):
    """The real balancer, which keeps every ticket it gave out."""

    def __init__(self) -> None:
        super().__init__(clock=asyncio.get_running_loop().time, rng=random.Random(1))
        self.tickets: list[Noted] = []

    def begin(
        self,
        candidate: Candidate,
        shape: Shape,
        sticky: str | None = None,
        objective: Objective | None = None,
        began: float | None = None,
        after: Ticket | None = None,
    ) -> Ticket:
        before = None if after is None else _real(after)
        ticket = Noted(super().begin(candidate, shape, sticky, objective, began, before))
        self.tickets.append(ticket)
        return cast("Ticket", ticket)

    def hedge_at(self, ticket: Ticket) -> float:
        return super().hedge_at(_real(ticket))

    def may_hedge(self, ticket: Ticket, candidate: Candidate, objective: Objective = BALANCED) -> bool:
        return super().may_hedge(_real(ticket), candidate, objective)

    def endings(self) -> list[tuple[object, ...]]:
        """Each ticket's key and its one ending."""
        assert all(len(ticket.endings) == 1 for ticket in self.tickets), "a ticket ends exactly once"
        return [(ticket.key, *ticket.endings[0]) for ticket in self.tickets]


def _real(ticket: Ticket) -> Ticket:
    return ticket.real if isinstance(ticket, Noted) else ticket


class Answer:
    """What a provider answers: status, a body, or chunks; a fault among them breaks the stream, an event waits."""

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        chunks: Sequence[bytes | Fault | asyncio.Event] = (),
        leaving: asyncio.Event | None = None,
    ) -> None:
        self.body = body
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.script = chunks
        self.leaving = leaving
        self.closed = False

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        for step in self.script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Fault):
                raise step
            else:
                yield step


Play = Callable[["Asked"], Awaitable[Answer]]


class Asked(msgspec.Struct):
    """One upstream call as it arrived."""

    url: str
    body: bytes
    deadline: float | None


class Upstreams:
    """The transport. `on(provider, play, …)`: the plays of its calls, in order; the last one repeats."""

    def __init__(self) -> None:
        self.plays: dict[str, list[Play]] = {}
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []

    def on(self, provider: str, *plays: Answer | Fault | Play) -> None:
        self.plays[provider] = [_play(one) for one in plays]

    def hosts(self) -> list[str]:
        """Who was called, in order."""
        return [_host(one.url) for one in self.asked]

    def open(
        self, _method: str, url: str, _headers: object, body: bytes, _timeouts: object, *, deadline: float | None
    ) -> _Opening:
        asked = Asked(url, body, deadline)
        self.asked.append(asked)
        plays = self.plays[_host(url)]
        return _Opening(self, plays.pop(0) if len(plays) > 1 else plays[0], asked)


class _Opening:
    def __init__(self, upstreams: Upstreams, play: Play, asked: Asked) -> None:
        self._upstreams = upstreams
        self._play = play
        self._asked = asked
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        self._answer = await self._play(self._asked)
        self._upstreams.answers.append(self._answer)
        return self._answer

    async def __aexit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            if self._answer.leaving is not None:
                await self._answer.leaving.wait()
            self._answer.closed = True


def _host(url: str) -> str:
    return url.split("/")[2]


def _play(one: Answer | Fault | Play) -> Play:
    if isinstance(one, (Answer, Fault)):

        async def play(_asked: Asked) -> Answer:
            if isinstance(one, Fault):
                raise one
            return one

        return play
    return one


def reply(text: str = "hello", *, prompt: int = 10, answer: int = 5, cached: int = 0) -> Answer:
    """A chat completion, as OpenAI sends it."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Answer(msgspec.json.encode(body))


def said(text: str) -> bytes:
    """One event with text."""
    return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def finished(*, prompt: int = 10, answer: int = 5) -> bytes:
    """The last events: finish, usage, the terminal one."""
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    stop = _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return stop + _event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n"


def opened() -> bytes:
    """The event that opens a stream: not content."""
    return _event({"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})


def _event(part: dict[str, object]) -> bytes:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + msgspec.json.encode(base | part) + b"\n\n"


def streaming(*chunks: bytes | Fault | asyncio.Event, leaving: asyncio.Event | None = None) -> Answer:
    """A streamed answer; `leaving` holds up its closing."""
    return Answer(chunks=chunks, leaving=leaving)


class CountingStore:
    """A store that counts who comes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.gets = self.sets = self.others = 0

    async def get(self, key: str) -> bytes | None:
        self.gets += 1
        return await self._store.get(key)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        self.sets += 1
        await self._store.set(key, value, ttl)

    async def clear(self, prefix: str = "") -> int:
        self.others += 1
        return await self._store.clear(prefix)

    async def forget(self, prefix: str = "") -> None:
        self.others += 1
        await self._store.forget(prefix)

    async def ping(self) -> bool:
        self.others += 1
        return await self._store.ping()

    def stats(self) -> CacheStats:
        return self._store.stats()

    def tiers(self) -> dict[str, int]:
        return self._store.tiers()

    async def close(self) -> None:
        await self._store.close()


class World:
    """A pipeline over scripted providers, and everything it told the sinks."""

    def __init__(
        self,
        deployments: Sequence[Deployment] = (),
        *,
        routes: Sequence[Route] = (),
        policy: RetryPolicy | None = None,
        cache: CachePolicy | None = None,
        sink: Callable[[Exchange], None] | None = None,
        timeout: float = 60.0,
        store: Store | None = None,
        leases: Leases | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.upstreams = Upstreams()
        self.balancer = Ledger()
        self.store = CountingStore(store or MemoryStore(64 * 2**20, clock=loop.time))
        self.cache = AnswerCache(self.store, cache or CachePolicy(enabled=True, ttl=600.0), leases)
        #: Every exchange that was closed, and its cost as the books have it: at the moment of closing.
        self.closed: list[Exchange] = []
        self.booked: list[float] = []
        sinks = [("book", self._book)] if sink is None else [("book", self._book), ("sink", sink)]
        self.sink_failures: list[str] = []
        catalog = Catalog(deployments or [deployment("a/m")], routes)
        defaults = Defaults("priority", "balanced", timeout)
        self.pipeline = Pipeline(
            catalog=catalog,
            preparing=Preparing(catalog, self.cache, defaults, objectives, strategies=frozenset(STRATEGIES)),
            balancer=self.balancer,
            failover=Failover(self.balancer, policy or RetryPolicy(), monotonic=loop.time, rng=random.Random(1)),
            cache=self.cache,
            transport=cast("Transport", self.upstreams),
            sinks=Sinks(sinks, failed=self.sink_failures.append),
            monotonic=loop.time,
        )

    def _book(self, exchange: Exchange) -> None:
        self.closed.append(exchange)
        self.booked.append(exchange.cost)

    def ask(
        self,
        *,
        surface: Surface = CHAT_COMPLETIONS,
        wishes: Preferences | None = None,
        created: float = 1_700_000_000.0,
        **fields: Any,
    ) -> Ask:
        """A question as it comes in from a surface; `fields` change or join the body's, None leaves one out."""
        said: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
        body = msgspec.json.encode({name: value for name, value in said.items() if value is not None})
        opened = exchange(surface=surface.name, preferences=wishes or Preferences(), created=created)
        return surface.understand(Incoming(body, {}, opened, cast("Responses", None)))

    def only(self) -> Exchange:
        """The one exchange that was closed, once."""
        assert len(self.closed) == 1, f"{len(self.closed)} exchanges were closed"
        return self.closed[0]


def objectives(name: str, weights: dict[str, float] | None) -> Objective:
    """As the gateway's parts make them."""
    if weights is None:
        return Objective.of(name)
    return Objective(name, weights["latency"], weights["cost"], weights["errors"], weights["quality"])


async def drain(pieces: AsyncIterator[bytes]) -> list[bytes]:
    """Every piece."""
    return [piece async for piece in pieces]


class Reader:
    """A caller who reads a stream piece by piece, and leaves when it likes."""

    def __init__(self, streamed: Streamed) -> None:
        self._streamed = streamed
        self._pieces = streamed.pieces()

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def leave(self) -> None:
        """Hang up."""
        await self._streamed.close()
