"""log Λ(h) = Σ waiting log(h/Sᵢ + 1 - h) + answered·log(1 - h):   does this host lose a share h of its requests?

A host may hang for some: one of its machines is stuck, and what a balancer in front of it sends there is never heard of
again, while the rest is answered as ever. No breaker opens for that, and nobody falls silent: every answer proves that
the host lives, so whoever waits longer counts as a straggler (`overdue.py`), until the timeout, which is for the
longest of answers. At sixty seconds one such request costs what twenty others do.

Sᵢ = P(T > age) is how likely a request that is not lost still waits. So each one in flight has odds h : (1 - h)·Sᵢ of
being lost, h is found by expectation maximisation, and Λ(h) compares it with no loss at all, over everything that was
dispatched since the oldest that is late. Above e¹⁶ the host loses requests. Then each that is lost at h with 85 in a
hundred is given up: its caller may ask the next, and the host has failed, which is counted as every failure is. From
then on h is a mean of what was given up and what was answered, and no new proof is needed while it is above 1 %. Those
that were sent last, before the host was left for its failures, are given up as well: nobody can overtake them.

What must not be taken for it is a host that is slow, and four guards see to that:
- only who was overtaken by a younger one is late: where nobody is answered, `overdue.py` finds out who hangs;
- Sᵢ is by what is known of the host *now*, or by the forecast at dispatch where that was longer;
- of an answer whose length nobody knows, Sᵢ ≥ 1/(1 + overtaken by), the last of k is one in k whatever a forecast says,
  up to where even Pareto's law leaves less, (due/age)^1.5: a host that was left is asked no more, and k stays as it is;
  for a first token the forecast is sharp, and what strays is among 2 to 20 medians (`strays.py`);
- nobody is late before twice its time.

And some requests take very long by themselves, at whatever host: deep thought among small talk. So it is no proof that
one waits for as long as the latest answers took, and for a first token not before twice as long. Once it is proven, the
latest answers are waited for only if others were given up wrongly, which their next host tells (`reach.py`): who has
failed elsewhere is waited for to the end, unless at one that has just come back itself.

Source: a mixture of the lost and the late under right-censored times, fitted by EM (Dempster, Laird and Rubin, 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, exp, log, sqrt
from typing import TYPE_CHECKING

from dwa.breaker import CLOSED, RAMP
from dwa.latency import INSTANT
from dwa.overdue import LOSING_GAIN, Overdue
from dwa.reach import WRONG, Reach
from dwa.strays import DENSITY, NEAR

if TYPE_CHECKING:
    from dwa.deployment import Deployment
    from dwa.ticket import Ticket

PROOF = 16.0
"""Nats that prove it. Doubled: where few whole answers are lost two to four percent of the gap are, as it is found out
late; halved: as much is gained, and healthy hosts whose answers scatter widely lose dozens."""
LATE = 0.1
"""P(T > age) of the oldest that is looked at. Doubled or halved: no difference beyond that of luck."""
TINY = exp(-7.0)
"""Least P(T > age), so that it takes three to prove it. Squared: two do, and where few streams are lost two or three
percent of the gap are gained; its root: hosts that lose no more than one in five are never found out."""
PARETO = 1.5
"""Exponent of the law by which answers vary at most. Doubled: two to seven percent of the gap are gained where answers
are lost, and dozens are asked for twice at healthy hosts where they scatter widely; halved: one to four are lost."""
KNOWN = 0.01
"""Share above which no new proof is needed. Doubled: where one stream in twenty is lost, it is proven again
between two losses, worth a percent of the gap; halved: no difference."""
GUESS, STEPS = 0.2, 4
"""Where the search for h begins, and how many steps it takes. Doubled or halved: no difference."""
WATCHED = 64
"""Oldest that are looked at. Doubled or halved: no difference beyond that of luck."""


def forsake(d: Deployment, now: float) -> None:
    """Tell those who wait there in vain.

    Of a host that answers some, those whose requests are lost. Of one that is found to hang, whoever is late; there,
    and where nobody was overtaken, another host must have answered a younger request: else none is a better place.
    """
    overdue = d.overdue
    vain: list[Ticket] = []
    late: list[Ticket] = []
    answers = d.breaker.state in (CLOSED, RAMP)
    if answers:
        vain = [ticket for ticket in lost(d, now) if ticket.sequel is None]
        late = _last(d, now)
    elif d.breaker.hung:
        late = overdue.late(now)
    if late:
        lived = d.traffic.others_lived(d.key)
        vain += [ticket for ticket in late if ticket.started < lived]
    for ticket in vain:
        if (tell := ticket.on_hang) is not None:
            ticket.on_hang = None
            if answers:
                ticket.late = _off(d, ticket, now)
            if ticket.started <= overdue.proven:
                overdue.losing += LOSING_GAIN * (1.0 - overdue.losing)
            tell()


def learn(d: Deployment, ticket: Ticket, now: float) -> None:
    """This request is answered: as late may others be, and who gave it up before was right or wrong."""
    if ticket.first_at is None or ticket.first_at == now:
        off, reach = _off(d, ticket, now), _reach(d, ticket)
        reach.late(off, now)
        sequel = ticket.sequel
        if sequel is not None and sequel.late is not None:
            reach.judged(now, wrong=off >= sequel.late)
            sequel.late = None


def lost(d: Deployment, now: float) -> list[Ticket]:
    """The requests that are as good as lost."""
    overdue = d.overdue
    late, survivals = _overtaken(d, now)
    if not late:
        return late
    if overdue.losing < KNOWN:
        count = max(overdue.sent - late[0].number, len(late))
        share = _share(survivals, count)
        if proof(survivals, count, share) < PROOF:
            return []
        overdue.losing = share
    most = _doubtful(overdue)
    return [ticket for ticket, survival in zip(late, survivals, strict=True) if survival <= most]


def _last(d: Deployment, now: float) -> list[Ticket]:
    """The lost ones of a host known to lose some which nobody overtakes: since then nothing was sent there."""
    if d.overdue.losing < KNOWN:
        return []
    most = _doubtful(d.overdue)
    return [one for one in d.overdue.fresh if one.sequel is None and _survival(d, one, now) <= most]


def _doubtful(overdue: Overdue) -> float:
    """P(T > age) up to which a request is lost for sure."""
    return overdue.losing * WRONG / ((1.0 - overdue.losing) * (1.0 - WRONG))


def proof(survivals: Sequence[float], count: int, share: float) -> float:
    """Log Λ: of `count` requests those with these P(T > age) wait, the others were answered."""
    waiting = sum(log(share / survival + 1.0 - share) for survival in survivals)
    return waiting + (count - len(survivals)) * log(1.0 - share)


def _share(survivals: Sequence[float], count: int) -> float:
    share = GUESS
    for _ in range(STEPS):
        share = sum(share / (share + (1.0 - share) * survival) for survival in survivals) / count
        share = min(share, 1.0 - TINY)
    return share


def _overtaken(d: Deployment, now: float) -> tuple[list[Ticket], list[float]]:
    """Who waits since a younger one was answered, from the oldest that is late, and P(T > age) of each."""
    overdue = d.overdue
    older = overdue.overtaken()
    late: list[Ticket] = []
    survivals: list[float] = []
    behind = len(older) + len(overdue.fresh)
    for ticket in older[:WATCHED]:
        behind -= 1
        survival = _survival(d, ticket, now)
        if not late and survival > LATE:
            continue
        rank = 1.0 / (overdue.sent - ticket.number - behind)
        if survival < rank and not ticket.shape.stream:
            survival = max(survival, min(rank, exp(-PARETO * _off(d, ticket, now))))
        late.append(ticket)
        survivals.append(survival)
    return late, survivals


def _survival(d: Deployment, ticket: Ticket, now: float) -> float:
    """P(T > age) of a request that is not lost; 1 for one that is not late."""
    # Most are not late by their first forecast, and need no second one.
    if log(max(now - ticket.started, INSTANT)) - ticket.due < NEAR:
        return 1.0
    off = _off(d, ticket, now)
    reach = _reach(d, ticket)
    others = reach.bound(now) if d.overdue.losing >= KNOWN else reach.latest(now)
    if not ticket.shape.stream:
        return max(0.5 * erfc(off * ticket.sharpness), TINY) if off >= max(others, NEAR) else 1.0
    if off < others + NEAR:
        return 1.0
    strays = d.overdue.strays
    off -= strays.usual
    usual = 0.5 * erfc(off / (strays.spread * sqrt(2.0)))
    return max((1.0 - strays.share) * usual + strays.share * _stray(off), TINY)


def _reach(d: Deployment, ticket: Ticket) -> Reach:
    return d.traffic.first_token if ticket.shape.stream else d.traffic.whole


def _off(d: Deployment, ticket: Ticket, now: float) -> float:
    """log(age / due), by the later of two forecasts."""
    return log(max(now - ticket.started, INSTANT)) - max(ticket.due, d.overdue.expects(ticket, d.latency))


def _stray(off: float) -> float:
    """P(T > age) of one that strays, e^`off` medians after its dispatch."""
    return min(max(1.0 - (off - NEAR) * DENSITY, 0.0), 1.0)
