"""Small worlds built by hand, and policies that do one thing."""

from __future__ import annotations

from collections.abc import Sequence

from dwa import BALANCED, Shape
from dwa.simulate.hosts import Host
from dwa.simulate.physics import Line, World
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.traffic import Luck, Request, Traffic
from dwa.simulate.truth import Yardstick

PLAIN_LUCK = Luck(0.0, 0.0, 0.5, 0.5, 0.5)


def request(at: float, *, luck: Luck = PLAIN_LUCK, bad: bool = False, stream: bool = False) -> Request:
    return Request(at, 1000, 100, "chat", stream, bad, 0, (luck, luck, luck))


def world(
    hosts: Sequence[Host], requests: Sequence[Request], timeline: Sequence[tuple[float, int, Host]] = ()
) -> World:
    shapes = [(one, Shape(one.prompt, stream=one.stream)) for one in requests]
    yardstick = Yardstick.of(BALANCED, hosts, Traffic())
    return World(tuple(hosts), tuple(timeline), shapes, yardstick, 1, 100.0)


class InOrder:
    """Always tries the same order; remembers what it was told."""

    def __init__(self, setting: Setting, lines: Sequence[Line], order: Sequence[int] = (0, 1, 2)) -> None:
        self.order = [place for place in order if place < len(setting.listings)]
        self.lines = lines
        self.told: list[tuple[str, float, Attempt]] = []
        self.relistings: list[float] = []
        self.setting = setting

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        return self.order

    def begin(self, attempt: Attempt, now: float) -> None:
        self.told.append(("begin", now, attempt))

    def first_token(self, attempt: Attempt, now: float) -> None:
        self.told.append(("first", now, attempt))

    def finish(self, attempt: Attempt, now: float) -> None:
        self.told.append((attempt.kind, now, attempt))

    def relisted(self, now: float) -> None:
        self.relistings.append(now)

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.told if kind not in ("begin", "first")]
