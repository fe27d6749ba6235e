"""A stream on its way to the caller, through the guardrails on answers; what is kept of it is what the caller was told.

Where somebody has to see all of an answer before he can judge it, nothing of it is told until he has.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway import settling
from gateway.asking import Ask
from gateway.caching import LARGEST, AnswerCache, Plan
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.guardrails.matching import Blocked
from gateway.guardrails.spots import TooMany
from gateway.guardrails.watch import Watch

#: Bytes of a stream that wait to be judged; a larger one is refused.
_MOST = 16 * 1024 * 1024
_EVENTS = "text/event-stream"


async def guarded(
    source: AsyncGenerator[bytes], ask: Ask, watch: Watch, plan: Plan, cache: AnswerCache
) -> AsyncGenerator[bytes]:
    """The stream as it may be told, which the cache keeps by this plan. Raises a `GatewayError`."""
    exchange = ask.exchange
    logs = exchange.request_body is not None
    told: list[bytes] = []
    try:
        async with aclosing(_filtered(source, watch, exchange)) as pieces:
            async for piece in pieces:
                if logs or plan.key is not None:
                    told.append(piece)
                yield piece
    finally:
        # In the place of what was noted of the provider's own words.
        exchange.response_body = b"".join(told) if logs else None
    whole = exchange.complete and not exchange.continued and not watch.unsure
    if plan.key is not None and whole and sum(map(len, told)) <= LARGEST:
        await cache.keep(plan, settling.kept(exchange, told))


async def _filtered(source: AsyncGenerator[bytes], watch: Watch, exchange: Exchange) -> AsyncGenerator[bytes]:
    """By what its answer is, which is known with its first bytes."""
    async with aclosing(source):
        first = await anext(source, b"")
        kind = exchange.content_type or _EVENTS
        if kind.startswith(_EVENTS):
            way = _events(first, source, watch)
        elif kind.startswith(("text/", "application/json")):
            way = _body(first, source, watch)
        else:
            way = _untouched(first, source)
        async with aclosing(way):
            async for piece in way:
                if piece:
                    yield piece


async def _untouched(first: bytes, source: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Sound."""
    yield first
    async for data in source:
        yield data


async def _body(first: bytes, source: AsyncGenerator[bytes], watch: Watch) -> AsyncGenerator[bytes]:
    """One text, after all."""
    held = _Held(watch)
    held.add(first)
    async for data in source:
        held.add(data)
    yield await watch.whole(held.all())


async def _events(first: bytes, source: AsyncGenerator[bytes], watch: Watch) -> AsyncGenerator[bytes]:
    flow = watch.flow()
    held = _Held(watch) if watch.policy.needs_whole else None
    try:
        try:
            data: bytes | None = first
            while data is not None:
                clear = flow.feed(data)
                if held is None:
                    yield clear
                else:
                    held.add(clear)
                data = await anext(source, None)
        except GatewayError:
            # It broke: what was held back had been said, after all.
            if held is None:
                yield flow.end()
            raise
        clear = flow.end()
    except TooMany:
        raise watch.too_long() from None
    except Blocked as exc:
        raise watch.refused(exc.guardrail, "response") from None
    if held is None:
        yield clear
        return
    held.add(clear)
    await watch.streamed(held.all())
    yield held.all()


class _Held:
    """What waits to be judged."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _MOST:
            raise self._watch.too_long()

    def all(self) -> bytes:
        return b"".join(self._pieces)
