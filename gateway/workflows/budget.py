"""What an execution may spend: a prompt is sent only if it is expected to fit beside all that was spent and is held.

    spent + expected costs of prompts under way + this one's ≤ the budget

The expectation is the cap's (`gateway.capping`), which says how good it is. A prompt that is done gives back what was
expected of it and takes what it has cost. One that fits only when others have given back waits for them: they are
likely to cost less than they hold, and to fail it would be to fail what there is money for. Nobody waits who holds
something, so nobody waits for ever.

This purse is that of an execution alone. One with executions within it, or within another, shares a ledger with them:
see `ledger`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from gateway.capping import ROUNDING, Cap
from gateway.catalog import Deployment
from gateway.workflows.kept import Execution
from gateway.workflows.spec import Definition


class Room(Struct, frozen=True):
    """What a purse has for one prompt.

    Attributes:
        granted: USD that are held for it now; None: no room.
        others: USD that other prompts hold.
        left: USD that would be left if they gave back all of it.
    """

    granted: float | None
    others: float
    left: float


class Purse:
    """The money of one execution, in USD: its budget, what is spent, and what is expected of prompts under way."""

    def __init__(self, limit: float, spent: float = 0.0) -> None:
        """With what was spent before."""
        self.limit = limit
        self.spent = spent
        self._holds: dict[int, float] = {}
        self._given_back = asyncio.Event()

    @property
    def held(self) -> float:
        """What prompts under way are expected to cost."""
        return sum(self._holds.values())

    @property
    def left(self) -> float:
        """What there would be if nothing were held, as far as is known."""
        return self.limit - self.spent

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[PurseCap]:
        """The cap of one prompt; on leaving, `cap.cost` is spent, and nothing is held for it any more."""
        cap = PurseCap(limit=0.0, purse=self)
        try:
            yield cap
        finally:
            await self.settle(cap)

    async def reserve(self, cap: PurseCap, least: float, most: float) -> float:
        """Hold between `least` and `most` for a prompt; how much, or what it has taken already: there is no room."""
        while True:
            room = await self._room(cap, least, most)
            if room.granted is not None:
                return room.granted
            if cap.taken > ROUNDING or room.others <= 0.0 or least > room.left + ROUNDING:
                return cap.taken
            await self._changed()

    async def settle(self, cap: PurseCap) -> None:
        """A prompt is over."""
        self._hold(cap, 0.0)
        self.count(cap.cost)

    def count(self, cost: float) -> None:
        """So much was spent elsewhere: by an execution within this one, or before a kill."""
        self.spent += cost

    async def _room(self, cap: PurseCap, least: float, most: float) -> Room:
        """Hold it if there is room, else only what is taken."""
        others = sum(held for key, held in self._holds.items() if key != id(cap))
        room = self.left - others
        granted = max(least, min(most, room)) if least <= room + ROUNDING else None
        self._hold(cap, cap.taken if granted is None else granted)
        return Room(granted, others, self.left)

    async def _changed(self) -> None:
        """Wait until somebody has given back."""
        await self._given_back.wait()

    def _hold(self, cap: PurseCap, usd: float) -> None:
        before = self._holds.pop(id(cap), 0.0)
        if usd > 0.0:
            self._holds[id(cap)] = usd
        if usd < before:
            waiting, self._given_back = self._given_back, asyncio.Event()
            waiting.set()


class PurseCap(Cap, kw_only=True):
    """A cap whose `limit` is what the purse holds for it; `cost` is what the prompt has cost in the end."""

    purse: Purse
    cost: float = 0.0

    def affordable(self, tier: Sequence[Deployment], costs: Mapping[str, float]) -> list[Deployment]:
        """Those for whom there could be room; the others are refused."""
        self.expected.update(costs)
        dear = {one.key for one in tier if self.taken + costs.get(one.key, 0.0) > self.purse.left + ROUNDING}
        self.refused.update({key: self.expected.get(key, 0.0) for key in dear})
        return [one for one in tier if one.key not in dear]

    async def reserve(self, keys: Sequence[str]) -> None:
        """Have the purse hold what the first of these is expected to cost, and for the others what it has."""
        costs = [self.expected.get(key, 0.0) for key in keys]
        least, most = self.taken + costs[0], self.taken + sum(costs)
        if most > 0.0:
            self.limit = await self.purse.reserve(self, least, most)


#: Opens the purse of an execution; None: it may spend what it likes.
Purses = Callable[[Execution, Definition], Awaitable[Purse | None]]


async def purse_of(execution: Execution, definition: Definition) -> Purse | None:
    """The purse of an execution that shares with nobody."""
    return None if execution.budget_usd is None else Purse(execution.budget_usd, execution.spent.cost_usd)
