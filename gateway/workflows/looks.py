"""Queries that are run to their end, though whoever asked goes meanwhile: one that is cut off costs its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Looks:
    """Those under way."""

    def __init__(self) -> None:
        """None yet."""
        self._under_way = set[asyncio.Task[Any]]()

    async def unbroken(self, look: Coroutine[Any, Any, _T]) -> _T:
        """What it comes to; whoever is cancelled meanwhile leaves it behind."""
        task = asyncio.create_task(look)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # of one that was left behind, nobody else asks
