"""Writing down what happened: who was chosen, what it cost, how it ended. Nothing here decides anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from dwa import Balancer
from gateway.caching import LARGEST, Kept, Plan
from gateway.calls import Opened
from gateway.catalog import Deployment
from gateway.errors import GatewayError, of_invalid
from gateway.exchange import Attempt, Exchange
from gateway.failover import Won
from gateway.metering import Meter
from providers.chat import Usage
from providers.dialect import InvalidRequest
from providers.errors import Fault

T = TypeVar("T")
#: The status logged for a caller that hung up; nobody is left to see it. nginx's convention.
HUNG_UP = 499
#: Characters of an error that are kept: some quote what the caller sent.
_LONGEST_MESSAGE = 2_000


def chosen(exchange: Exchange, deployment: Deployment, dropped: tuple[str, ...]) -> None:
    """This deployment answers."""
    exchange.provider, exchange.model = deployment.provider, deployment.model
    exchange.simulated = deployment.simulated
    exchange.dropped = dropped


def committed(exchange: Exchange, attempt: Attempt, now: float) -> None:
    """The first content is here; `now` on the clock of `exchange.began`."""
    exchange.ttft = now - exchange.began
    exchange.overhead = max(0.0, exchange.ttft - exchange.upstream_seconds - exchange.queued)
    attempt.ttft = attempt.seconds


def answered(exchange: Exchange, won: Won[T], usage: Usage, finish_reason: str | None, now: float) -> None:
    """The answer is complete."""
    _bill(exchange, won, usage, now)
    exchange.finish_reason = finish_reason
    exchange.complete = True
    won.ticket.success(usage.input_tokens, usage.output_tokens, won.attempt.cost, usage.cached_tokens)


def heard_out(exchange: Exchange, won: Won[Opened], meter: Meter, now: float) -> None:
    """The stream is complete."""
    sharing = won.answer.sharing
    sharing.settle(now)
    answered(exchange, won, sharing.own(meter), meter.finish_reason, now)
    exchange.usage = sharing.total(meter)


def broke(exchange: Exchange, won: Won[Opened], meter: Meter, fault: Fault, now: float) -> None:
    """The stream broke after its beginning; what came is paid for."""
    if not won.answer.sharing.lead_broke:
        abandoned(exchange, won, meter, now)
        return
    _came(exchange, won, meter, now)
    won.attempt.outcome, won.attempt.message, won.attempt.code = fault.kind, fault.message, fault.code
    won.ticket.failure(fault.kind, caller_saw=True)


def abandoned(exchange: Exchange, won: Won[Opened], meter: Meter, now: float) -> None:
    """The caller hung up amid the stream; what came is paid for, and nobody is blamed."""
    usage = _came(exchange, won, meter, now)
    if won.answer.sharing.lead_complete:
        won.ticket.success(usage.input_tokens, usage.output_tokens, won.attempt.cost, usage.cached_tokens)
        return
    won.attempt.outcome = "cancelled"
    won.ticket.cancelled()


def _came(exchange: Exchange, won: Won[Opened], meter: Meter, now: float) -> Usage:
    """Bill what came of a stream: the attempt's own tokens."""
    sharing = won.answer.sharing
    sharing.settle(now)
    usage = sharing.own(meter)
    _bill(exchange, won, usage, now)
    exchange.usage = sharing.total(meter)
    return usage


def spared(exchange: Exchange, spare: Won[T], usage: Usage) -> None:
    """A whole answer that nobody needs any more, since another came first: it is paid for, and it was good."""
    spare.attempt.usage = usage
    spare.attempt.cost = spare.deployment.price.of(usage)
    exchange.cost += spare.attempt.cost
    spare.ticket.success(usage.input_tokens, usage.output_tokens, spare.attempt.cost, usage.cached_tokens)


async def unheard(spare: Won[Opened]) -> None:
    """A stream that nobody will hear, since another began first: its call is closed."""
    spare.ticket.outrun()
    spare.answer.sharing.give_up()
    await spare.answer.closing.aclose()


def _bill(exchange: Exchange, won: Won[T], usage: Usage, now: float) -> None:
    attempt = won.attempt
    attempt.usage = usage
    attempt.cost = won.deployment.price.of(usage)
    if exchange.ttft is not None:
        attempt.seconds = now - exchange.began - attempt.started
    exchange.usage = usage
    exchange.cost = sum(one.cost for one in exchange.attempts)


def from_cache(exchange: Exchange, kept: Kept) -> None:
    """The answer was kept from an earlier exchange: it costs nothing now."""
    exchange.cache = "hit"
    exchange.provider, exchange.model, exchange.simulated = kept.provider, kept.model, kept.simulated
    exchange.usage, exchange.finish_reason, exchange.dropped = kept.usage, kept.finish_reason, kept.dropped


def from_elsewhere(exchange: Exchange, kept: Kept) -> None:
    """The answer is one that another process was asking for when this one was asked: it is on that one's bill."""
    from_cache(exchange, kept)
    exchange.cache = "coalesced"


def follow(exchange: Exchange, leader: Exchange) -> None:
    """The answer is the one that `leader` asked for."""
    exchange.cache = "coalesced"
    exchange.provider, exchange.model, exchange.simulated = leader.provider, leader.model, leader.simulated
    exchange.usage, exchange.finish_reason, exchange.dropped = leader.usage, leader.finish_reason, leader.dropped
    exchange.reason, exchange.ranking = leader.reason, leader.ranking


def inherit(exchange: Exchange, leader: Exchange) -> None:
    """The work is done. When the leader has gone, its first follower takes over what was spent since.

    The sinks have seen the leader's attempts up to its leaving; its books are closed.
    """
    if leader.closed and not leader.handed_over and len(leader.attempts) > leader.attempts_at_close:
        leader.handed_over = exchange.inherited = True
        rest = leader.attempts[leader.attempts_at_close :]
        exchange.cache, exchange.attempts, exchange.cost = "miss", rest, sum(one.cost for one in rest)


def kept(exchange: Exchange, pieces: list[bytes]) -> Kept:
    """What the cache keeps of a finished exchange."""
    return Kept(
        exchange.provider or "",
        exchange.model or "",
        pieces,
        exchange.usage,
        exchange.finish_reason,
        exchange.simulated,
        exchange.dropped,
    )


def keep_piece(sent: list[bytes], data: bytes, plan: Plan, exchange: Exchange) -> None:
    """Collect a stream for the cache, and for the record of bodies, unless it is for neither."""
    if exchange.request_body is not None:
        exchange.response_body = (exchange.response_body or b"") + data
    if plan.key is not None and data:
        sent.append(data)
        plan.collected += len(data)
        if plan.collected > LARGEST:
            # Too large to keep: stop collecting, and let go of what was.
            plan.key = None
            sent.clear()


def failed(exchange: Exchange, exc: BaseException) -> None:
    """The exchange ends with this exception; answers on the way to it may have been paid for."""
    exchange.cost = sum(one.cost for one in exchange.attempts)
    if isinstance(exc, InvalidRequest):
        exc = of_invalid(exc)
    if isinstance(exc, GatewayError):
        exchange.outcome, exchange.status = "error", exc.status
        exchange.error_type, exchange.error_code = exc.type, exc.code
        exchange.error_source, exchange.error_message = exc.source, exc.message[:_LONGEST_MESSAGE]
    elif isinstance(exc, (asyncio.CancelledError, GeneratorExit)):
        if exchange.complete:
            return
        exchange.outcome, exchange.status = "cancelled", HUNG_UP
    else:
        exchange.outcome, exchange.status = "error", 500
        exchange.error_type, exchange.error_code, exchange.error_source = "api_error", "internal_error", "gateway"
        exchange.error_message = type(exc).__name__


def learn_quota(balancer: Balancer, deployment: Deployment, headers: Mapping[str, str]) -> None:
    """Tell the DWA what the provider said of its limits."""
    quota = deployment.dialect.quota(headers)
    if quota is not None:
        balancer.observe_quota(
            deployment.key,
            limit_requests=quota.limit_requests,
            remaining_requests=quota.remaining_requests,
            reset_requests_s=quota.reset_requests,
            limit_tokens=quota.limit_tokens,
            remaining_tokens=quota.remaining_tokens,
            reset_tokens_s=quota.reset_tokens,
        )
