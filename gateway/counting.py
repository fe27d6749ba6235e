"""How many tokens a prompt has: asked of whoever would answer it, and estimated where nobody can count.

    candidates in the order of the DWA → those whose dialect has a counter, in turn → else the gateway's estimate

Law: what is told is never passed off as more than it is. An estimate (a quarter of the prompt's bytes, media left out:
the one that routing uses) says so in a header, and it is given only for a deployment that cannot count, never in the
place of a counter that failed.

Counting is no answer: it costs nothing and teaches the DWA nothing, whose latencies are those of answers, so there are
no tickets; nor is it written to the request log, from which replays and spending are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from dwa import Balancer, Objective, Shape
from gateway import settling
from gateway.calls import Answer
from gateway.catalog import Deployment, Resolution
from gateway.errors import DeadlineExceeded, GatewayError, ProvidersFailed, of_fault, refusal
from gateway.exchange import Attempt, Exchange, told
from providers import client
from providers.chat import ChatRequest, Usage
from providers.dialect import Call, CountingDialect, Inexpressible
from providers.errors import Fault
from providers.naming import plainly
from providers.transport import Transport

#: How an attempt ends that told a count.
COUNTED = "counted"


class CountForm(Protocol):
    """How a count is written for the caller."""

    @property
    def name(self) -> str:
        """The dialect whose bytes it takes untouched."""
        ...

    def render_count(self, tokens: int) -> bytes:
        """The answer."""
        ...


class Counting(Struct):
    """A prompt on its way to be counted."""

    request: ChatRequest
    form: CountForm
    drop: bool

    def encode(self, deployment: Deployment) -> Call:
        """What the deployment would be sent. Raises `Inexpressible`."""
        power = counting_power(deployment)
        if power is None:
            raise Inexpressible(("count_tokens",), deployment.dialect.name)
        request, _ = plainly(self.request, deployment.dialect.name)
        return power.encode_count(request, deployment.target, drop=self.drop)

    async def whole(self, transport: Transport, deployment: Deployment, call: Call, deadline: float) -> Answer:
        """Ask for the count. Raises a `Fault`."""
        power = counting_power(deployment)
        assert power is not None
        received = await client.send(transport, deployment.endpoint, deployment.dialect, call, deadline=deadline)
        tokens = power.decode_count(received.body)
        body = received.body if self.form.name == deployment.dialect.name else self.form.render_count(tokens)
        return Answer(body, Usage(), None, call.dropped, received.headers)

    def estimate(self) -> bytes:
        """The gateway's own count."""
        return self.form.render_count(self.request.input_tokens)


def counting_power(deployment: Deployment) -> CountingDialect | None:
    """The deployment's dialect, when it can count."""
    dialect = deployment.dialect
    if not hasattr(dialect, "encode_count"):
        return None
    return dialect  # pyright: ignore[reportReturnType] - the attribute above is the protocol's mark


def in_order(balancer: Balancer, resolution: Resolution, shape: Shape, objective: Objective) -> list[Deployment]:
    """Every candidate, those that would answer first before the others; looking at the order spends nothing."""
    ordered: list[Deployment] = []
    for tier in resolution.tiers:
        by_key = {one.key: one for one in tier}
        ranked = balancer.preview([one.candidate for one in tier], shape, objective).candidates
        ordered += [by_key.pop(candidate.key) for candidate in ranked]
        ordered += by_key.values()
    return ordered


class Counter:
    """One prompt's way through the candidates."""

    def __init__(self, exchange: Exchange, transport: Transport, monotonic: Callable[[], float]) -> None:
        """Note what happens in `exchange`."""
        self._exchange = exchange
        self._transport = transport
        self._now = monotonic
        self._faults: list[tuple[str, Fault]] = []
        self._inexpressible: dict[str, Inexpressible] = {}

    async def count(self, work: Counting, candidates: Sequence[Deployment], deadline: float) -> bytes:
        """The answer. Raises a `GatewayError`."""
        mute: list[Deployment] = []
        try:
            for deployment in candidates:
                if counting_power(deployment) is None:
                    mute.append(deployment)
                elif answer := await self._asked(work, deployment, deadline):
                    self._exchange.token_count = "provider"
                    return answer.body
        except GatewayError as error:
            error.attempts = told(self._exchange)
            raise
        if mute:
            settling.chosen(self._exchange, mute[0], ())
            self._exchange.token_count = "estimate"
            return work.estimate()
        raise self._verdict()

    async def _asked(self, work: Counting, deployment: Deployment, deadline: float) -> Answer | None:
        """The count of this one; None when another may be asked."""
        exchange, began = self._exchange, self._now()
        if began >= deadline:
            raise DeadlineExceeded
        try:
            call = work.encode(deployment)
        except Inexpressible as exc:
            self._inexpressible[deployment.key] = exc
            return None
        attempt = Attempt(deployment.provider, deployment.model, began - exchange.began)
        exchange.attempts.append(attempt)
        try:
            answer = await work.whole(self._transport, deployment, call, deadline)
        except Fault as fault:
            self._failed(attempt, deployment, fault, deadline)
            return None
        finally:
            attempt.seconds = self._now() - began
            exchange.upstream_seconds += attempt.seconds
        attempt.outcome = COUNTED
        settling.chosen(exchange, deployment, answer.dropped)
        return answer

    def _failed(self, attempt: Attempt, deployment: Deployment, fault: Fault, deadline: float) -> None:
        attempt.failed(fault)
        if not fault.try_next:
            raise of_fault(deployment.key, fault) from fault
        if self._now() >= deadline:
            raise DeadlineExceeded from fault
        self._faults.append((deployment.key, fault))

    def _verdict(self) -> GatewayError:
        """Why nobody counted."""
        if self._inexpressible and not self._faults:
            return refusal(self._inexpressible)
        error = ProvidersFailed(self._faults)
        error.attempts = told(self._exchange)
        return error
