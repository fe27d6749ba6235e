"""Where requests are counted. Every backend passes the same tests.

Law: of all who count in the same place, no more are let through within any minute, or at a time, than each limiter's
bound says; a request is counted by all its limiters or by none. Whoever dies gives back what it held. A backend never
fails its caller and waits a moment at most: one that cannot reach the others counts alone, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from gateway.governance.limits.window import Need, Refusal, State


class Grant(Struct, eq=False):
    """A request that is counted: in which second, where, to be settled once. `alone`: in this process's memory only."""

    need: Need
    second: int
    alone: bool = False
    #: The second of this process's own count, of a backend that keeps one beside.
    here: int = 0


class Verdict(Struct):
    """A grant or a refusal; and what each limiter counted before, at the time `now` of their clock.

    There are no states when it was not asked for, but waited behind others. `waited`: seconds.
    """

    states: Sequence[State]
    now: float
    grant: Grant | None = None
    refusal: Refusal | None = None
    waited: float = 0.0


class Backend(Protocol):
    """Counts."""

    #: What it counts in: `memory`, `folder` or `redis`.
    name: str

    @property
    def alone(self) -> bool:
        """Others count elsewhere and cannot be reached: the bounds hold for this process alone."""
        ...

    async def take(self, need: Need) -> Verdict:
        """Count a request, when it is within all its limits. One that is cancelled meanwhile is not counted."""
        ...

    def settle(self, grant: Grant, tokens: int) -> None:
        """The request has ended, and took so many tokens. Does not wait."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
