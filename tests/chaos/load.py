"""Callers that keep coming at a steady pace, whatever they are told, and what they were told.

Of eight, two ask at temperature 0 what others ask as well, which the cache may know; three get streams; four speak
Anthropic's format. One in ten has a key with a small budget.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.acceptance.bad_days import Told, ask, callers

#: More than the longest answer has: callers with a budget say how much they may be told at most.
_MOST_TOKENS = 64
#: What a caller may be told instead of an answer, when it cannot be had: it says why, and whether to come again.
_HONEST = {408, 429, 503}


@dataclass(frozen=True)
class Heard:
    """What one caller was told, and when, on the monotonic clock."""

    told: Told
    key: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def verdict(self) -> str:
        """`answered`, `refused` by an honest error, `spent` when a budget is, else `broken`."""
        if self._good():
            return "answered"
        if self.told.status in _HONEST and (error := self._error()) is not None:
            return "spent" if error.get("code") == "insufficient_quota" else "refused"
        return "broken"

    def _good(self) -> bool:
        try:
            return self.told.good
        except (ValueError, LookupError, TypeError):
            return False  # half of an answer

    def _error(self) -> dict[str, Any] | None:
        try:
            error = json.loads(self.told.body)["error"]
        except (ValueError, KeyError, TypeError):
            return None
        return error if isinstance(error, dict) and error.get("message") and error.get("type") else None


@dataclass
class Load:
    """The callers. `keys` are two: everybody's, and that of one in ten."""

    url: str
    keys: Mapping[str, str]
    pace: float
    session: aiohttp.ClientSession
    heard: list[Heard] = field(default_factory=list[Heard])
    asked: int = 0
    _running: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def keep_coming(self) -> None:
        """Until cancelled."""
        began = time.monotonic()
        while True:
            self.asked += 1
            task = asyncio.create_task(self._one(self.asked))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            await asyncio.sleep(max(0.0, began + self.asked / self.pace - time.monotonic()))

    async def _one(self, number: int) -> None:
        crowd, thrifty = self.keys
        key = thrifty if number % 10 == 3 else crowd
        more: dict[str, Any] = {"max_tokens": _MOST_TOKENS}
        if number % 4 == 0:
            more["temperature"] = 0
        text = f"again {number // 16}." if "temperature" in more else f"question {number}."
        began = time.monotonic()
        told = await ask(
            self.session,
            self.url,
            text,
            dialect="anthropic" if number % 4 >= 2 else "openai",
            stream=number % 4 == 1 or number % 8 == 2,
            headers={"x-api-key": self.keys[key]},
            **more,
        )
        self.heard.append(Heard(told, key, began, time.monotonic()))

    async def settle(self) -> None:
        """Wait for those still under way."""
        while self._running:
            await asyncio.wait(self._running)


@asynccontextmanager
async def a_load(url: str, keys: Mapping[str, str], *, pace: float) -> AsyncGenerator[Load]:
    """At the end nobody new comes, and everybody has been told something."""
    async with callers() as session:
        load = Load(url, keys, pace, session)
        coming = asyncio.create_task(load.keep_coming())
        try:
            yield load
        finally:
            coming.cancel()
            await asyncio.wait([coming])
            await load.settle()


def percentile(seconds: Collection[float], share: float) -> float:
    """The least that so great a share of them does not exceed; 0.0 of none."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
