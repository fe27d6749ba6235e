"""What a process has of one budget in one period, and what it cannot know of that."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from gateway.governance.budgets.claims import Claim
from gateway.governance.budgets.ledger import Share


class Doubt(Struct, frozen=True):
    """A change of a lease whose last word the database may have heard, or not: the connection broke on it.

    Until that is known the share is what it is in the worse case: what was to be had it has not, and what was to be
    given back neither. `number` is the change's, as the lease tells when it arrived.
    """

    share: Share
    number: int
    amount: int
    short: bool
    #: It was to be given back; else it was to be had.
    giving: bool

    def cleared(self, *, arrived: bool) -> None:
        """It is known now."""
        if arrived != self.giving:
            self.share.kept(self.amount, short=self.short)


class Purse(Struct):
    """What this process has of one budget in one period.

    `known` is what was spent when the database told last, `since` what requests have cost here since then.
    """

    claim: Claim
    used: float
    share: Share = field(default_factory=Share)
    line: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    #: Whoever changes the lease: one at a time, so that there is one doubt at most.
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    doubt: Doubt | None = None
    known: int = 0
    since: int = 0
    #: How often somebody had waited when it was last heard of; None: never heard.
    wanted: int | None = None
    warned: bool = False
    #: Requests that have it at hand, so that it must stay the only one of its budget.
    users: int = 0
    #: The limit that was found to be spent, and when.
    spent_out: tuple[int, float] | None = None

    @property
    def spent(self) -> int:
        """About what was spent."""
        return self.known + self.since

    def stir(self) -> None:
        """Something is free that was not."""
        waited_for, self.changed = self.changed, asyncio.Event()
        waited_for.set()


class Hold(Struct, frozen=True):
    """What a request has reserved of one budget."""

    purse: Purse
    claim: Claim
    share: Share
    bound: int
