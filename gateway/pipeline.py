"""One request, stage by stage: the table of contents of the gateway.

    resolve who can answer → look in the cache, or join whoever is asking the same → rank, try, fail over → settle

Law: an exchange is opened once and closed once, whatever happens in between; closing feeds every sink. A caller that
hangs up cancels the upstream call and blames nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from msgspec import Struct

from cache import Broadcast
from dwa import Balancer, Objective, Ranking, Shape, Ticket
from gateway import settling
from gateway.caching import AnswerCache, Family, Kept, Plan
from gateway.calls import Answer, Chat, Embedding, Opened
from gateway.catalog import Asked, Catalog, Deployment, Resolution
from gateway.errors import BadRequest, DeadlineExceeded, StreamBroken
from gateway.exchange import Attempt, Exchange
from gateway.failover import Choosing, Failover
from gateway.sinks import Sinks
from providers.chat import Json
from providers.errors import Fault
from providers.transport import Transport


class Defaults(Struct, frozen=True):
    """What applies when neither request nor route says otherwise; `timeout` in seconds."""

    strategy: str
    objective: str
    timeout: float
    drop_params: bool = False


class Ask(Struct):
    """What a caller wants: the exchange it opened, the work, and what decides who may do it."""

    exchange: Exchange
    work: Chat | Embedding
    body: bytes
    asked: Asked
    output_cap: int | None
    family: Family
    deterministic: bool
    talk: Talk | None = None


class Talk(Struct):
    """A request within a session: its own messages, and how to ask again with the earlier ones before them."""

    messages: list[Json]
    after: Callable[[list[Json]], Chat]


class Streamed(Struct):
    """A stream whose first bytes are at hand. Close it when the caller has gone."""

    exchange: Exchange
    pieces: AsyncGenerator[bytes]


class Objectives(Protocol):
    """Objectives by name, or by weights."""

    def __call__(self, name: str, weights: dict[str, float] | None) -> Objective:
        """The objective. Raises `KeyError` for an unknown name."""
        ...


class Pipeline:
    """Everything a request passes through, in order."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        balancer: Balancer,
        failover: Failover,
        cache: AnswerCache,
        transport: Transport,
        sinks: Sinks,
        defaults: Defaults,
        objectives: Objectives,
        strategies: frozenset[str],
    ) -> None:
        """Wire the stages."""
        self.catalog = catalog
        self.balancer = balancer
        self.cache = cache
        self._failover = failover
        self._transport = transport
        self._sinks = sinks
        self._defaults = defaults
        self._objectives = objectives
        self._strategies = strategies

    async def reply(self, ask: Ask) -> Kept:
        """A whole answer. Raises a `GatewayError`."""
        exchange = ask.exchange
        try:
            resolution, choosing, plan, deadline = self._prepare(ask)
            kept = await self.cache.get(plan)
            if kept is not None:
                settling.from_cache(exchange, kept)
                return kept
            if plan.key is None:
                return (await self._ask_whole(ask, resolution, choosing, plan, deadline))[0]
            exchange.cache = "miss"
            return await self._ask_together(ask, resolution, choosing, plan, deadline)
        except BaseException as exc:
            settling.failed(exchange, exc)
            raise
        finally:
            self._close(exchange)

    async def stream(self, ask: Ask) -> Streamed:
        """A stream, once its first content is there. Raises a `GatewayError`.

        The iterator raises a `GatewayError` when the stream breaks after its beginning.
        """
        pieces = self._relay(ask)
        first = await anext(pieces, b"")
        return Streamed(ask.exchange, _prepend(first, pieces))

    def preview(self, name: str, asked: Asked, shape: Shape, objective: str | None) -> Ranking:
        """How the DWA would order the candidates of a request like this, now; nothing is learned or spent by asking.

        Raises a `GatewayError`.
        """
        resolution = self.catalog.resolve(name, asked)
        choosing = self._choosing(None, resolution, shape, objective)
        candidates = [one.candidate for one in resolution.tiers[0]]
        return self.balancer.preview(candidates, shape, choosing.objective)

    # Stages

    def _prepare(self, ask: Ask) -> tuple[Resolution, Choosing, Plan, float]:
        exchange = ask.exchange
        wishes = exchange.preferences
        resolution = self.catalog.resolve(exchange.requested_model, ask.asked, ordered=wishes.ordered)
        route = resolution.route
        exchange.route = route.name if route else None
        shape = Shape(input_tokens=ask.asked.input_tokens, output_tokens=ask.output_cap, route=exchange.requested_model)
        choosing = self._choosing(exchange, resolution, shape, wishes.objective)
        allowed = wishes.drop_params if wishes.drop_params is not None else (route.drop_params if route else None)
        ask.work.drop = self._defaults.drop_params if allowed is None else allowed
        plan = self.cache.plan(exchange, ask.body, route, family=ask.family, deterministic=ask.deterministic)
        timeout = wishes.timeout if wishes.timeout is not None else self._defaults.timeout
        return resolution, choosing, plan, exchange.began + timeout

    def _choosing(
        self, exchange: Exchange | None, resolution: Resolution, shape: Shape, objective: str | None
    ) -> Choosing:
        route = resolution.route
        wishes = exchange.preferences if exchange else None
        strategy = (wishes and wishes.strategy) or (route and route.strategy) or self._defaults.strategy
        if strategy not in self._strategies:
            raise BadRequest(
                f"Unknown strategy '{strategy}'. Use one of: {', '.join(sorted(self._strategies))}.", param="strategy"
            )
        name = objective or (route and route.objective) or self._defaults.objective
        try:
            chosen = self._objectives(name, wishes.weights if wishes else None)
        except (KeyError, ValueError) as exc:
            raise BadRequest(f"Unknown objective '{name}': {exc}", param="objective") from exc
        if exchange is not None:
            exchange.strategy, exchange.objective = strategy, chosen.name
        return Choosing(shape, strategy, chosen, sticky=None)

    async def _ask_together(
        self, ask: Ask, resolution: Resolution, choosing: Choosing, plan: Plan, deadline: float
    ) -> Kept:
        """Ask, unless the same question is being asked: then wait for that answer."""
        exchange = ask.exchange
        join = self.cache.replies.join(
            plan.key or "", lambda: self._ask_whole(ask, resolution, choosing, plan, deadline)
        )
        try:
            async with asyncio.timeout_at(deadline):
                (kept, leader), joined = await join
        except TimeoutError as exc:
            raise DeadlineExceeded from exc
        if joined:
            settling.follow(exchange, leader)
        return kept

    async def _ask_whole(
        self, ask: Ask, resolution: Resolution, choosing: Choosing, plan: Plan, deadline: float
    ) -> tuple[Kept, Exchange]:
        exchange = ask.exchange

        async def call(deployment: Deployment, ticket: Ticket, attempt: Attempt) -> Answer:
            return await ask.work.whole(self._transport, deployment, deadline, created=int(exchange.created))

        won = await self._failover.first_good(exchange, resolution, choosing, call, deadline=deadline)
        answer = won.answer
        settling.chosen(exchange, won.deployment, answer.dropped)
        settling.answered(exchange, won, answer.usage, answer.finish_reason)
        settling.learn_quota(self.balancer, won.deployment, answer.headers)
        kept = settling.kept(exchange, [answer.body])
        await self.cache.keep(plan, kept)
        return kept, exchange

    async def _relay(self, ask: Ask) -> AsyncGenerator[bytes]:
        exchange = ask.exchange
        try:
            resolution, choosing, plan, deadline = self._prepare(ask)
            kept = await self.cache.get(plan)
            if kept is not None:
                settling.from_cache(exchange, kept)
                source = _replay(kept)
            elif plan.key is None:
                source = self._ask_stream(ask, resolution, choosing, plan, deadline)
            else:
                exchange.cache = "miss"
                source = self._stream_together(ask, resolution, choosing, plan, deadline)
            async with aclosing(source):
                async for piece in source:
                    yield piece
        except BaseException as exc:
            settling.failed(exchange, exc)
            raise
        finally:
            self._close(exchange)

    async def _stream_together(
        self, ask: Ask, resolution: Resolution, choosing: Choosing, plan: Plan, deadline: float
    ) -> AsyncGenerator[bytes]:
        """Ask for a stream, unless the same is on its way: then read along from its beginning."""
        key = plan.key or ""
        joined = self.cache.streams.get(key)
        if joined is None:
            source = self._ask_stream(ask, resolution, choosing, plan, deadline)
            broadcast, leader = Broadcast(source), ask.exchange
            self.cache.streams[key] = (broadcast, leader)
        else:
            broadcast, leader = joined
        try:
            async with aclosing(broadcast.read()) as reader:
                try:
                    async for piece in reader:
                        if joined is not None and ask.exchange.provider is None:
                            settling.follow(ask.exchange, leader)
                        yield piece
                finally:
                    # The first to leave takes the question off the table, and before the stream is given up: whoever
                    # comes later asks anew, or finds it cached.
                    if self.cache.streams.get(key) == (broadcast, leader):
                        del self.cache.streams[key]
        finally:
            if joined is not None:
                settling.follow(ask.exchange, leader)

    async def _ask_stream(
        self, ask: Ask, resolution: Resolution, choosing: Choosing, plan: Plan, deadline: float
    ) -> AsyncGenerator[bytes]:
        work = ask.work
        assert isinstance(work, Chat)

        async def call(deployment: Deployment, ticket: Ticket, attempt: Attempt) -> Opened:
            opened = await work.stream(self._transport, deployment, deadline)
            ticket.first_token()
            return opened

        exchange = ask.exchange
        won = await self._failover.first_good(exchange, resolution, choosing, call, deadline=deadline)
        opened = won.answer
        settling.chosen(exchange, won.deployment, opened.dropped)
        settling.committed(exchange, won.attempt, asyncio.get_running_loop().time())
        settling.learn_quota(self.balancer, won.deployment, opened.flow.headers)
        meter = settling.Meter(ask.asked.input_tokens, int(exchange.created), exchange.said)
        sent: list[bytes] = []
        async with opened.closing:
            try:
                async for batch in opened.flow.batches():
                    data = meter.read(batch, opened.encoder, include_usage=work.request.include_usage)
                    if data:
                        settling.keep_piece(sent, data, plan)
                        yield data
                if opened.encoder is not None:
                    data = opened.encoder.end()
                    settling.keep_piece(sent, data, plan)
                    yield data
            except Fault as fault:
                settling.broke(exchange, won, meter, fault)
                raise StreamBroken(won.deployment.key, fault) from fault
            except BaseException:
                settling.abandoned(exchange, won, meter)
                raise
            settling.answered(exchange, won, meter.usage(), meter.finish_reason)
        if sent:
            await self.cache.keep(plan, settling.kept(exchange, sent))

    def _close(self, exchange: Exchange) -> None:
        exchange.closed = True
        exchange.seconds = asyncio.get_running_loop().time() - exchange.began
        if exchange.ttft is None:
            exchange.overhead = max(0.0, exchange.seconds - exchange.upstream_seconds)
        self._sinks.feed(exchange)


async def _replay(kept: Kept) -> AsyncGenerator[bytes]:
    for piece in kept.pieces:
        yield piece


async def _prepend(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The stream with the piece that was read ahead; closing it closes the rest."""
    async with aclosing(rest):
        if first:
            yield first
        async for piece in rest:
            yield piece
