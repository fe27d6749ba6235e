"""A request's claim to a budget, and what is said when there is nothing left of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from gateway.errors import QuotaExceeded
from gateway.governance.budgets.ledger import dollars, units
from gateway.governance.budgets.periods import end_of, start_of
from gateway.settings.limits import Budget
from gateway.store.leasing import Account
from gateway.store.text import scrubbed

Kind = Literal["key", "tag", "provider"]


class Claim(Struct, frozen=True):
    """A budget in its period. `now`: Unix seconds, when the claim was made."""

    kind: Kind
    name: str
    budget: Budget
    account: Account
    now: float

    @property
    def key(self) -> tuple[str, int]:
        """By which it is known."""
        return self.account.name, self.account.start

    @property
    def limit(self) -> int:
        """In units."""
        return units(self.budget.usd)

    @property
    def soft(self) -> int:
        """From where on there are warnings, in units."""
        return units(self.budget.usd * self.budget.soft)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.kind} '{self.name}'"

    @property
    def anew(self) -> str:
        """When it begins anew, as a clause."""
        end = end_of(self.budget.period, self.account.start)
        return "does not begin anew" if end is None else f"begins anew at {_iso(end)}"


def claim_of(kind: Kind, name: str, budget: Budget, now: float) -> Claim:
    """The claim of a request that comes at `now` (Unix seconds)."""
    of = scrubbed(name)
    account = Account(
        f"{kind}:{of}/{budget.period}", start_of(budget.period, now), kind, of, in_days=budget.period != "hour"
    )
    return Claim(kind, name, budget, account, now)


def exhausted(claim: Claim) -> QuotaExceeded:
    """There is nothing left of it."""
    budget = claim.budget
    end = end_of(budget.period, claim.account.start)
    per = "in total" if end is None else f"per {budget.period}"
    error = QuotaExceeded(
        f"The budget of {claim.title}, {budget.usd:g} USD {per}, is spent. It {claim.anew}.",
        retry_after=None if end is None else max(1.0, end - claim.now),
    )
    error.kind = claim.kind
    return error


def warning(claim: Claim, spent: int) -> str:
    """What the header says once the soft limit is passed."""
    share = 100 * spent / claim.limit
    per = "in total" if claim.budget.period == "total" else f"per {claim.budget.period}"
    said = f"{claim.title}: {share:.0f}% of {claim.budget.usd:g} USD {per} is spent ({dollars(spent):.4f} USD)"
    return f"{said}; it {claim.anew}"


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
