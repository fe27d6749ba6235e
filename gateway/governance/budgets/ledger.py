"""The rules of the money, without clocks, waiting and databases; whole units of 10⁻¹⁰ USD, so that sums are exact.

    a process:    free = leased − spent − reserved;  a request with the bound b goes if b ≤ free, or if free > 0 and the
                  process alone may run short of this budget; reserved += b;  at its end reserved −= b, spent += cost
    the database: room = limit − spent − what others have leased − what this one has;  a process that asks is given what
                  it needs and a share of the room beyond that, or all the room if that is less than it needs: then it
                  may run short, unless another one may already: then it gives back what it has free

Law: however many requests and processes there are, in whatever order they come and end: if none costs more than its
bound, what is spent exceeds the limit by less than one request's bound; and while `left` is nothing, nobody is let in.

Why: a process that may not run short never has less than nothing free, so all that it spends was leased to it, and what
is leased and spent together is never beyond the limit. The one that may run short lets a request in only while it has
something free, so that what it lacks afterwards is less than that request's bound. And whoever waits is served as long
as anything is left: processes that each kept a little, too little for any of their requests, would wait for one another
for ever.
"""

from __future__ import annotations

from math import ceil

from msgspec import Struct

#: Units in a dollar: the places that the tables keep.
UNITS = 10**10
#: Whoever writes a budget of more, 461 million dollars, means none. The tables count in 64 bits, with room for sums.
_MOST = 2**62
#: The part of the room beyond its need that a process is given at a time. Half of it: twice as many trips to the
#: database; twice: a process that rests keeps more from the others, which then have to ask it back.
_SHARE = 8


def units(usd: float) -> int:
    """Whole units, rounded up: what is reserved must not be less than what may be spent."""
    return ceil(min(usd * UNITS - 1e-3, _MOST))  # a thousandth of a unit is the float's own error


def dollars(amount: int) -> float:
    """USD of so many units."""
    return amount / UNITS


class Share(Struct):
    """What one process holds of one budget.

    Attributes:
        leased: what it was given and has not given back.
        spent: what its requests have cost.
        reserved: bounds of the requests under way.
        short: it, and nobody else, may let a request in that does not fit.
    """

    leased: int = 0
    spent: int = 0
    reserved: int = 0
    short: bool = False

    @property
    def free(self) -> int:
        """What no request has a claim to; less than nothing while it runs short."""
        return self.leased - self.spent - self.reserved

    def fits(self, bound: int) -> bool:
        """Whether a request with that bound may go now."""
        return bound <= self.free or (self.short and self.free > 0)

    def take(self, bound: int) -> None:
        """It goes."""
        self.reserved += bound

    def settle(self, bound: int, cost: int) -> None:
        """It is over."""
        self.reserved -= bound
        self.spent += cost

    def need(self, bound: int) -> int:
        """What it lacks for a request with that bound."""
        return max(0, bound - self.free)

    def spare(self) -> int:
        """What it can give back."""
        return max(0, self.free)

    def gave_back(self, amount: int) -> None:
        """It did."""
        self.leased -= amount
        self.short = False

    def kept(self, amount: int, *, short: bool) -> None:
        """It did not: nobody took it."""
        self.leased += amount
        self.short = short


class Standing(Struct, frozen=True):
    """A budget in the database, as the process that asks finds it.

    Attributes:
        limit: what may be spent.
        spent: what was.
        others: what other processes have leased.
        own: what this one has, less what of it is written down as spent; it has spent more than it had if negative.
        short_elsewhere: another process may run short.
    """

    limit: int
    spent: int
    others: int
    own: int
    short_elsewhere: bool

    @property
    def left(self) -> int:
        """What is not spent."""
        return self.limit - self.spent

    @property
    def room(self) -> int:
        """What is neither spent nor leased."""
        return self.left - self.others - self.own


class Grant(Struct, frozen=True):
    """What a process is given. `enough` for its need; or else, if `short`, it may go on with what there is."""

    amount: int
    enough: bool
    short: bool


def granted(standing: Standing, need: int) -> Grant:
    """What a process is given that needs so much."""
    room = max(0, standing.room)
    if need <= room:
        return Grant(need + (room - need) // _SHARE, enough=True, short=False)
    if standing.left <= 0 or standing.short_elsewhere:
        # Less than it needs is of no use to it, and may be of use to others: so is what it has already.
        return Grant(0, enough=False, short=False)
    return Grant(room, enough=False, short=True)
