"""Several deployments asked the same question side by side, for an answer each.

Law: each of them is an exchange of its own, with an id, a record, a decision and a bill of its own; its answer may come
from the cache, is shared with whoever asks that deployment the same, and can be rated. So nothing is counted twice: the
request that asked for the comparison has no record beside theirs, unless it is refused before anybody is asked. What it
tells its caller (attempts, cost, times) is their sum.

One that fails is one entry among the results. Only when all have failed has the request failed.

Streams are merged as they come, a piece of one and a piece of another; who reads slowly slows all of them down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dwa import Ranking
from gateway.asking import Ask, Wanted
from gateway.caching import Kept
from gateway.calls import Chat
from gateway.capping import Unstarted, split
from gateway.catalog import Asked, Resolution
from gateway.errors import GatewayError, NoneAnswered
from gateway.exchange import Entrant, Exchange
from gateway.governance.limits.standing import tightest
from gateway.racing import all_over
from providers.chat import Usage

if TYPE_CHECKING:
    from gateway.pipeline import Pipeline, Streamed

#: The surface of each one's exchange: whoever counts callers' requests leaves it out.
SURFACE = "compare"
#: Pieces that wait for the caller, over all streams; beyond, those who speak have to wait.
_AHEAD = 16
_Piece = tuple[Entrant, bytes | Exception | None]


class Comparing:
    """Answers like the pipeline, by asking the pipeline once for each."""

    def __init__(
        self, pipeline: Pipeline, *, tagged: Callable[[Entrant, bytes], bytes], failed: Callable[[Entrant], bytes]
    ) -> None:
        """Write whose each piece of a stream is by `tagged`, and the end of a stream that failed by `failed`."""
        self._pipeline = pipeline
        self._tagged = tagged
        self._failed = failed

    async def reply(self, ask: Ask) -> Kept:
        """All answers, in `exchange.compared`. Raises a `GatewayError` when nobody answered."""
        entrants = self._entrants(ask)
        tasks = [asyncio.create_task(self._whole(_part(ask, one), one)) for one in entrants]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await all_over(tasks)
            self._sum(ask.exchange, entrants)
        _require_one(entrants)
        return Kept("", "", [], Usage(), None, simulated=False)

    async def stream(self, ask: Ask) -> Streamed:
        """All streams in one, once the first has begun. Raises a `GatewayError` when nobody began."""
        pieces = self._merged(ask, self._entrants(ask))
        return self._pipeline.streamed(ask.exchange, await anext(pieces, b""), pieces)

    def _entrants(self, ask: Ask) -> list[Entrant]:
        """Who is asked: each named provider's best, else the best of each, up to the bounds of number and cost."""
        exchange = ask.exchange
        try:
            # Once for all; each looks at its own answer.
            self._pipeline.screen(ask)
            resolution, ranking = self._pipeline.weigh(ask)
            exchange.ranking = ranking
            entrants = [_entrant(exchange, key, number) for number, key in enumerate(_chosen(ask, resolution, ranking))]
            if not entrants:
                assert exchange.cap is not None, "somebody fits, or nobody is affordable"
                raise exchange.cap.error()
        except GatewayError as exc:
            self._pipeline.refuse(exchange, exc)
            raise
        exchange.compared = entrants
        return entrants

    async def _whole(self, ask: Ask, entrant: Entrant) -> None:
        try:
            entrant.answer = (await self._pipeline.reply(ask)).pieces[0]
        except GatewayError as exc:
            entrant.error = exc

    async def _merged(self, ask: Ask, entrants: list[Entrant]) -> AsyncGenerator[bytes]:
        exchange = ask.exchange
        queue: asyncio.Queue[_Piece] = asyncio.Queue(_AHEAD)
        tasks = [asyncio.create_task(self._read(_part(ask, one), one, queue)) for one in entrants]
        early = b""
        begun = False
        try:
            left = len(entrants)
            while left:
                entrant, piece = await queue.get()
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    left -= 1
                    told = self._failed(entrant) if entrant.error is not None else b""
                else:
                    told = self._tagged(entrant, piece)
                if piece is not None and not begun:
                    begun = True
                    # What the headers tell.
                    self._sum(exchange, entrants)
                    exchange.ttft = exchange.seconds
                if not begun:
                    # Nobody has said anything: there may be an error to answer with, and a status for it.
                    early += told
                elif told:
                    yield early + told
                    early = b""
        finally:
            for task in tasks:
                task.cancel()
            await all_over(tasks)
            self._sum(exchange, entrants)
        _require_one(entrants)

    async def _read(self, ask: Ask, entrant: Entrant, queue: asyncio.Queue[_Piece]) -> None:
        """Put one stream's pieces into the queue, and None, or a defect of ours, at its end."""
        end: Exception | None = None
        try:
            streamed = await self._pipeline.stream(ask)
            try:
                async for piece in streamed.pieces():
                    await queue.put((entrant, piece))
            finally:
                await streamed.close()
        except GatewayError as exc:
            entrant.error = exc
        except Exception as exc:  # noqa: BLE001 - told to the one who reads, where it ends the request
            end = exc
        await queue.put((entrant, end))

    def _sum(self, exchange: Exchange, entrants: list[Entrant]) -> None:
        """What befell all of them, for the caller."""
        parts = [one.exchange for one in entrants]
        exchange.limits = tightest(part.limits for part in parts)
        exchange.queued = max(part.queued for part in parts)
        exchange.attempts = sorted((one for part in parts for one in part.attempts), key=lambda one: one.started)
        exchange.cost = sum(part.cost for part in parts)
        exchange.seconds = self._pipeline.now() - exchange.began
        exchange.overhead = max(part.overhead for part in parts)
        exchange.simulated = any(part.simulated for part in parts)
        exchange.dropped = tuple(dict.fromkeys(name for part in parts for name in part.dropped))
        exchange.logged = all(part.logged for part in parts)
        caches = {part.cache for part in parts}
        exchange.cache = caches.pop() if len(caches) == 1 else "miss"


def _chosen(ask: Ask, resolution: Resolution, ranking: Ranking) -> list[str]:
    """The keys of those to ask."""
    exchange = ask.exchange
    ranked = [one.key for one in ranking.candidates]
    everyone = [one.key for tier in resolution.tiers for one in tier]
    order = [*ranked, *(key for key in everyone if key not in ranked)]
    wanted = exchange.preferences.providers or tuple(dict.fromkeys(split(key)[0] for key in order))
    costs, cap = ranking.expected_costs(), exchange.cap
    if cap is not None:
        cap.expected.update(costs)
    chosen: list[str] = []
    for name in wanted:
        # Whoever serves no such model is asked all the same, and says so.
        own = [key for key in order if name in (key, split(key)[0])] or [name]
        key = next((one for one in own if cap is None or cap.has_room(one)), own[0])
        if key in chosen:
            continue
        if len(chosen) >= exchange.preferences.compare:
            exchange.unstarted.append(Unstarted(*split(key), "parallel", costs.get(key, 0.0)))
        elif cap is None or cap.fits(key):
            chosen.append(key)
            if cap is not None:
                cap.take(key)
    return chosen


def _entrant(exchange: Exchange, key: str, number: int) -> Entrant:
    wishes = replace(
        exchange.preferences, providers=(key,), compare=0, max_cost=None, continue_streams=False, strategy=None
    )
    own = Exchange(
        id=f"{exchange.id}-{number + 1}",
        created=exchange.created,
        began=exchange.began,
        surface=SURFACE,
        dialect=exchange.dialect,
        principal=exchange.principal,
        requested_model=exchange.requested_model,
        stream=exchange.stream,
        preferences=wishes,
        caller=exchange.caller,
        user=exchange.user,
        tags=exchange.tags,
        request_body=exchange.request_body,
        trace=exchange.trace.below(f"compare {key}") if exchange.trace is not None else None,
    )
    return Entrant(*split(key), own)


def _part(ask: Ask, entrant: Entrant) -> Ask:
    """The question to one: the chat part of the body, so that the same asked of others too is the same question."""
    work, asked = ask.wanted.work, ask.wanted.asked
    assert isinstance(work, Chat), "only chats are compared"
    wanted = Wanted(
        Chat(work.request, work.form, drop=False),
        Asked(asked.needs, asked.input_tokens, asked.output_tokens, entrant.exchange.preferences.providers),
        ask.wanted.output_cap,
    )
    return Ask(entrant.exchange, wanted, work.request.body, ask.family, ask.deterministic)


def _require_one(entrants: list[Entrant]) -> None:
    errors = [one.error for one in entrants if one.error is not None]
    if len(errors) < len(entrants):
        return
    if all(error.source in {"caller", "policy"} for error in errors):
        # The request is wrong for everybody, and names its own field; or nobody was asked, for one reason.
        raise errors[0]
    raise NoneAnswered(errors)
