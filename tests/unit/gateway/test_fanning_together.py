"""Several calls of one request: what becomes of each when more than one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from dwa import BALANCED, Shape
from gateway.calls import Chat
from gateway.catalog import Deployment
from gateway.exchange import Attempt
from gateway.failover import Choosing
from gateway.fanning import Dispatching
from gateway.racing import Lane
from providers.chat import ChatReply, ChatRequest, Conversation, Usage
from providers.dialect import Call
from providers.dialects import OPENAI
from providers.errors import Misshapen, Overloaded
from providers.transport import Transport
from tests.unit.gateway.failover_scene import Scene
from tests.unit.gateway.paused_time import paused


class Two(Chat):
    """Of three calls the second and the third fail in the same breath, the first never answers."""

    async def heard(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float
    ) -> tuple[ChatReply, Mapping[str, str]]:
        if call.path == "/1":
            await asyncio.Event().wait()
        await asyncio.sleep(0.1)
        if call.path == "/2":
            raise Overloaded
        fault = Misshapen("The answer is not valid JSON.")
        fault.spent = Usage(11, 7)
        raise fault


@paused
async def test_of_two_that_fail_at_once_both_are_blamed_and_only_who_was_waiting_is_cancelled() -> None:
    scene = Scene({"a": "never"})
    (one,), exchange = scene.tiers[0], scene.exchange
    choosing = Choosing(Shape(100), "priority", BALANCED)
    request = ChatRequest("openai", b"{}", "m", lambda: Conversation([]))
    work = Two(request, OPENAI, drop=False)
    transport = Transport()
    asking = Dispatching(work, scene.failover, transport, exchange, choosing, scene.deadline)
    call = Call("/1", b"", more=(Call("/2", b""), Call("/3", b"")))
    ticket = scene.failover.begin(one.candidate, choosing, exchange.began, None)
    lane = Lane(one, call, ticket, Attempt(one.provider, one.model, 0.0), exchange.began)
    with pytest.raises(Overloaded):
        await asking.whole(lane)
    # The first that failed is the lane's own, for the failover to settle.
    assert [attempt.outcome for attempt in exchange.attempts] == ["cancelled", "misshapen"]
    lane.ticket.failure("overloaded")
    assert sorted(str(ending[1]) for ending in scene.balancer.endings()) == ["cancelled", "failure", "failure"]
    assert (exchange.usage, exchange.cost) == (Usage(11, 7), one.price.of(Usage(11, 7)))
    await transport.close()
