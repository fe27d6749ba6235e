"""Evidence(now) = Σ -log P(T > age) over what was dispatched after the youngest answer: what silence says, in nats.

A request in flight for longer than its kind usually takes is information before it ends. For a healthy host -log P(T >
age) at the moment of the answer is exponential with mean one, so the sum over the waiting requests is what a healthy
host would by now have answered: 14 nats without one answer happen by luck once in a million. The same number serves
three times: above 3 nats it inflates the expected latency (the host is slow), at 14 it opens the breaker (it hangs),
and for a lone probe 2.3 is enough to stop waiting.

Only requests *younger than the youngest answered one* count, by dispatch: an answer proves that the host was alive when
it took that request, so older ones still waiting are stragglers, not symptoms; while answers to requests from before
the hang prove nothing about those after it.

T is log-normal around the forecast made at dispatch, with the mean and variance of past log(T/forecast) of this
deployment, which carry the uncertain length of the answer; a streamed request is watched only until its first token,
whose time is forecast far better. No request adds more than 4 nats: stragglers exist.

A request that was given up because another host was quicker (`hedge.py`) no longer waits, but what it waited in vain
happened. Beyond the p95 its evidence stays, halved every 30 s: else a host that hangs, with each of its requests hedged
away, would never be found out. One that lost by a hair is no evidence. What was given up says how slow the host is only
when a younger request has been answered and no breaker opened meanwhile: a hang is the breaker's business.

Where several are silent at a time, what they have in common is to blame more likely than all of them: our own network,
or whatever is behind them. Then a late answer says how late the others are (`put_off`): a stall that took a host from
two seconds to twelve is over for it with the first answer, instead of one host after the other being fled. Of a host
that is silent by itself such an answer is from before the hang, and proves nothing.

A request at a host that is found to hang is not left to its timeout (`losing.py`): when it is late itself, and another
host has answered a younger one, its caller may ask the next. Both are needed: a hang is found by mistake when a
host is merely crowded, and then its requests are nearly done; and when nobody answers, there is no better place to
wait. (Without the first, bursts lost half a percent by it; without the second, five that all were silent lost five.)

Of a stranger silence tells more (`slower`). Its speed is a guess of s.d. 0.7 in the log, and until its first answers
are back requests are sent blind, by price alone; the cheap one is often the slow one, and its answers, which would say
so, are the last to come. So its speed is what the guess and the silence make most likely together:
argmax m of -m²/2s² + Σ log P(T > age | m), s² the model's own doubt. With every answer s² shrinks, and this with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from math import erfc, exp, log, pi, sqrt
from typing import TYPE_CHECKING

from dwa.latency import FIRST, INSTANT, LatencyModel
from dwa.params import Params
from dwa.strays import Strays

if TYPE_CHECKING:
    from dwa.ticket import Ticket

WATCHED = 64
"""Oldest waiting requests that are summed. Doubled: twice the work; halved: still proof of any hang (4 nats each)."""
BIAS, VARIANCE = -0.3, 0.6
"""log and log² of T/forecast before any answer: lengths are log-normal, s.d. about 1, and forecast by their mean."""
OUTLIVED = 2.0
"""Times a failure's duration after which a request that waits is not expected to fail like that, and half so after one.
Doubled: false alarms of busy hosts, and those that are back wait for their probe's whole answer; halved: failures of
uneven duration excuse each other."""
GAIN = 0.02
"""Weight of one answer in both. Doubled: nervous; halved: slow to calibrate."""
STRANGER = 0.5
"""log² of doubt about a host with no answers yet, shared among the answers since. Doubled: hangs of new hosts are seen
late; halved: a slow new host is taken for a hanging one."""
EARLY = -1.5
"""s.d. times √2 before its due time: until then a request says less than 0.02 nats. Doubled: more work for nothing;
halved: a dozen requests a little early are a nat that is missed."""
NEWTON = 3
"""Steps to the most likely speed of a stranger. Doubled: no difference; halved: some percent off."""
FORSAKEN = 3.0
"""Nats of a request that is not waited for at a host that hangs: beyond the p95, as for a hedge. Doubled: more than one
request can say, so nobody is forsaken; halved: hosts that are merely crowded lose requests which are nearly done."""
GIVEN_UP = 16
"""Youngest given-up requests that are remembered. Doubled: no difference; halved: still proof of any hang (3 nats
each)."""
LOSING_GAIN = 0.01
"""Weight of one answer, or of one that was given up, in the share that is lost. Doubled: where one stream in twenty is
lost two percent of the gap are; halved: no difference beyond that of luck."""
TINY_TAIL = 1e-9
"""Probability below which a wait is as good as endless. Doubled or halved: no difference."""
GIVEN_UP_HALF_LIFE_S = 30.0
"""s. Doubled: unlucky ones of an hour with one request a minute add up to a hang; halved: a host that gets a request
every ten seconds is found to hang at the eighth instead of the fifth."""


class Overdue:
    """The requests of one deployment that wait for a sign of life."""

    __slots__ = ("_bias", "_older", "_params", "_variance", "fresh", "given_up", "losing", "proven", "sent", "strays")

    def __init__(self, params: Params) -> None:
        self._params = params
        self._bias, self._variance = BIAS, VARIANCE
        self.strays = Strays()
        self.fresh: dict[Ticket, None] = {}
        """In order of dispatch; only those younger than the youngest answer. Once empty, a new one: see `_older`."""
        self._older: dict[Ticket, None] | None = None
        """The others in flight, in order of dispatch; None for none, since an emptied dict keeps its room."""
        self.given_up: tuple[tuple[Ticket, float, float], ...] = ()
        """(request, when, nats), in order of giving up; those dispatched before the youngest answer are `proved`."""
        self.sent = 0
        """How many were dispatched from here."""
        self.losing = 0.0
        """Share of its requests that are lost, 0..1 (`losing.py`)."""
        self.proven = float("-inf")
        """When the youngest request that showed life was dispatched."""

    def watch(self, ticket: Ticket, latency: LatencyModel) -> None:
        """A request was dispatched; writes on the ticket when it is due and with what spread."""
        doubt = STRANGER / (1 + latency.seen)
        if ticket.shape.stream:
            ticket.due = log(latency.median(ticket.shape.input_tokens, 0.0, ticket.busy))
            variance = latency.noise(FIRST) + doubt
        else:
            ticket.due = log(ticket.forecast) + self._bias
            variance = self._variance + doubt
        ticket.sharpness = 1.0 / sqrt(2.0 * variance)
        ticket.number = self.sent
        self.sent += 1
        self.fresh[ticket] = None

    def spoke(self, ticket: Ticket, seconds: float) -> None:
        """Its first token came after so many seconds."""
        self.strays.learn(log(max(seconds, INSTANT)) - ticket.due)

    def alive(self, ticket: Ticket) -> bool:
        """This request showed life: all that were dispatched before it stop being symptoms.

        False when a younger one already had.
        """
        if self.losing:
            self.losing -= LOSING_GAIN * self.losing
        if ticket.started <= self.proven:
            return False
        self.proven = ticket.started
        settled: list[Ticket] = []
        for older in self.fresh:
            if older.started > self.proven:
                break
            settled.append(older)
        kept = self._older or {}
        for older in settled:
            del self.fresh[older]
            kept[older] = None
        self.fresh = self.fresh or {}
        self._older = kept or None
        return True

    def overtaken(self) -> list[Ticket]:
        """Those that show no life although a younger one did, in order of dispatch."""
        return [ticket for ticket in self._older or () if ticket.first_at is None]

    def expects(self, ticket: Ticket, latency: LatencyModel) -> float:
        """When this request is due, log seconds after its dispatch, by what is known of the host by now."""
        if ticket.shape.stream:
            return log(latency.median(ticket.shape.input_tokens, 0.0, ticket.busy))
        return log(latency.median(ticket.shape.input_tokens, ticket.answer, ticket.busy)) + self._bias

    def outlived(self, now: float, seconds: float, elsewhere: int, spread_s: float) -> list[tuple[float, float]]:
        """Those in flight that have outlived a failure that took so many seconds: when dispatched, and how surely.

        Of the `elsewhere` at other replicas only the number is told; taken to be spread over `spread_s`.
        """
        sure, unknown = OUTLIVED * max(seconds, INSTANT), now - seconds
        step, most = spread_s / max(elsewhere, 1), self._params.evidence
        others = (now - (place + 0.5) * step for place in range(min(elsewhere, most)))
        flying = chain(reversed(self.fresh), reversed(self._older or {}))
        ours = (ticket.started for ticket in flying if ticket.started <= unknown)
        found = [*islice(ours, most), *(at for at in others if at <= unknown)]
        return [(at, min((now - at) / sure, 1.0)) for at in found]

    def lost(self, sent: float, now: float) -> bool:
        """Whether the one request dispatched at `sent` is overdue, by itself enough for a probe."""
        waiting = next((ticket for ticket in reversed(self.fresh) if ticket.started == sent), None)
        return waiting is not None and self.weigh(waiting, now) >= self._params.probe_overdue

    def late(self, now: float) -> list[Ticket]:
        """Those that are late themselves, of a host that answers nobody."""
        return [ticket for ticket in self.fresh if self.weigh(ticket, now) >= FORSAKEN]

    def put_off(self, ticket: Ticket, now: float) -> None:
        """This one is answered, and it was a symptom itself: whoever else waits is expected to be as late."""
        if self.weigh(ticket, now) < self._params.probe_overdue:
            return
        late = log(now - ticket.started) - ticket.due
        for waiting in self.fresh:
            waiting.due += late

    def drop(self, ticket: Ticket) -> None:
        """This request ended, however it ended."""
        if ticket in self.fresh:
            del self.fresh[ticket]
            self.fresh = self.fresh or {}
        elif self._older is not None:
            self._older.pop(ticket, None)
            if not self._older:
                self._older = None

    def give_up(self, ticket: Ticket, now: float, *, keep: bool) -> float:
        """This request is waited for no longer; returns what it proved so far, in nats, to `keep` or not."""
        if ticket not in self.fresh:
            return 0.0
        nats = self.weigh(ticket, now)
        if keep:
            self.given_up = (*self.given_up, (ticket, now, nats))[-GIVEN_UP:]
        return nats

    def proved(self) -> list[tuple[Ticket, float]]:
        """Take out those given up that were no symptoms, as a younger one was answered: (request, when)."""
        found = [(ticket, at) for ticket, at, _ in self.given_up if ticket.started <= self.proven]
        if found:
            self.given_up = tuple(one for one in self.given_up if one[0].started > self.proven)
        for ticket, at in found:
            if ticket.shape.stream:
                self.strays.outlived(log(max(at - ticket.started, INSTANT)) - ticket.due)
        return found

    def calibrate(self, seconds: float, forecast: float) -> None:
        """An answer took `seconds` where `forecast` was expected."""
        off = log(max(seconds, INSTANT) / forecast)
        miss = off - self._bias
        self._bias += GAIN * miss
        self._variance += GAIN * (min(miss * miss, 9.0 * self._variance) - self._variance)

    def nats(self, now: float) -> float:
        """The evidence that the host hangs."""
        if not self.fresh and not self.given_up:
            return 0.0
        waiting = sum(self.weigh(ticket, now) for ticket in islice(self.fresh, WATCHED))
        return waiting + self._remembered(now) if self.given_up else waiting

    def slower(self, latency: LatencyModel, doubt: float, now: float) -> float:
        """How many times slower than `latency` believes the host most likely is, for it is silent; 1 at least.

        `doubt` is the s.d. of the log of that belief. Streams are left out: they are watched until their first token,
        which says nothing of the rest.
        """
        sd = sqrt(self._variance)
        marks: list[float] = []
        for ticket in islice(self.fresh, WATCHED):
            age = now - ticket.started
            if age > 0.0 and not ticket.shape.stream:
                usual = latency.median(ticket.shape.input_tokens, ticket.answer, ticket.busy)
                marks.append((log(age / usual) - self._bias) / sd)
        return exp(max(_most_likely(marks, doubt / sd) * sd, 0.0)) if marks else 1.0

    def weigh(self, ticket: Ticket, now: float) -> float:
        """-log P(T > age) for one waiting request, cut at the cap."""
        age = now - ticket.started
        if age <= 0.0:
            return 0.0
        behind = (log(age) - ticket.due) * ticket.sharpness
        if behind < EARLY:
            return 0.0
        tail = 0.5 * erfc(behind)
        cap = self._params.overdue_cap
        return min(-log(tail), cap) if tail > TINY_TAIL else cap

    def _remembered(self, now: float) -> float:
        half_life, free = GIVEN_UP_HALF_LIFE_S, self._params.overdue_free
        return sum(
            nats * 0.5 ** ((now - at) / half_life)
            for ticket, at, nats in self.given_up
            if nats >= free and ticket.started > self.proven
        )


def _most_likely(marks: Sequence[float], doubt: float) -> float:
    """The shift, in s.d. of one answer, that maximises -shift²/2·doubt² + Σ log P(Z > mark - shift), Z normal."""
    precision = 1.0 / (doubt * doubt)
    shift = 0.0
    for _ in range(NEWTON):
        slope, bend = -shift * precision, precision
        for mark in marks:
            z = mark - shift
            tail = max(0.5 * erfc(z / sqrt(2.0)), TINY_TAIL)
            hazard = exp(-z * z / 2.0) / (sqrt(2.0 * pi) * tail)
            slope += hazard
            bend += hazard * (hazard - z)
        shift += slope / bend
    return shift
