"""How budgets stand, for the metrics: those of tags, providers and configured keys that requests had to do with here.

A process lets go of a budget that nobody uses. What was told of it stays true until its period ends, and then nothing
is spent, though no request comes to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from gateway.governance.budgets.claims import Claim, claim_of
from gateway.governance.budgets.ledger import dollars
from gateway.governance.budgets.periods import end_of
from gateway.governance.budgets.purses import Purse
from gateway.metrics import Metrics


class Showing:
    """Tells the gauges."""

    def __init__(self, metrics: Metrics, keys: Collection[str], wall: Callable[[], float]) -> None:
        """Of keys only these: of the others there may be thousands."""
        self._metrics = metrics
        self._keys = keys
        self._wall = wall
        #: The last that was told, by kind and name.
        self._told: dict[tuple[str, str], Claim] = {}

    def __call__(self, purses: Iterable[Purse]) -> None:
        """Tell of these, and of those whose periods have ended since they were told of."""
        # In the order of their periods, of which the last one is meant.
        for purse in sorted(purses, key=lambda one: one.claim.account.start):
            claim = purse.claim
            if purse.wanted is not None and (claim.kind != "key" or claim.name in self._keys):
                self._tell(claim, purse.spent)
        now = self._wall()
        for claim in list(self._told.values()):
            end = end_of(claim.budget.period, claim.account.start)
            if end is not None and end <= now:
                self._tell(claim_of(claim.kind, claim.name, claim.budget, now), 0)

    def _tell(self, claim: Claim, spent: int) -> None:
        labels = claim.kind, claim.name
        self._told[labels] = claim
        self._metrics.budget_used(*labels).set(spent / claim.limit)
        self._metrics.budget_left(*labels).set(dollars(claim.limit - spent))
        self._metrics.budget_limit(*labels).set(claim.budget.usd)
