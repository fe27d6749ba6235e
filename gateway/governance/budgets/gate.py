"""What a request passes for money's sake: the budgets of its key, of the key's tags, and of the providers it may go to.

    key, tags   an upper bound is reserved in each; there is none left: `QuotaExceeded`
    provider    from its soft limit on it is left out of the more requests the nearer its budget's end is, as long as
                somebody else can answer; at the end it is left out of all

Every provider with a budget that may be asked has the bound reserved, though one will answer: so nobody goes beyond his
budget whoever it is. What nobody was paid for is given back when the request is over.

Requests that nobody is paid for (models that cost nothing) are let through, whatever is spent. Counting tokens is free,
and passes no gates. An answer from the cache costs nothing, but whoever has nothing left is told so before it is found.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from gateway.asking import Ask, Prepared
from gateway.catalog import Deployment
from gateway.errors import GatewayError, QuotaExceeded
from gateway.exchange import Exchange
from gateway.governance.budgets.accounts import Accounts
from gateway.governance.budgets.bounds import bound
from gateway.governance.budgets.claims import Claim, claim_of, warning
from gateway.governance.budgets.ledger import units
from gateway.governance.budgets.purses import Hold
from gateway.governance.keys import Principal
from gateway.settings.limits import Budget


class Reserved(Struct):
    """What was reserved for one request."""

    accounts: Accounts
    holds: list[Hold]

    def settle(self, exchange: Exchange) -> None:
        """See `gates.Pass`."""
        charges = [self.accounts.settle(hold, _cost(exchange, hold)) for hold in self.holds]
        self.holds = []
        exchange.charges = (*exchange.charges, *(one for one in charges if one is not None))


class BudgetGate:
    """See the module."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        tags: Mapping[str, Budget],
        providers: Mapping[str, Budget],
        wall: Callable[[], float],
        rng: random.Random,
        refused: Callable[[str], None],
    ) -> None:
        """Budgets by tag and by provider; `wall` tells Unix seconds; `refused` hears whose budget turned one away."""
        self._accounts = accounts
        self._tags = dict(tags)
        self._providers = dict(providers)
        self._wall = wall
        self._rng = rng
        self._refused = refused

    async def admit(self, ask: Ask, prepared: Prepared) -> Reserved | None:
        """See `gates.Gate`."""
        caller = ask.exchange.caller
        limited = caller is not None and (caller.budget is not None or bool(self._tags and caller.tags))
        if not limited and not self._providers:
            return None
        resolution = prepared.resolution
        candidates = [one for tier in resolution.tiers for one in tier]
        hedged = resolution.route is not None and resolution.route.hedge
        most = bound(ask, candidates, hedged=hedged)
        if not most:
            return None
        reserved = Reserved(self._accounts, [])
        try:
            if caller is not None and limited:
                claims = self._claims(caller)
                reserved.holds += await self._accounts.reserve(claims, most, prepared.deadline)
                self._tell(ask.exchange, claims)
            if self._providers:
                reserved.holds += await self._of_providers(ask, prepared, candidates, hedged=hedged)
        except BaseException as exc:
            # A caller who hangs up while it waits, too: what it holds would be missing until this process ends.
            for hold in reserved.holds:
                self._accounts.settle(hold, 0)
            if isinstance(exc, QuotaExceeded):
                self._refused(exc.kind)
            raise
        return reserved

    def _claims(self, caller: Principal) -> list[Claim]:
        now = self._wall()
        claims = [claim_of("key", caller.name, caller.budget, now)] if caller.budget is not None else []
        tags = dict.fromkeys(tag for tag in caller.tags if tag in self._tags)
        return claims + [claim_of("tag", tag, self._tags[tag], now) for tag in tags]

    def _tell(self, exchange: Exchange, claims: Sequence[Claim]) -> None:
        """The header of those whose money nears its end."""
        known = [(claim, self._accounts.spent(claim) or 0) for claim in claims]
        said = [warning(claim, spent) for claim, spent in known if spent >= claim.soft]
        exchange.budget_warning = "; ".join(said) or None

    # --- providers ---------------------------------------------------------------------------------------------

    async def _of_providers(
        self, ask: Ask, prepared: Prepared, candidates: Sequence[Deployment], *, hedged: bool
    ) -> list[Hold]:
        """Reserve with those that may be asked; the others are barred. Raises when nobody is left."""
        names = dict.fromkeys(one.provider for one in candidates)
        now = self._wall()
        budgeted = [name for name in names if name in self._providers]
        if not budgeted:
            return []
        payees = _Payees(self._accounts)
        for name in budgeted:
            most = bound(ask, [one for one in candidates if one.provider == name], hedged=hedged)
            payees.add(claim_of("provider", name, self._providers[name], now), most)
        shunned = {name for name in budgeted if self._shuns(payees.claims[name])}
        try:
            await payees.offer([name for name in budgeted if name not in shunned])
            if len(budgeted) == len(names) and not payees.holds:
                await payees.offer([*shunned])
                await payees.require_one(prepared.deadline)
        except BaseException:
            # As above.
            payees.let_go()
            raise
        ask.exchange.barred = frozenset(name for name in budgeted if name not in payees.holds)
        return [*payees.holds.values()]

    def _shuns(self, claim: Claim) -> bool:
        """Whether this request goes elsewhere if it can: the likelier, the nearer the end is."""
        spent = self._accounts.spent(claim)
        if spent is None or spent < claim.soft:
            return False
        return self._rng.random() * (claim.limit - claim.soft) < spent - claim.soft


class _Payees:
    """The providers with budgets among a request's candidates."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.claims: dict[str, Claim] = {}
        self._bounds: dict[str, int] = {}
        self.holds: dict[str, Hold] = {}
        #: Why the others hold nothing; None: what is left of theirs is held by others.
        self._errors: dict[str, GatewayError | None] = {}

    def add(self, claim: Claim, most: int) -> None:
        """One that may be asked, and what that may cost."""
        self.claims[claim.name], self._bounds[claim.name] = claim, most

    async def offer(self, names: Sequence[str]) -> None:
        """Reserve with each of these who has something left."""
        for name in names:
            try:
                hold = await self._accounts.offer(self.claims[name], self._bounds[name])
            except GatewayError as exc:
                self._errors[name] = exc
            else:
                if hold is None:
                    self._errors[name] = None
                else:
                    self.holds[name] = hold

    async def require_one(self, deadline: float) -> None:
        """Wait for one whose money is held by others. Raises when nobody has any, or none in time."""
        if self.holds:
            return
        for name, error in self._errors.items():
            if error is None:
                self.holds[name] = (await self._accounts.reserve([self.claims[name]], self._bounds[name], deadline))[0]
                return
        # If one could not be looked up, it is not known that all are spent.
        errors = sorted(filter(None, self._errors.values()), key=lambda one: isinstance(one, QuotaExceeded))
        raise errors[0]

    def let_go(self) -> None:
        """Nobody is asked."""
        for hold in self.holds.values():
            self._accounts.settle(hold, 0)


def _cost(exchange: Exchange, hold: Hold) -> int:
    """What a hold's budget is charged with, in units."""
    claim = hold.claim
    if claim.kind != "provider":
        return units(exchange.cost)
    return units(sum(one.cost for one in exchange.attempts if one.provider == claim.name))
