"""One request as several calls of one deployment, where it gives fewer choices to a call than were asked for.

    all at once → one fails in a way that may pass: once more, after its pause → it fails again: all have failed
    whole answers are joined in the order of the calls · streams are woven when each is past its first content

Laws: there is no answer with fewer choices than were asked for. Each call is an attempt of its own, with its ticket,
its tokens and its bill; what was answered before another call failed, or had begun to be, stays paid for, and the
request goes on to the next deployment by the rules of every other (`failover`). A caller who goes away cancels all of
them.

The calls stand for one lane of the failover, which settles one attempt: of whole answers the last to come, or the one
that failed; of streams the first. The others are settled here, or by `weaving`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

from gateway.amended import Amended
from gateway.blaming import blame, pay
from gateway.calls import Answer, Chat, Opened, Passed, Work
from gateway.catalog import Price
from gateway.exchange import Attempt, Exchange
from gateway.failover import Choosing, Failover
from gateway.metering import Meter
from gateway.racing import Lane, all_over
from gateway.weaving import Strand, Woven
from providers.chat import ChatReply, Usage
from providers.client import Flow
from providers.errors import Fault
from providers.transport import Transport

R = TypeVar("R")


class Dispatching:
    """Asks by the lanes of one request: by one call each, or by as many as it takes."""

    def __init__(
        self,
        work: Work,
        failover: Failover,
        transport: Transport,
        exchange: Exchange,
        choosing: Choosing,
        deadline: float,
    ) -> None:
        """Do this work for the exchange, until the deadline on the clock of deadlines."""
        self._work = work
        self._failover = failover
        self._transport = transport
        self._exchange = exchange
        self._choosing = choosing
        self._deadline = deadline

    async def whole(self, lane: Lane) -> Answer:
        """The complete answer. Raises a `Fault`."""
        work, created = self._work, int(self._exchange.created)
        if lane.call.more and isinstance(work, Chat):
            return await self._wholes(work, lane, created)

        async def ask(one: Lane) -> Answer:
            return await work.whole(self._transport, one.deployment, one.call, self._deadline, created=created)

        answer = await ask(lane)
        lane.attempt.response_model = answer.model
        return answer

    async def stream(self, lane: Lane) -> Opened:
        """A stream past its first content. Raises a `Fault`."""
        work = self._work
        assert isinstance(work, Chat | Passed), "nothing else is streamed"
        if lane.call.more and isinstance(work, Chat):
            return await self._streams(work, lane)
        opened = await work.stream(self._transport, lane.deployment, lane.call, self._deadline)
        lane.ticket.first_token()
        lane.attempt.response_model = opened.model
        return opened

    async def _wholes(self, work: Chat, lane: Lane, created: int) -> Answer:
        lanes = self._lanes(lane)
        headers: dict[str, str] = {}
        left = len(lanes)
        last = lane

        async def ask(one: Lane) -> ChatReply:
            nonlocal left, last
            reply, told = await work.heard(self._transport, one.deployment, one.call, self._deadline)
            headers.update(told)
            one.attempt.response_model = reply.model
            left -= 1
            last = one
            if left:
                self._finish(one, reply.usage)
            return reply

        replies = await self._together(lane, lanes, ask)
        own = replies[lanes.index(last)].usage
        _swap(lane, last)
        beside = Usage()
        for one, reply in zip(lanes, replies, strict=True):
            beside = beside.plus(reply.usage) if one is not last else beside
        joined = _joined(lanes, replies, own.plus(beside))
        answer = work.told(joined, lane.call, headers, created)
        answer.usage, answer.beside = own, beside
        return answer

    async def _streams(self, work: Chat, lane: Lane) -> Opened:
        lanes = self._lanes(lane)
        begun: list[tuple[Attempt, Flow | Amended]] = []
        async with AsyncExitStack() as stack:

            async def ask(one: Lane) -> Opened:
                opened = await work.stream(self._transport, one.deployment, one.call, self._deadline)
                stack.push_async_callback(opened.closing.aclose)
                one.ticket.first_token()
                one.attempt.ttft = self._failover.now() - one.started
                one.attempt.response_model = opened.model
                assert isinstance(opened.flow, Flow | Amended), "one call has one stream"
                begun.append((one.attempt, opened.flow))
                return opened

            try:
                opened = await self._together(lane, lanes, ask)
            except BaseException:
                # Of one that was outrun nothing is known or paid, whether by one call or by several.
                for attempt, flow in [] if lane.outrun else begun:
                    meter = Meter(work.request.input_tokens, 0, None)
                    meter.note(flow.unread)
                    self._pay(attempt, lane.deployment.price, meter.usage())
                raise
            strands: list[Strand] = []
            offset = 0
            for one, told in zip(lanes, opened, strict=True):
                assert isinstance(told.flow, Flow | Amended)
                strands.append(Strand(one, told.flow, offset, Meter(work.request.input_tokens, 0, None)))
                offset += one.call.choices
            for one in lanes[1:]:
                self._note(one, "ok")
            woven = Woven(strands, self._exchange.began)
            stack.push_async_callback(woven.close)
            encoder = work.form.stream_encoder(work.request)
            return Opened(woven, encoder, lane.call.dropped, stack.pop_all())

    def _lanes(self, lane: Lane) -> list[Lane]:
        return [lane, *(self._renewed(Lane.again(lane, call)) for call in lane.call.more)]

    async def _together(self, lane: Lane, lanes: list[Lane], ask: Callable[[Lane], Awaitable[R]]) -> list[R]:
        """All answers. Raises the `Fault` of one that has failed for good, which is then the lane's own."""
        failed: list[tuple[Attempt, Fault]] = []

        async def asked(one: Lane) -> R:
            try:
                return await self._patiently(one, ask)
            except Fault as fault:
                failed.append((one.attempt, fault))
                raise

        tasks = [asyncio.create_task(asked(one)) for one in lanes]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await all_over(tasks)
            if failed:
                _swap(lane, next(one for one in lanes if one.attempt is failed[0][0]))
            # Two may have failed at once: the other is not the lane's to settle.
            faults = [next((fault for attempt, fault in failed if attempt is one.attempt), None) for one in lanes]
            for one, fault in zip(lanes[1:], faults[1:], strict=True):
                if fault is not None:
                    self._fail(one, fault)
                elif not one.over:
                    self._note(one, "cancelled")
                    one.ticket.cancelled()
            raise

    async def _patiently(self, one: Lane, ask: Callable[[Lane], Awaitable[R]]) -> R:
        """An answer, at the second try if need be."""
        try:
            return await ask(one)
        except Fault as fault:
            pause = self._failover.pause_after(fault)
            if pause is None or self._failover.now() + pause >= self._deadline:
                raise
            self._fail(one, fault)
            await asyncio.sleep(pause)
        self._renewed(one)
        return await ask(one)

    def _fail(self, one: Lane, fault: Fault) -> None:
        """It has failed, and is not the one that the request is settled with."""
        self._note(one, fault.kind)
        pay(self._exchange, one.attempt, one.deployment.price, fault)
        blame(one.ticket, one.attempt, fault, out_of_time=False)

    def _renewed(self, one: Lane) -> Lane:
        """The same call as another attempt, begun now."""
        one.started = self._failover.now()
        one.attempt = Attempt(one.deployment.provider, one.deployment.model, one.started - self._exchange.began)
        one.ticket = self._failover.begin(one.deployment.candidate, self._choosing, self._exchange.began, None)
        one.over = False
        return one

    def _finish(self, one: Lane, usage: Usage) -> None:
        """It has answered, and is not the last to do so."""
        self._note(one, "ok")
        self._pay(one.attempt, one.deployment.price, usage)
        one.ticket.success(usage.input_tokens, usage.output_tokens, one.attempt.cost, usage.cached_tokens)

    def _pay(self, attempt: Attempt, price: Price, usage: Usage) -> None:
        """Bill it; the request's own tokens are these until there is an answer, whose they are then."""
        attempt.usage, attempt.cost = usage, price.of(usage)
        self._exchange.usage = self._exchange.usage.plus(usage)

    def _note(self, one: Lane, outcome: str) -> None:
        one.over = True
        one.attempt.outcome = outcome
        one.attempt.seconds = self._failover.now() - one.started
        self._exchange.attempts.append(one.attempt)


def _swap(one: Lane, other: Lane) -> None:
    """Let each stand for the other's attempt."""
    one.ticket, other.ticket = other.ticket, one.ticket
    one.attempt, other.attempt = other.attempt, one.attempt
    one.started, other.started = other.started, one.started
    one.over, other.over = other.over, one.over


def _joined(lanes: list[Lane], replies: list[ChatReply], usage: Usage) -> ChatReply:
    """The answers as one, in the order of the calls."""
    first = replies[0]
    pairs = zip(lanes, replies, strict=True)
    choices = [choice for one, reply in pairs for choice in reply.choices[: one.call.choices]]
    return ChatReply(first.id, first.model, choices, usage, first.created, first.service_tier)
