"""One budget for many: an execution, those within it and those in which it is spend from the same ledger.

Law: of a budget and of all budgets around it, no more is spent and held than there is, whichever process asks. A prompt
is written down before it is sent and struck out with what it has cost: what an execution had written down when its
process died is struck out when another takes it over, and counts for nothing once it runs no more.

An execution that is alone asks nobody: see `budget`. Here a prompt costs two transactions, a few milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from gateway.racing import all_over
from gateway.records import StoreUnavailable
from gateway.store.engine import Database
from gateway.store.workflows import budgets
from gateway.store.workflows.budgets import Hold
from gateway.workflows.budget import Purse, PurseCap, Room, purse_of
from gateway.workflows.kept import Execution
from gateway.workflows.spec import Definition, SubWorkflow

_T = TypeVar("_T")
_log = logging.getLogger("steelyard.workflows")
#: Seconds between two looks whether others have given back, and for a database that is away. Doubled, a prompt that
#: could be sent waits an eighth of a second longer on average.
_AGAIN = 0.25


class Ledgers:
    """Opens purses, of their own or shared."""

    def __init__(self, database: Database, new_id: Callable[[], str]) -> None:
        """Over this database; `new_id` names what is held."""
        self._database = database
        self._new_id = new_id

    async def __call__(self, execution: Execution, definition: Definition) -> Purse | None:
        """See `budget.Purses`. Raises `StoreUnavailable`."""
        if execution.budget_usd is None:
            return None
        inner = (getattr(node, "node", node) for node in definition.nodes.values())
        alone = execution.parent_id is None and not any(isinstance(node, SubWorkflow) for node in inner)
        if alone:
            return await purse_of(execution, definition)
        chain = await budgets.enter(self._database, execution)
        return SharedPurse(self._database, execution, chain, self._new_id)


class SharedPurse(Purse):
    """A purse over the ledger. `limit`, `spent` and `held` are those of the tightest budget when it was looked at."""

    def __init__(self, database: Database, execution: Execution, chain: list[str], new_id: Callable[[], str]) -> None:
        """Of the execution, whose budgets are `chain`: its own, and those of the executions around it."""
        super().__init__(execution.budget_usd or 0.0, execution.spent.cost_usd)
        self._database = database
        self._execution_id = execution.id
        self._chain = chain
        self._new_id = new_id
        self._named: dict[int, str] = {}
        #: What could not be written down, as the database was away.
        self._owed: list[tuple[str, float]] = []
        self._others = 0.0

    @property
    def held(self) -> float:
        """See the class."""
        return self._others + super().held

    def count(self, cost: float) -> None:
        """Nothing: an execution within this one has written down itself what it spent, and so has who was killed."""

    async def settle(self, cap: PurseCap) -> None:
        """See `Purse`; to its end, though the prompt is given up meanwhile."""
        self._hold(cap, 0.0)
        name = self._named.pop(id(cap), None)
        if name is None and not cap.cost:
            return
        self._owed.append((name or self._new_id(), cap.cost))
        await self._to_its_end(self._pay())

    async def _room(self, cap: PurseCap, least: float, most: float) -> Room:
        name = self._named.setdefault(id(cap), self._new_id())
        hold = Hold(name, self._execution_id, least, most, cap.taken)

        async def ask() -> budgets.Answer:
            await self._pay()
            if self._owed:
                raise StoreUnavailable("What was spent is not written down yet.")
            return await budgets.reserve(self._database, self._chain, hold)

        found = await _patiently(lambda: self._to_its_end(ask()))
        self._hold(cap, cap.taken if found.granted is None else found.granted)
        self.limit, self.spent = found.limit, found.spent
        self._others = max(0.0, found.held - sum(self._holds.values()) + self._holds.get(id(cap), 0.0))
        return Room(found.granted, found.held, found.left)

    async def _changed(self) -> None:
        await asyncio.sleep(_AGAIN)

    async def _pay(self) -> None:
        while self._owed:
            name, cost = self._owed.pop()
            try:
                await budgets.settle(self._database, self._chain, name, cost)
            except StoreUnavailable:
                self._owed.append((name, cost))
                _log.warning("what a prompt has cost is written down later", extra={"execution_id": self._execution_id})
                return

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Though the prompt is given up meanwhile: what is cut off may have been written down all the same."""
        task = asyncio.create_task(work)
        try:
            await all_over([task])
        except asyncio.CancelledError:
            task.exception()  # nobody else asks for it
            raise
        return task.result()


async def _patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await asyncio.sleep(_AGAIN)
