"""A process's shares of the budgets, and the line of those who wait for one.

    a request's claims → all its shares have room: taken, without asking anybody
                       → one has not: in line; the first of the line leases more, or waits until somebody gives back

Law: a request is reserved in all its budgets or in none; it is settled once; and nothing is spent that was not leased,
but for the one request of a process that may run short (`ledger`). Those who wait do so in the order in which they
come, as long as their deadline allows.

The database is asked when a share is used up, and looked at twice a second by a process that has any: whether others
wait (then what is free is given back), what was spent (for warnings), and who has died. While it is away the shares are
served from, for `_TRUSTED` seconds: then others may have taken this process for dead and have what it had.

Limits: what a process that was frozen for so long had under way when it was taken for dead is spent beside what others
have leased meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import count

from gateway.errors import Busy, DeadlineExceeded
from gateway.governance.budgets.burying import Burying
from gateway.governance.budgets.claims import Claim, exhausted
from gateway.governance.budgets.ledger import Share, dollars
from gateway.governance.budgets.purses import Doubt, Hold, Purse
from gateway.store import leasing
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.leasing import Change, Drawn
from gateway.store.record import Charge

_log = logging.getLogger("steelyard.budgets")
#: Seconds between two looks at the database. Doubled: whoever waits for what another process has free waits half a
#: second longer; halved: twice as many looks.
_LOOK_EVERY = 0.5
#: Seconds between two tries of somebody who waits, when nothing here has changed.
_AGAIN = 0.25
#: Seconds after which an unused share is given back.
_IDLE = 5.0
#: Seconds between two signs of life; and for which they are trusted, which must be less than `burying._DEAD`.
_BEAT_EVERY, _TRUSTED = 5.0, 30.0
#: Seconds that a request waits for the database to answer.
_PATIENCE = 5.0
#: Seconds for which it is believed that a budget is spent: so often at most is the database asked about one.
_BELIEVED = 0.5


class Accounts:
    """All of them, in this process, whose name is nobody else's."""

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        monotonic: Callable[[], float],
        warned: Callable[[Claim], None],
        burying: Burying | None = None,
    ) -> None:
        """Over this database; `warned` hears of each budget that passes its soft limit, once over all processes.

        `burying` knows the others; without it they are known by their silence.
        """
        self._database = database
        self._name = name
        self._now = monotonic
        self._warned = warned
        self._purses: dict[tuple[str, int], Purse] = {}
        #: When the last sign of life was given that arrived; None: nobody knows of us yet.
        self._beaten: float | None = None
        self._burying = burying or Burying(database, name, monotonic=monotonic)
        self._owed: list[Charge] = []
        self._looks_at = 0.0
        self._away = False
        self._drawing: set[asyncio.Task[Drawn]] = set()
        self._numbers = count(1)
        self._beating = asyncio.Lock()

    @property
    def purses(self) -> Sequence[Purse]:
        """The budgets that this process has to do with now."""
        return tuple(self._purses.values())

    def spent(self, claim: Claim) -> int | None:
        """About what was spent of it, as far as is known here."""
        purse = self._purses.get(claim.key)
        return None if purse is None or purse.wanted is None else purse.spent

    async def reserve(self, claims: Sequence[Claim], bound: int, deadline: float) -> list[Hold]:
        """Have so much reserved of all these budgets; `deadline` on the monotonic clock.

        Raises:
            QuotaExceeded: one of them is spent.
            DeadlineExceeded: others hold what is left of one, and have not given it back in time.
            Busy: the database is away, and what was leased is used up.
        """
        purses = [self._purse(claim) for claim in sorted(claims, key=lambda one: one.key)]
        if self._trusted and all(not one.line.locked() and one.share.fits(bound) for one in purses):
            return self._take(purses, bound)
        try:
            async with asyncio.timeout_at(deadline), AsyncExitStack() as lines:
                for purse in purses:
                    lines.enter_context(_at_hand(purse))
                for purse in purses:
                    self._require(purse)
                    await lines.enter_async_context(purse.line)
                while lacking := [one for one in purses if not (self._trusted and one.share.fits(bound))]:
                    await self._more(lacking[0], bound)
                return self._take(purses, bound)
        except TimeoutError as exc:
            names = " and ".join(one.claim.title for one in purses)
            raise DeadlineExceeded(f"What is left of the budget of {names} is held by requests under way.") from exc

    async def offer(self, claim: Claim, bound: int) -> Hold | None:
        """As `reserve`, and None instead of waiting. Raises `QuotaExceeded`, and `Busy`."""
        purse = self._purse(claim)
        if not (self._trusted and purse.share.fits(bound)):
            with _at_hand(purse):
                async with purse.line:
                    self._require(purse)
                    if not (self._trusted and purse.share.fits(bound)):
                        self._note(purse, await self._patiently(purse, bound))
        return self._take([purse], bound)[0] if purse.share.fits(bound) else None

    def settle(self, hold: Hold, cost: int) -> Charge | None:
        """A request is over; what its record is to be charged with."""
        hold.share.settle(hold.bound, cost)
        hold.purse.since += cost
        hold.purse.stir()
        account = hold.claim.account
        return Charge(self._name, account.name, account.start, cost) if cost else None

    def owe(self, charges: Sequence[Charge]) -> None:
        """The log has lost the record that was charged with these: they are written down by themselves."""
        self._owed.extend(charges)

    async def keep(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self.look()
            except StoreUnavailable as exc:
                if not self._away:
                    _log.warning("the budgets' ledger is away", extra={"error": str(exc)})
                self._away = True
            except Exception:  # noqa: BLE001 - a defect in one look must not end all signs of life
                _log.exception("the budgets' ledger could not be looked at")
            else:
                self._away = False

    async def look(self) -> None:
        """Once. Raises `StoreUnavailable`."""
        if self._owed:
            owed, self._owed = self._owed, []
            try:
                await leasing.charge(self._database, owed)
            except BaseException:
                # Whatever kept it from being written down, a stop amid it too: it is owed still.
                self._owed += owed
                raise
        if self._beaten is None:
            return
        if self._now() >= self._looks_at:
            self._looks_at = self._now() + _BEAT_EVERY
            await self._beat()
            await self._burying.silent()
            await self._burying.ended()
        if not self._purses:
            return
        for seen in await leasing.look(self._database, [one.claim.account for one in self.purses]):
            purse = self._purses.get((seen.name, seen.start))
            if purse is None:
                continue
            wanted = purse.wanted is not None and seen.wanted > purse.wanted
            purse.known, purse.since, purse.wanted = seen.spent, 0, seen.wanted
            if purse.spent >= purse.claim.soft and not (purse.warned or seen.warned):
                await self._warn(purse)
            purse.warned = seen.warned or purse.spent >= purse.claim.soft
            if seen.spent < purse.claim.limit:
                purse.spent_out = None
            await self._release(purse, wanted=wanted)

    async def stop(self) -> None:
        """Give back what is free; the rest is given back with its rows, or when this process is taken for dead."""
        try:
            await self.look()
            if self._beaten is not None:
                for purse in self.purses:
                    await self._give_back(purse)
                if await leasing.leave(self._database, self._name):
                    await self._burying.leave()
        except StoreUnavailable as exc:
            _log.warning("leases were not given back", extra={"error": str(exc)})

    # --- one at a time -----------------------------------------------------------------------------------------

    @property
    def _trusted(self) -> bool:
        return self._beaten is not None and self._now() - self._beaten < _TRUSTED

    def _purse(self, claim: Claim) -> Purse:
        purse = self._purses.get(claim.key)
        if purse is None:
            purse = self._purses[claim.key] = Purse(claim, self._now())
        purse.claim = claim  # its limit may be another one now
        purse.used = self._now()
        return purse

    def _take(self, purses: Sequence[Purse], bound: int) -> list[Hold]:
        holds = [Hold(one, one.claim, one.share, bound) for one in purses]
        for one in holds:
            one.share.take(bound)
        return holds

    def _require(self, purse: Purse) -> None:
        """Refuse at once what was refused a moment ago."""
        if purse.spent_out is not None:
            limit, at = purse.spent_out
            if limit == purse.claim.limit and self._now() - at < _BELIEVED:
                raise exhausted(purse.claim)

    async def _more(self, purse: Purse, bound: int) -> None:
        """Lease what is lacking, or wait a moment for it."""
        self._require(purse)
        drawn = await self._patiently(purse, bound)
        self._note(purse, drawn)
        if purse.share.fits(bound) or (drawn.standing.others and await self._somebody_has_ended()):
            return
        with suppress(TimeoutError):
            # Not `wait_for`: in Python 3.11 it may return what was ready and forget that the caller's time is over.
            async with asyncio.timeout(_AGAIN):
                await purse.changed.wait()

    async def _somebody_has_ended(self) -> bool:
        """Whether some of what is lacking was a dead one's, and is to be had now."""
        try:
            return await self._burying.ended()
        except StoreUnavailable:
            return False  # the next draw tells of it

    def _note(self, purse: Purse, drawn: Drawn) -> None:
        if drawn.standing.left <= 0:
            purse.spent_out = (drawn.standing.limit, self._now())
            raise exhausted(purse.claim)

    async def _patiently(self, purse: Purse, bound: int) -> Drawn:
        """Lease; to its end, though nobody waits for it any more: what was leased must not be forgotten."""
        task = asyncio.create_task(self._draw(purse, bound))
        self._drawing.add(task)
        task.add_done_callback(self._drawn)
        try:
            await asyncio.wait([task], timeout=_PATIENCE)
            if not task.done():
                raise StoreUnavailable("no answer in time")
            return task.result()
        except StoreUnavailable as exc:
            raise Busy(
                f"The budget of {purse.claim.title} cannot be looked up: the database is not available right now, and "
                "what had been leased of it is used up. Try again.",
                code="budget_unavailable",
                retry_after=_PATIENCE,
            ) from exc

    def _drawn(self, task: asyncio.Task[Drawn]) -> None:
        self._drawing.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else asks for it, when nobody waits any more

    async def _draw(self, purse: Purse, bound: int) -> Drawn:
        if not self._trusted:
            await self._beat()
        while True:
            async with purse.changing:
                drawn = await self._draw_now(purse, bound)
            if drawn is not None:
                return drawn
            await self._beat()

    async def _draw_now(self, purse: Purse, bound: int) -> Drawn | None:
        """Lease once; None: this process was taken for dead."""
        await self._clear(purse)
        claim, share, change = purse.claim, purse.share, Change(next(self._numbers))
        need = share.need(bound)
        try:
            drawn = await leasing.draw(self._database, self._name, claim.account, claim.limit, need, change)
        except StoreUnavailable as exc:
            if change.grant is not None and not exc.refused:
                purse.doubt = Doubt(share, change.number, change.grant.amount, change.grant.short, giving=False)
            raise
        if drawn is not None:
            share.leased += drawn.grant.amount
            share.short = drawn.grant.short
            purse.known, purse.since = drawn.standing.spent, 0
            if purse.wanted is None:
                purse.wanted = drawn.wanted
            elif not drawn.grant.enough:
                purse.wanted += 1
            if not drawn.grant.enough and not drawn.grant.short:
                await self._give_back_now(purse)
        return drawn

    async def _clear(self, purse: Purse) -> None:
        """Learn what became of a change in doubt. Raises `StoreUnavailable`, and it is in doubt still."""
        doubt = purse.doubt
        if doubt is not None:
            arrived = await leasing.arrived(
                self._database, self._name, purse.claim.account, doubt.number, giving=doubt.giving
            )
            purse.doubt = None
            doubt.cleared(arrived=arrived)
            purse.stir()

    # --- with the others ---------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Give a sign of life, the first one too."""
        asked = self._now()
        async with self._beating:
            if self._beaten is None or self._beaten < asked:
                await self._beat_now()

    async def _beat_now(self) -> None:
        now = self._now()
        if self._beaten is None or not await leasing.beat(self._database, self._name):
            # Nobody has anything of ours that was leased before: what is under way settles with what it had.
            await self._burying.enter()
            await leasing.enter(self._database, self._name)
            for purse in self.purses:
                purse.share, purse.doubt = Share(), None
        self._beaten = now

    async def _release(self, purse: Purse, *, wanted: bool) -> None:
        if purse.changing.locked():
            return  # whoever does must not be waited for: there are signs of life to give
        if purse.doubt is not None:
            async with purse.changing:
                await self._clear(purse)
        share, waiting = purse.share, bool(purse.users)
        idle = self._now() - purse.used >= _IDLE and not share.reserved and not waiting
        if idle or (wanted and not waiting) or (share.short and share.free >= 0 and not waiting):
            await self._give_back(purse)
        if idle:
            self._purses.pop(purse.claim.key, None)

    async def _give_back(self, purse: Purse) -> None:
        async with purse.changing:
            await self._clear(purse)
            await self._give_back_now(purse)

    async def _give_back_now(self, purse: Purse) -> None:
        share, amount, short = purse.share, purse.share.spare(), purse.share.short
        if amount or (short and share.free >= 0):
            number = next(self._numbers)
            # Before the database knows, so that nobody takes it meanwhile.
            share.gave_back(amount)
            try:
                await leasing.give_back(self._database, self._name, [(purse.claim.account, amount)], number)
            except StoreUnavailable as exc:
                purse.doubt = Doubt(share, number, amount, short, giving=True)
                if exc.refused:
                    # It is ours still: else nobody would have it, and whoever waits here would wait for ever.
                    purse.doubt.cleared(arrived=False)
                    purse.doubt = None
                raise

    async def _warn(self, purse: Purse) -> None:
        if await leasing.warn(self._database, purse.claim.account):
            claim = purse.claim
            spent = {"spent_usd": dollars(purse.spent), "usd": claim.budget.usd, "period": claim.budget.period}
            _log.warning("a budget nears its end", extra={"budget": claim.title, **spent})
            self._warned(claim)


@contextmanager
def _at_hand(purse: Purse) -> Generator[None]:
    purse.users += 1
    try:
        yield
    finally:
        purse.users -= 1
