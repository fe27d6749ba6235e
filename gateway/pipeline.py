"""One request, stage by stage: the table of contents of the gateway.

    screen (guardrails on the prompt) → prepare (who can answer, how chosen, cached?) → pass the gates (limits, budgets)
    → look in the cache, or join whoever is asking the same → rank, try, fail over → guardrails on the answer → settle

Law: an exchange is opened once and closed once, whatever happens in between; closing feeds every sink. A caller that
hangs up cancels the upstream call and blames nobody, unless others wait for the same answer.

Times are on the monotonic clock handed in, which is the event loop's own but not rounded to its ticks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

from msgspec import Struct

from cache import Broadcast
from dwa import Balancer, Ranking, Shape
from gateway import continuing, settling
from gateway.asking import Amiss, Ask, Prepared, Preparing
from gateway.caching import AnswerCache, Kept, Plan
from gateway.calls import Answer, Chat, Passed
from gateway.capping import TOO_DEAR
from gateway.catalog import Asked, Catalog, Resolution
from gateway.continuing import Continuing
from gateway.counting import Counter, Counting, in_order
from gateway.errors import DeadlineExceeded, GatewayError
from gateway.exchange import Exchange, told
from gateway.failover import Failover, Won
from gateway.fanning import Dispatching
from gateway.governance.gates import Gates
from gateway.governance.keys import Principal
from gateway.guardrails.guards import Guards
from gateway.guardrails.streaming import guarded
from gateway.metering import Meter
from gateway.quality.sampling import Sampling
from gateway.sinks import Sinks
from providers.errors import Fault
from providers.transport import Transport

#: Seconds.
_GRACE = 0.1


class Streamed(Struct):
    """A stream whose first bytes are at hand. `close` it when the caller has gone, or has everything."""

    exchange: Exchange
    first: bytes
    rest: AsyncGenerator[bytes]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Every piece. Raises a `GatewayError` when the stream breaks."""
        if self.first:
            yield self.first
        async for piece in self.rest:
            yield piece

    async def close(self) -> None:
        """Close the upstream call and the exchange; harmless when both are closed."""
        await self.rest.aclose()


class Pipeline:
    """Everything a request passes through, in order."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        preparing: Preparing,
        balancer: Balancer,
        failover: Failover,
        cache: AnswerCache,
        transport: Transport,
        sinks: Sinks,
        monotonic: Callable[[], float],
        beside: Sinks | None = None,
        sampling: Sampling | None = None,
        gates: Gates | None = None,
        guards: Guards | None = None,
    ) -> None:
        """Wire the stages.

        `beside` are the sinks of requests that only count, which are no record; `sampling` draws answers for the judge,
        when there is one.
        """
        self._catalog, self._preparing = catalog, preparing
        self.allowed = preparing.allowed  # what a caller may ask for
        self._balancer = balancer
        self._failover = failover
        self._cache = cache
        self._transport = transport
        self._sinks = sinks
        self._beside = beside or sinks
        self._now = monotonic
        self._sampling, self._guards = sampling, guards
        self._gates = gates or Gates()
        self._continuing = Continuing(failover, balancer, transport, monotonic=monotonic)

    async def reply(self, ask: Ask) -> Kept:
        """A whole answer. Raises a `GatewayError`."""
        exchange = ask.exchange
        try:
            self.screen(ask)
            prepared = await self._preparing.prepare(ask)
            await self._gates.admit(ask, prepared)
            kept = await self._cache.get(prepared.plan)
            if kept is not None:
                settling.from_cache(exchange, kept)
                return kept
            if prepared.plan.key is None:
                return (await self._ask_whole(ask, prepared, prepared.deadline))[0]
            exchange.cache = "miss"
            return await self._ask_together(ask, prepared, prepared.plan.key)
        except BaseException as exc:
            settling.failed(exchange, exc)
            raise
        finally:
            self._close(exchange, self._sinks)

    async def stream(self, ask: Ask) -> Streamed:
        """A stream, once its first content is there. Raises a `GatewayError`."""
        pieces = self._relay(ask)
        return Streamed(ask.exchange, await anext(pieces, b""), pieces)

    async def count(self, ask: Ask) -> bytes:
        """How many tokens a prompt has. Raises a `GatewayError`."""
        exchange = ask.exchange
        try:
            self.screen(ask)
            prepared = await self._preparing.prepare(ask)
            await self._gates.admit(ask, prepared)
            work = ask.wanted.work
            assert isinstance(work, Counting)
            choosing = prepared.choosing
            candidates = in_order(self._balancer, prepared.resolution, choosing.shape, choosing.objective)
            # Nothing is chosen by it: whoever can count is asked, the likeliest to answer first.
            exchange.strategy = ""
            return await Counter(exchange, self._transport, self._now).count(work, candidates, prepared.deadline)
        except BaseException as exc:
            settling.failed(exchange, exc)
            raise
        finally:
            self._close(exchange, self._beside)

    def preview(
        self, name: str, asked: Asked, shape: Shape, objective: str | None, caller: Principal | None
    ) -> Ranking:
        """How the DWA would order the candidates of a caller's request, now; nothing is learned or spent by asking.

        Raises a `GatewayError`.
        """
        resolution = self.allowed(caller).resolve(name, asked)
        choosing = self._preparing.choosing(None, resolution, shape, objective, caller)
        candidates = [one.candidate for one in resolution.tiers[0]]
        return self._balancer.preview(candidates, shape, choosing.objective)

    def weigh(self, ask: Ask) -> tuple[Resolution, Ranking]:
        """Everybody who could answer this, and how the DWA would order them now; see `preview`."""
        exchange, wanted = ask.exchange, ask.wanted
        resolution = self.allowed(exchange.caller).resolve(exchange.requested_model, wanted.asked)
        shape = Shape(wanted.asked.input_tokens, wanted.output_cap, route=exchange.requested_model)
        objective = exchange.preferences.objective
        choosing = self._preparing.choosing(exchange, resolution, shape, objective, exchange.caller)
        candidates = [one.candidate for tier in resolution.tiers for one in tier]
        return resolution, self._balancer.preview(candidates, shape, choosing.objective)

    def screen(self, ask: Ask) -> None:
        """Look at the prompt by its guardrails. Raises a `GatewayError`."""
        if self._guards is not None:
            self._guards.screen(ask)

    def worth(self, exchange: Exchange) -> float:
        """What the answer of an exchange would have cost, in USD, had it not been at hand."""
        deployment = self._catalog.by_key.get(f"{exchange.provider}/{exchange.model}")
        return 0.0 if deployment is None else deployment.price.of(exchange.usage)

    def amiss(self, model: str, providers: Sequence[str]) -> list[Amiss]:
        """What a request with these would be refused for now."""
        return list(self._preparing.amiss(model, providers))

    def refuse(self, exchange: Exchange, exc: BaseException) -> None:
        """Close an exchange that ends before anybody is asked."""
        settling.failed(exchange, exc)
        self._close(exchange, self._sinks)

    def streamed(self, exchange: Exchange, first: bytes, rest: AsyncGenerator[bytes]) -> Streamed:
        """A stream that is made of others."""
        return Streamed(exchange, first, rest)

    def now(self) -> float:
        """Seconds on the clock of `Exchange.began`."""
        return self._now()

    # Whole answers

    async def _ask_together(self, ask: Ask, prepared: Prepared, key: str) -> Kept:
        """Ask, unless the same question is being asked: then wait for that answer."""
        exchange = ask.exchange
        began = self._now()
        work = self._cache.replies.join(key, lambda: self._ask_for_all(ask, prepared))
        try:
            # A moment later than the work's own deadline, so that the work can say who was too slow.
            async with asyncio.timeout_at(prepared.deadline + _GRACE):
                (outcome, leader), joined = await work
        except TimeoutError as exc:
            error = DeadlineExceeded()
            error.attempts = told(exchange)
            raise error from exc
        if joined and isinstance(outcome, GatewayError) and outcome.code == TOO_DEAR:
            # That was another's bound on costs.
            return (await self._ask_whole(ask, prepared, prepared.deadline))[0]
        if joined:
            settling.follow(exchange, leader)
            settling.inherit(exchange, leader)
            exchange.upstream_seconds = self._now() - began
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome

    async def _ask_for_all(self, ask: Ask, prepared: Prepared) -> tuple[Kept | GatewayError, Exchange]:
        """The answer, or the error as one: whoever joined takes over failed attempts just as well.

        Another process may be asking the same: then it is waited for, and its answer found in the cache. Its error is
        not: whoever waited asks for itself.
        """
        exchange, deadline = ask.exchange, prepared.shared_deadline
        began = self._now()
        try:
            kept = await self._cache.from_elsewhere(prepared.plan, deadline)
        except TimeoutError:
            return DeadlineExceeded(), exchange
        if kept is not None:
            settling.from_elsewhere(exchange, kept)
            exchange.upstream_seconds = self._now() - began
            return kept, exchange
        try:
            return await self._ask_whole(ask, prepared, deadline)
        except GatewayError as error:
            return error, exchange
        finally:
            await self._cache.release(prepared.plan)

    async def _ask_whole(self, ask: Ask, prepared: Prepared, deadline: float) -> tuple[Kept, Exchange]:
        exchange, work = ask.exchange, ask.wanted.work
        assert not isinstance(work, Counting), "counting is no answer"
        asking = Dispatching(work, self._failover, self._transport, exchange, prepared.choosing, deadline)

        async def discard(spare: Won[Answer]) -> None:
            settling.spared(exchange, spare, spare.answer.usage)

        won = await self._failover.first_good(
            exchange, prepared.resolution, prepared.choosing, work.encode, asking.whole, discard, deadline=deadline
        )
        answer = won.answer
        settling.chosen(exchange, won.deployment, answer.dropped)
        settling.answered(exchange, won, answer.usage, answer.finish_reason, self._now())
        if answer.beside is not None:
            exchange.usage = answer.usage.plus(answer.beside)
        settling.learn_quota(self._balancer, won.deployment, answer.headers)
        watch = ask.watch
        body = answer.body if watch is None else await watch.whole(answer.body)
        if exchange.request_body is not None:
            exchange.response_body = body
        if self._sampling is not None and body is answer.body:
            self._sampling.whole(ask, prepared.resolution.route, won.deployment, answer)
        kept = settling.kept(exchange, [body])
        await self._cache.keep(Plan() if watch is not None and watch.unsure else prepared.plan, kept)
        return kept, exchange

    # Streams

    async def _relay(self, ask: Ask) -> AsyncGenerator[bytes]:
        exchange = ask.exchange
        try:
            self.screen(ask)
            prepared = await self._preparing.prepare(ask)
            await self._gates.admit(ask, prepared)
            kept = await self._cache.get(prepared.plan)
            if kept is not None:
                settling.from_cache(exchange, kept)
                exchange.overhead = self._now() - exchange.began - exchange.queued
                for piece in kept.pieces:
                    yield piece
                return
            source = self._ask_on(ask, prepared, prepared.deadline)
            if prepared.plan.key is not None:
                exchange.cache = "miss"
                source = self._stream_together(ask, prepared, prepared.plan.key)
            async with aclosing(source):
                async for piece in source:
                    yield piece
        except BaseException as exc:
            settling.failed(exchange, exc)
            raise
        finally:
            self._close(exchange, self._sinks)

    async def _stream_together(self, ask: Ask, prepared: Prepared, key: str) -> AsyncGenerator[bytes]:
        """Ask for a stream, unless the same is on its way: then read along from its beginning."""
        exchange = ask.exchange
        found = self._cache.streams.get(key)
        if found is None or found[0].deserted:
            source = self._ask_on(ask, prepared, prepared.shared_deadline)
            found = (Broadcast(source), exchange)
            self._cache.streams[key] = found
        broadcast, leader = found
        try:
            async with aclosing(broadcast.read()) as reader:
                try:
                    while (piece := await self._next(reader, prepared.deadline, exchange)) is not None:
                        if leader is not exchange and exchange.ttft is None:
                            settling.follow(exchange, leader)
                            exchange.ttft = exchange.upstream_seconds = self._now() - exchange.began
                        yield piece
                finally:
                    # The first to leave takes the question off the table, and before the stream is given up: whoever
                    # comes later asks anew, or finds it cached.
                    if self._cache.streams.get(key) is found:
                        del self._cache.streams[key]
        finally:
            if leader is not exchange:
                settling.follow(exchange, leader)
                if broadcast.done:
                    settling.inherit(exchange, leader)

    async def _next(self, reader: AsyncGenerator[bytes], deadline: float, exchange: Exchange) -> bytes | None:
        """The next piece before the caller's own deadline, or None at the end."""
        try:
            async with asyncio.timeout_at(deadline + _GRACE):
                return await anext(reader, None)
        except TimeoutError as exc:
            error = DeadlineExceeded()
            error.attempts = told(exchange)
            raise error from exc

    def _ask_on(self, ask: Ask, prepared: Prepared, deadline: float) -> AsyncGenerator[bytes]:
        """A stream, and where that is wanted another that goes on with it when it breaks."""
        watch = ask.watch if ask.watch is not None and ask.watch.policy.looks_at_answers else None
        source = self._ask_stream(ask, prepared, prepared.plan if watch is None else Plan(), deadline)
        if continuing.wanted(ask, prepared):
            source = self._continuing.mended(source, ask, prepared, deadline)
        return source if watch is None else guarded(source, ask, watch, prepared.plan, self._cache)

    async def _ask_stream(self, ask: Ask, prepared: Prepared, plan: Plan, deadline: float) -> AsyncGenerator[bytes]:
        exchange, work = ask.exchange, ask.wanted.work
        assert isinstance(work, Chat | Passed)
        asking = Dispatching(work, self._failover, self._transport, exchange, prepared.choosing, deadline)
        asked = prepared.resolution, prepared.choosing
        won = await self._failover.first_good(
            exchange, *asked, work.encode, asking.stream, settling.unheard, deadline=deadline
        )
        opened = won.answer
        heard = self._sampling.listen(ask, prepared.resolution.route) if self._sampling is not None else None
        said = continuing.heard(ask, prepared, exchange.said if heard is None else heard)
        meter = Meter(ask.wanted.asked.input_tokens, int(exchange.created), said)
        sent: list[bytes] = []
        async with opened.closing:
            try:
                settling.chosen(exchange, won.deployment, opened.dropped)
                settling.committed(exchange, won.attempt, self._now())
                settling.learn_quota(self._balancer, won.deployment, opened.flow.headers)
                async for batch in opened.flow.batches():
                    for data in meter.read(batch, opened.encoder, include_usage=work.include_usage):
                        settling.keep_piece(sent, data, plan, exchange)
                        yield data
                if opened.encoder is not None:
                    data = opened.encoder.end()
                    settling.keep_piece(sent, data, plan, exchange)
                    yield data
            except Fault as fault:
                settling.broke(exchange, won, meter, fault, self._now())
                raise continuing.broken(ask, prepared, won, said, meter.usage(), fault) from fault
            except BaseException:
                if opened.flow.complete:
                    # All was said; a caller who does not wait for the connection's end has hung up on nobody.
                    settling.heard_out(exchange, won, meter, self._now())
                else:
                    settling.abandoned(exchange, won, meter, self._now())
                raise
            settling.heard_out(exchange, won, meter, self._now())
        if self._sampling is not None and heard is not None and plan is prepared.plan:
            self._sampling.streamed(ask, won.deployment, heard)
        if plan.key is not None and sent:
            await self._cache.keep(plan, settling.kept(exchange, sent))

    def _close(self, exchange: Exchange, sinks: Sinks) -> None:
        exchange.closed = True
        # An attempt whose stream others still read has no bill yet: it is for whoever takes the cost over.
        exchange.attempts_at_close = sum(one.usage is not None or one.outcome != "ok" for one in exchange.attempts)
        exchange.seconds = self._now() - exchange.began
        if exchange.ttft is None and not (exchange.stream and exchange.cache == "hit"):
            # Of a replayed stream it was noted at its beginning: how fast the caller reads is not ours.
            exchange.overhead = max(0.0, exchange.seconds - exchange.upstream_seconds - exchange.queued)
        self._gates.settle(exchange)
        sinks.feed(exchange)
