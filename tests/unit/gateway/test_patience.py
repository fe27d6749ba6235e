"""An attempt is given up before its timeout when its host hangs, and only while another is left to ask."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from failover_scene import Scene, takes
from paused_time import paused, settle

from dwa import Balancer
from gateway.capping import Cap
from gateway.patience import look_after, patiently
from providers.errors import Overloaded, Silent


def hangs(scene: Scene, place: int) -> None:
    """The DWA finds it out."""
    tell = scene.balancer.tickets[place].on_hang
    assert tell is not None
    tell()


@paused
async def test_whoever_waits_at_a_host_that_hangs_goes_on_to_the_next() -> None:
    scene = Scene({"a": takes(600.0), "b": "fine"})
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(3.0)
    hangs(scene, 0)
    won = await running
    assert (won.deployment.provider, won.answer) == ("b", "fine")
    assert scene.times == [0.0, 3.0]
    assert scene.outcomes() == [("a", "timed_out"), ("b", "ok")]
    assert scene.exchange.attempts[0].message == (
        "The provider did not answer this request while others answered theirs; given up after 3.0 s."
    )
    assert scene.balancer.endings()[0] == ("a/m", "failure", "timed_out", False)


@paused
async def test_with_nobody_left_to_ask_it_is_waited_for() -> None:
    scene = Scene({"a": Overloaded("busy"), "b": takes(30.0)})
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(3.0)
    hangs(scene, 1)
    assert (await running).answer == "late"
    assert scene.outcomes() == [("a", "overloaded"), ("b", "ok")]


@paused
@pytest.mark.parametrize(("limit", "answered_by"), [(1.5, "a"), (2.0, "b")])
async def test_whoever_the_bound_on_costs_leaves_out_is_not_left_to_ask(limit: float, answered_by: str) -> None:
    scene = Scene({"a": takes(30.0), "b": "fine"})
    scene.exchange.cap = Cap(limit)
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(3.0)
    # As forecast since: what waits is given back when it is given up, so the other must fit in its place.
    scene.exchange.cap.expected = {"a/m": 1.0, "b/m": 2.0}
    scene.exchange.cap.taken = 1.0
    hangs(scene, 0)
    assert (await running).deployment.provider == answered_by


@paused
async def test_who_is_alone_is_never_told() -> None:
    scene = Scene({"a": takes(30.0)})
    running = asyncio.create_task(scene.run())
    await settle()
    assert scene.balancer.tickets[0].on_hang is None
    assert (await running).answer == "late"


@paused
async def test_what_is_answered_is_not_given_up_any_more() -> None:
    scene = Scene({"a": "fine", "b": "fine"})
    await scene.run()
    assert scene.balancer.tickets[0].on_hang is None


@paused
async def test_one_of_two_that_race_is_given_up_and_the_other_goes_on() -> None:
    scene = Scene({"a": takes(600.0), "b": takes(20.0, "slow")}, hedge=True)
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(5.0)
    assert scene.calls == ["a", "b"]
    hangs(scene, 0)
    assert (await running).answer == "slow"
    assert scene.outcomes() == [("a", "timed_out"), ("b", "ok")]


@paused
async def test_a_timeout_of_the_calls_own_is_its_own() -> None:
    async def late() -> str:
        raise TimeoutError("of its own")

    scene = Scene({"a": "fine"})
    await scene.run()
    with pytest.raises(TimeoutError, match="of its own"):
        await patiently(late(), scene.balancer.tickets[0].real, lambda: True)


@paused
async def test_a_caller_who_leaves_meanwhile_is_no_hang() -> None:
    scene = Scene({"a": takes(600.0), "b": "fine"})
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(3.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert scene.calls == ["a"]
    assert scene.balancer.endings() == [("a/m", "cancelled")]


@paused
async def test_they_are_looked_after_twice_a_second_until_the_gateway_stops() -> None:
    looks: list[float] = []

    class Watched:
        def review(self) -> None:
            looks.append(asyncio.get_running_loop().time() - start)

    start = asyncio.get_running_loop().time()
    looking = asyncio.create_task(look_after(cast("Balancer", Watched())))
    await asyncio.sleep(1.6)
    looking.cancel()
    await settle()
    assert looking.cancelled()
    assert looks == pytest.approx([0.5, 1.0, 1.5])


def test_it_says_for_how_long_it_was_waited_for() -> None:
    said = "The provider did not answer this request while others answered theirs; given up after 2.0 s."
    assert Silent(2.04).message == said
    assert Silent(2.04).kind == "timed_out"
