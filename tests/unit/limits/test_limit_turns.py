"""The queue in front of the limits: fair, bounded, and nothing is lost when somebody leaves."""

from __future__ import annotations

import asyncio

from gateway.governance.limits.backend import Grant, Verdict
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.turns import Turns
from gateway.governance.limits.window import Limiter, Need
from gateway.settings.limits import Queue, Rates

ROUTE = Limiter.of("route", "shared", Rates(concurrency=1))
LONG = 30.0


class Line:
    """Turns before a memory, and what became of who waits in it."""

    def __init__(self, *, seconds: float = LONG, size: int = 100) -> None:
        self.clock = asyncio.get_running_loop().time
        self.backend = MemoryBackend(clock=self.clock)
        self.turns = Turns(self.backend, Queue(seconds=seconds, size=size), clock=self.clock)
        self.served: list[str] = []
        self.grants: list[Grant] = []

    async def ask(self, whose: str, *limiters: Limiter, deadline: float = LONG) -> Verdict:
        need = Need(limiters or (ROUTE,), 0)
        verdict = await self.turns.take(whose, need, self.clock() + deadline)
        if verdict.grant is not None:
            self.served.append(whose)
            self.grants.append(verdict.grant)
        return verdict

    def begin(self, whose: str, *limiters: Limiter) -> asyncio.Task[Verdict]:
        return asyncio.create_task(self.ask(whose, *limiters))

    async def waiting(self, number: int) -> None:
        while self.turns.waiting != number:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)

    def end(self) -> None:
        """The request that was served longest ago ends."""
        self.backend.settle(self.grants.pop(0), 0)
        self.turns.ended()


async def test_callers_take_turns_and_each_in_its_order() -> None:
    line = Line()
    await line.ask("first")
    asked = [line.begin(whose) for whose in ("greedy", "greedy", "greedy", "modest", "other")]
    await line.waiting(5)
    for task in asked:
        line.end()
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        asked = [one for one in asked if not one.done()]
        del task
    assert line.served == ["first", "greedy", "modest", "other", "greedy", "greedy"]
    assert line.turns.waiting == 0


async def test_nobody_overtakes_who_waits_for_the_same_and_others_do_not_wait() -> None:
    line = Line()
    await line.ask("first")
    waiting = line.begin("second")
    await line.waiting(1)
    # The place is free, and the second has not been told yet: still it is the second's.
    line.end()
    late = await line.ask("late", deadline=0.01)
    assert late.refusal is not None
    assert (await waiting).grant is not None
    last = line.begin("last")
    await line.waiting(1)
    assert (await line.ask("other", Limiter.of("key", "other", Rates(concurrency=1)))).grant is not None
    assert not last.done()
    line.end()
    assert (await last).grant is not None


async def test_a_wait_in_vain_is_none() -> None:
    line = Line(seconds=2.0)
    slow = Limiter.of("key", "slow", Rates(rpm=1))
    assert (await line.ask("slow", slow)).grant is not None
    refused = await line.ask("slow", slow)
    assert refused.refusal is not None
    assert refused.refusal.wait is not None
    assert refused.refusal.wait > 2.0
    assert refused.waited == 0.0


async def test_whoever_waited_in_vain_is_told_why() -> None:
    line = Line(seconds=0.02)
    await line.ask("first")
    refused = await line.ask("second")
    assert refused.refusal is not None
    assert (refused.refusal.limiter, refused.refusal.bound) == (ROUTE, "concurrency")
    assert refused.waited > 0
    assert line.turns.waiting == 0
    short = Line()
    await short.ask("first")
    assert (await short.ask("second", deadline=0.01)).refusal is not None


async def test_one_that_is_cancelled_leaves_the_line() -> None:
    line = Line()
    await line.ask("first")
    gone, stays = line.begin("gone"), line.begin("stays")
    await line.waiting(2)
    gone.cancel()
    await line.waiting(1)
    line.end()
    assert (await stays).grant is not None


async def test_one_that_is_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    line = Line()
    await line.ask("first")
    gone, stays = line.begin("gone"), line.begin("stays")
    await line.waiting(2)
    line.end()
    while line.backend.running(ROUTE.id) == 0:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    # It has been granted, and its task has not heard of it yet.
    assert not gone.done()
    gone.cancel()
    await asyncio.wait([gone])
    assert gone.cancelled()
    line.turns.ended()
    assert (await stays).grant is not None
    assert line.backend.running(ROUTE.id) == 1


async def test_a_full_line_turns_away_and_who_has_most_in_it_gives_way() -> None:
    line = Line(size=3)
    await line.ask("first")
    greedy = [line.begin("greedy") for _ in range(3)]
    await line.waiting(3)
    assert (await line.ask("greedy")).refusal is not None
    modest = line.begin("modest")
    assert (await greedy.pop()).refusal is not None
    await line.waiting(3)
    assert (await line.ask("greedy")).refusal is not None
    for task in (greedy[0], modest, greedy[1]):
        line.end()
        assert (await task).grant is not None


async def test_what_ends_elsewhere_is_noticed() -> None:
    line = Line()
    await line.ask("first")
    waiting = line.begin("second")
    await line.waiting(1)
    # As another process's would: nobody here is told.
    line.backend.settle(line.grants.pop(), 0)
    assert (await waiting).grant is not None


async def test_without_a_queue_nobody_waits() -> None:
    clock = asyncio.get_running_loop().time
    turns = Turns(MemoryBackend(clock=clock), None, clock=clock)
    assert (await turns.take("one", Need((ROUTE,), 0), clock() + LONG)).grant is not None
    assert (await turns.take("two", Need((ROUTE,), 0), clock() + LONG)).refusal is not None


async def test_at_the_end_nobody_asks_any_more() -> None:
    line = Line(seconds=0.05)
    await line.ask("first")
    waiting = line.begin("second")
    await line.waiting(1)
    await line.turns.close()
    line.end()
    assert (await waiting).refusal is not None
