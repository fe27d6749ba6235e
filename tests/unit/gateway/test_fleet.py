"""One of several: what befalls one process reaches the others once, and a board that is away costs only the news."""

from __future__ import annotations

import random

import pytest

from cache import Board, MemoryStore, News
from dwa import Balancer, Candidate, Objective, Shape
from gateway.fleet import Fleet

LIKED = Objective("liked", 0.0, 0.0, 1.0, quality=1.0)
CANDIDATES = [Candidate("a/m"), Candidate("b/m")]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Wall:
    """A board in memory, with a clock of its own; `away` while it does not answer."""

    def __init__(self, clock: Clock) -> None:
        self.notes: dict[str, bytes] = {}
        self.away = False
        self._clock = clock

    async def exchange(self, name: str, note: bytes) -> News | None:
        if self.away:
            return None
        self.notes[name] = note
        return News(self._clock() + 5e8, {other: told for other, told in self.notes.items() if other != name})

    async def remove(self, name: str) -> None:
        self.notes.pop(name, None)

    async def close(self) -> None:
        return


class Node:
    def __init__(self, name: str, board: Board | None, clock: Clock) -> None:
        self.balancer = Balancer(clock=clock, rng=random.Random(1))
        self.store = MemoryStore(2**20, clock=clock)
        self.fleet = Fleet(name, self.balancer, CANDIDATES, self.store, board, monotonic=clock)

    async def turn(self) -> None:
        await self.fleet.exchange()

    def weight(self, key: str) -> float:
        return self.balancer.weights(CANDIDATES, Shape(100, route="r"), LIKED)[key]


class Scene:
    def __init__(self, count: int = 3) -> None:
        self.clock = Clock()
        self.board = Wall(self.clock)
        self.nodes = [Node(f"n{number}", self.board, self.clock) for number in range(count)]

    async def turns(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.now += 1.0
            for node in self.nodes:
                await node.turn()


async def test_a_vote_taught_to_one_is_known_to_all_and_once() -> None:
    scene = Scene()
    await scene.turns(2)
    scene.nodes[0].fleet.rate("a/m", "r", 0.0, "somebody")
    await scene.turns(1)
    once = [node.weight("a/m") for node in scene.nodes]
    assert once == pytest.approx([once[0]] * 3)
    assert once[0] < 0.5
    await scene.turns(5)
    assert [node.weight("a/m") for node in scene.nodes] == pytest.approx(once, rel=1e-3)


async def test_a_vote_thought_better_of_is_taken_back_everywhere() -> None:
    scene = Scene()
    await scene.turns(2)
    weight = scene.nodes[0].fleet.rate("a/m", "r", 0.0, "somebody")
    await scene.turns(1)
    scene.nodes[1].fleet.revise("a/m", "r", 1.0, weight)
    await scene.turns(2)
    assert [node.weight("a/m") for node in scene.nodes] == pytest.approx([0.5] * 3, abs=0.01)


async def test_a_cleared_cache_is_cleared_in_every_memory_once() -> None:
    scene = Scene()
    for node in scene.nodes:
        await node.store.set("x:1", b"1", 60.0)
        await node.store.set("y:1", b"1", 60.0)
    await scene.turns(2)
    assert await scene.nodes[0].fleet.clear("x:") == 1
    await scene.turns(1)
    assert [await node.store.get("x:1") for node in scene.nodes] == [None] * 3
    assert [await node.store.get("y:1") for node in scene.nodes] == [b"1"] * 3
    for node in scene.nodes:
        await node.store.set("x:2", b"2", 60.0)
    await scene.turns(3)
    assert [await node.store.get("x:2") for node in scene.nodes] == [b"2"] * 3


async def test_who_comes_later_does_not_hear_of_what_was_before() -> None:
    scene = Scene(2)
    await scene.turns(2)
    scene.nodes[0].fleet.rate("a/m", "r", 0.0, "somebody")
    await scene.turns(1)
    late = Node("late", scene.board, scene.clock)
    scene.nodes.append(late)
    await scene.turns(3)
    assert late.weight("a/m") == pytest.approx(0.5)


async def test_a_board_that_is_away_leaves_everybody_alone_and_the_rest_is_caught_up() -> None:
    scene = Scene(2)
    await scene.turns(3)
    assert [set(node.fleet.peers) for node in scene.nodes] == [{"n1"}, {"n0"}]
    scene.board.away = True
    await scene.turns(1)
    assert [(node.fleet.reachable, node.fleet.peers) for node in scene.nodes] == [(False, {})] * 2
    scene.nodes[0].fleet.rate("a/m", "r", 0.0, "somebody")
    scene.nodes[0].balancer.rank(CANDIDATES, Shape(100))
    for _ in range(20):
        ticket = scene.nodes[0].balancer.begin(CANDIDATES[0], Shape(100))
        scene.clock.now += 0.1
        ticket.success(100, 200)
    await scene.turns(2)
    scene.board.away = False
    await scene.turns(2)
    assert all(node.fleet.reachable for node in scene.nodes)
    assert scene.nodes[1].weight("a/m") == pytest.approx(scene.nodes[0].weight("a/m"))
    mine, theirs = (
        next(row for row in node.balancer.stats() if row.key == "a/m").expected_s or 0.0 for node in scene.nodes
    )
    assert mine < 0.2
    # One step, however many answers it stands for: most of the way.
    assert theirs < 1.0


async def test_a_note_nobody_understands_is_passed_over() -> None:
    scene = Scene(2)
    await scene.turns(2)
    scene.board.notes["stranger"] = b"\xff not ours"
    scene.board.notes["newer"] = b""
    await scene.turns(2)
    assert set(scene.nodes[0].fleet.peers) == {"n1"}


async def test_who_leaves_is_gone_from_the_board() -> None:
    scene = Scene(2)
    await scene.turns(2)
    await scene.nodes[0].fleet.leave()
    scene.nodes.pop(0)
    await scene.turns(1)
    assert scene.nodes[0].fleet.peers == {}


async def test_alone_there_is_nothing_to_do() -> None:
    clock = Clock()
    node = Node("only", None, clock)
    await node.fleet.run()
    assert (node.fleet.shared, node.fleet.reachable, node.fleet.peers) == (False, True, {})
    node.fleet.rate("a/m", "r", 0.0, "somebody")
    assert node.weight("a/m") < 0.5
    await node.fleet.leave()
