"""One request over scripted deployments, asked in the order given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from gateway_world import Ledger, deployment, exchange
from paused_time import PausedLoop

from dwa import BALANCED, Balancer, Shape
from gateway.catalog import Deployment, Resolution, Route
from gateway.errors import GatewayError
from gateway.failover import Choosing, Failover, RetryPolicy, Won
from gateway.racing import Lane
from providers.dialect import Call, Inexpressible
from providers.errors import TimedOut
from providers.transport import Timeouts

#: What a deployment does when called: raise this, answer this, or whatever the function does.
Step = BaseException | str | Callable[[], Awaitable[str]]
NO_RETRY = RetryPolicy(rounds=0)


class Scene:
    """One request over scripted deployments, asked in the order given (strategy `priority`)."""

    def __init__(
        self,
        *tiers: dict[str, Step | list[Step]],
        policy: RetryPolicy = NO_RETRY,
        timeout: float = 60.0,
        seed: int = 1,
        timeouts: Timeouts | None = None,
        hedge: bool = False,
    ) -> None:
        self.balancer = Ledger()
        self.failover = Failover(
            self.balancer, policy, monotonic=asyncio.get_running_loop().time, rng=random.Random(seed)
        )
        self.hedge = hedge
        if hedge:
            for key in (f"{name}/m" for tier in tiers for name in tier):
                _teach(self.balancer, key)
        self.exchange = exchange()
        self.deadline = self.exchange.began + timeout
        #: Who was given the request to put in its dialect, and who was called then.
        self.encoded: list[str] = []
        self.calls: list[str] = []
        self.times: list[float] = []
        #: Whose ending tells the balancer whether deployments fail together.
        self.sequels: list[str] = []
        #: Answers that came too late to be needed.
        self.discarded: list[str] = []
        self.scripts: dict[str, list[Step]] = {}
        made: dict[str, Deployment] = {}
        for script in (item for tier in tiers for item in tier.items()):
            key, steps = f"{script[0]}/m", script[1]
            self.scripts[key] = list(steps) if isinstance(steps, list) else [steps]
            made.setdefault(key, deployment(key, priority=len(made), timeouts=timeouts))
        self.tiers: tuple[tuple[Deployment, ...], ...] = tuple(
            tuple(made[f"{name}/m"] for name in tier) for tier in tiers
        )

    def encode(self, one: Deployment) -> Call:
        self.encoded.append(one.provider)
        if isinstance(self.scripts[one.key][0], Inexpressible):
            inexpressible = self._step(one)
            assert isinstance(inexpressible, Inexpressible)
            raise inexpressible
        return Call(f"/{one.model}", one.key.encode())

    async def dispatch(self, lane: Lane) -> str:
        one, call = lane.deployment, lane.call
        assert call.body == one.key.encode(), "sent what was made for another"
        self.calls.append(one.provider)
        if lane.ticket.sequel is not None:
            self.sequels.append(one.provider)
        self.times.append(asyncio.get_running_loop().time() - self.exchange.began)
        step = self._step(one)
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, str) else await step()

    def _step(self, one: Deployment) -> Step:
        steps = self.scripts[one.key]
        return steps.pop(0) if len(steps) > 1 else steps[0]

    async def run(self) -> Won[str]:
        choosing = Choosing(Shape(100, stream=self.hedge), "priority", BALANCED)
        route = Route("r", (), hedge=True) if self.hedge else None
        resolution = Resolution(self.tiers, route)
        won = await self.failover.first_good(
            self.exchange, resolution, choosing, self.encode, self.dispatch, self.discard, deadline=self.deadline
        )
        won.ticket.success(10, 10)
        return won

    async def discard(self, spare: Won[str]) -> None:
        self.discarded.append(spare.answer)
        spare.ticket.success(10, 10)

    async def fails(self) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.run()
        return caught.value

    def outcomes(self) -> list[tuple[str, str]]:
        return [(one.provider, one.outcome) for one in self.exchange.attempts]


def _teach(balancer: Balancer, key: str) -> None:
    """Forty streams: the first token after 0.2 s, the end a second later."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PausedLoop), "teaching takes time, which must not pass"
    for _ in range(40):
        ticket = Balancer.begin(balancer, deployment(key).candidate, Shape(100, stream=True))
        loop.now += 0.2
        ticket.first_token()
        loop.now += 1.0
        ticket.success(100, 100)


def takes(seconds: float, end: BaseException | str = "late") -> Callable[[], Awaitable[str]]:
    async def step() -> str:
        await asyncio.sleep(seconds)
        if isinstance(end, BaseException):
            raise end
        return end

    return step


def until_deadline(scene: Scene) -> Callable[[], Awaitable[str]]:
    """A provider that never answers, under a transport that keeps the deadline."""

    async def step() -> str:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout_at(scene.deadline):
                await asyncio.Event().wait()
        except TimeoutError as exc:
            raise TimedOut("total", scene.deadline - begun) from exc
        return "never"

    return step
