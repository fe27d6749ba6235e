"""Replicas of a simulation that share what they know: each tells and hears once a second, at a moment of its own.

What is heard is what the others said at their last turn, so up to a second old, and older by `late_s` where the
exchange is slow. A policy that cannot share is left alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from dwa.sharing import EVERY_S, Told


@runtime_checkable
class Sharing(Protocol):
    """A policy that shares."""

    def tell(self, now: float) -> Told:
        """What the others should know."""
        ...

    def hear(self, others: Mapping[str, Told], now: float) -> None:
        """What they said, by name."""
        ...


class Exchange:
    """The turns of all replicas."""

    __slots__ = ("_late_s", "_policies", "_said", "_turn", "next_at")

    def __init__(self, policies: Sequence[Any], late_s: float) -> None:
        self._policies = [policy for policy in policies if isinstance(policy, Sharing)]
        self._late_s = late_s
        self._said: list[deque[tuple[float, Told]]] = [deque() for _ in self._policies]
        self._turn = 0
        self.next_at = EVERY_S if self._policies else float("inf")
        """When it is somebody's turn."""

    def step(self) -> None:
        """The next turn."""
        now, turn = self.next_at, self._turn
        said = self._said[turn]
        said.append((now, self._policies[turn].tell(now)))
        heard: dict[str, Told] = {}
        for place, others in enumerate(self._said):
            while len(others) > 1 and others[1][0] <= now - self._late_s:
                others.popleft()
            if place != turn and others and others[0][0] <= now - self._late_s:
                heard[str(place)] = others[0][1]
        self._policies[turn].hear(heard, now)
        self._turn = (turn + 1) % len(self._policies)
        self.next_at += EVERY_S / len(self._policies)
