"""Event loops whose time stands still while anything can run, and jumps to the next clock when nothing can.

Nothing sleeps, nothing races: a test of ten minutes of waiting takes a millisecond and always goes the same way.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
START = 1000.0


class _Jump(selectors.SelectSelector):
    loop: PausedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("every task waits and no clock runs: this would hang")
        if timeout > 0:
            self.loop.jump()
        return super().select(0)


class PausedLoop(asyncio.SelectorEventLoop):
    """Clocks go off `early` seconds before their time: uvloop's timers are rounded to milliseconds, down too."""

    def __init__(self, early: float = 0.0) -> None:
        self.now = START
        self.early = early
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = early + 1e-9

    def time(self) -> float:
        return self.now

    def jump(self) -> None:
        # asyncio has no public way to ask for the next clock; adding the timeout would be a rounding error off.
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # pyright: ignore[reportAttributeAccessIssue] - as said
        self.now = max(self.now, scheduled[0].when() - self.early)


def run(work: Coroutine[Any, Any, T], *, early: float = 0.0) -> T:
    """Run to the end on paused time."""
    with asyncio.Runner(loop_factory=lambda: PausedLoop(early)) as runner:
        return runner.run(work)


def paused(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """The test on a loop of its own, on paused time."""

    @wraps(test)
    def on_paused_time(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return on_paused_time


async def settle(turns: int = 20) -> None:
    """Let every task go on until it waits for a clock or an event; no time passes."""
    for _ in range(turns):
        await asyncio.sleep(0)
