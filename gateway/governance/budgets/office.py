"""The budgets of a gateway, as its other parts see them: a gate, a sink, a task, and what can be asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress

from msgspec import Struct

from gateway.exchange import Exchange
from gateway.governance.audit import Act
from gateway.governance.budgets.accounts import Accounts
from gateway.governance.budgets.burying import Burying
from gateway.governance.budgets.claims import Claim, Kind, claim_of
from gateway.governance.budgets.gate import BudgetGate
from gateway.governance.budgets.ledger import dollars
from gateway.governance.budgets.periods import end_of
from gateway.governance.budgets.showing import Showing
from gateway.metrics import Metrics
from gateway.records import Records
from gateway.settings.limits import Budget
from gateway.settings.tree import Settings
from gateway.store import leasing
from gateway.store.living import Living

#: Seconds that a stop waits for the last records, so that what they have cost need not stay leased.
_FLUSH_WITHIN = 3.0


class Balance(Struct, frozen=True):
    """How a budget stands: USD that are spent, and that requests under way and processes hold. Times: Unix seconds."""

    kind: Kind
    name: str
    budget: Budget
    spent: float
    held: float
    since: int
    until: int | None

    @property
    def left(self) -> float:
        """What is neither spent nor held; never less than nothing."""
        return max(0.0, self.budget.usd - self.spent - self.held)


class Budgets:
    """See the module."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        name: str,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        rng: random.Random,
        metrics: Metrics,
    ) -> None:
        """Those of the settings, and those of callers' keys; `name` is this process's, and nobody else's."""
        self._records = records
        self._wall = wall
        self._metrics = metrics
        self._tags = settings.budgets.tags
        self._providers = {
            name: provider.budget for name, provider in settings.providers.items() if provider.budget is not None
        }
        self._showing = Showing(metrics, {key.name for key in settings.keys if key.budget is not None}, wall)
        living = Living(settings.request_log.spill_dir)
        burying = Burying(records.database, name, monotonic=monotonic, living=living, inherited=records.log.inherit)
        self._accounts = Accounts(records.database, name, monotonic=monotonic, warned=self._warned, burying=burying)
        self.gate = BudgetGate(
            self._accounts,
            tags=self._tags,
            providers=self._providers,
            wall=wall,
            rng=rng,
            refused=lambda kind: metrics.budget_refusals(kind).inc(),
        )

    async def keep(self) -> None:
        """Look after the leases until cancelled."""
        await self._accounts.keep()

    def logged(self, exchange: Exchange) -> None:
        """The sink behind the log: what its record was charged with, and the log has not taken, is owed."""
        if exchange.charges and not exchange.logged:
            self._accounts.owe(exchange.charges)

    async def stop(self) -> None:
        """Give back what is not spent."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._records.log.flush(), _FLUSH_WITHIN)
        await self._accounts.stop()

    def show(self) -> None:
        """Refresh the gauges."""
        self._showing(self._accounts.purses)

    async def balances(self, keys: Iterable[tuple[str, Budget]], *, configured: bool) -> list[Balance]:
        """How the budgets of these keys stand, and with `configured` those of tags and providers.

        Raises:
            StoreUnavailable: the database is away.
        """
        now = self._wall()
        claims = [claim_of("key", name, budget, now) for name, budget in keys]
        if configured:
            claims += [claim_of("tag", name, budget, now) for name, budget in self._tags.items()]
            claims += [claim_of("provider", name, budget, now) for name, budget in self._providers.items()]
        seen = {}
        if claims:
            found = await leasing.look(self._records.database, [one.account for one in claims])
            seen = {(one.name, one.start): one for one in found}
        return [_balance(claim, seen.get(claim.key)) for claim in claims]

    async def balance(self, kind: Kind, name: str, budget: Budget) -> Balance:
        """How one stands. Raises `StoreUnavailable`."""
        claim = claim_of(kind, name, budget, self._wall())
        found = await leasing.look(self._records.database, [claim.account])
        return _balance(claim, found[0] if found else None)

    def budget_of(self, kind: Kind, name: str) -> Budget | None:
        """The budget of a tag or a provider."""
        return {"tag": self._tags, "provider": self._providers}.get(kind, {}).get(name)

    async def reset(self, kind: Kind, name: str, budget: Budget, act: Act) -> None:
        """Begin a budget anew in its period: what was spent until now counts no more. Raises `StoreUnavailable`."""
        claim = claim_of(kind, name, budget, self._wall())
        await leasing.reset(self._records.database, claim.account, act)

    def _warned(self, claim: Claim) -> None:
        self._metrics.budget_warnings(claim.kind).inc()


def _balance(claim: Claim, seen: leasing.Seen | None) -> Balance:
    return Balance(
        claim.kind,
        claim.name,
        claim.budget,
        dollars(seen.spent) if seen else 0.0,
        dollars(seen.leased) if seen else 0.0,
        claim.account.start,
        end_of(claim.budget.period, claim.account.start),
    )
