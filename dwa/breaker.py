"""S = max over suffixes of Σ log(P(outcome | broken) / P(outcome | healthy)), by dispatch; opens at max(8, log λT).

A failure adds log(0.9/e), a success takes log((1-e)/(1-0.9)) away, and S never falls below zero (CUSUM): the fastest
test there is for "something changed" at a given rate of false alarms. The bar adapts to e, the host's usual failure
rate: three failures in a row are proof for a host that fails once in a hundred and a bad minute for one that fails
once in three (what that costs is the error rate's business, not the breaker's).

A CUSUM with a bar of h nats is wrong once in e^h outcomes at the soonest. At one request a second, 8 nats are an hour;
at forty they are a minute and a half, and then the best host of a busy gateway is shut now and again for failing one
time in twenty as it always does, while those in its place are overrun. So the bar is what makes a false alarm rarer
than one in T, an hour, at the λ outcomes a second that come: one failure more at a hundred times the traffic.

Why order of dispatch: when a host dies, answers to requests it took *before* keep arriving for seconds. Counted in
order of arrival each of them excuses a failure that is younger than it, and the breaker stays shut through the first,
most expensive seconds. So outcomes are kept sorted by dispatch, the last 24 of them, and summed in that order.

Why what is still in flight counts: failures are often quick, answers never are. Of the requests of the last seconds a
busy host has given back only the failures, one in a hundred of them, three in a row. Those that were sent
before it and have by now outlived a failure of this kind have not failed, so they count as answered (`alive`): half at
the age of the failure, wholly at twice that, for failures take more and less time. Streams too, until they end.

A hang gives no outcomes at all; its evidence is requests in flight beyond their time (`deployment.py`), and it opens
the same breaker through `hang`.

    closed ──evidence──► open ──pause over──► half_open ──probe succeeds──► ramp ──x1.5 per success──► closed
                          ▲                      │ probe fails: longer pause      │ evidence
                          └──────────────────────┴────────────────────────────────┘

Where failures are quick the probe need not be waited for: once it and one more have waited for twice as long as they
take, the host does not refuse any more, and if it hangs, the overdue requests will tell. Answers take seconds, so a
host that had broken by bad luck stayed shut for the length of an essay, while those in its place were overrun. One that
goes over from refusing to hanging costs some requests more by that.

The pause is what keeps failed probes, each wasting t_fail seconds, below a share β of the traffic's own waiting
(λ requests a second of L seconds each): pause = t_fail / (β·λ·L), within [1 s, 6 s], growing x1.5 with each failed
probe, up to ten times that. Recovery ramps (25 %, x1.5 per success) instead of jumping: a host that has just come up
with cold caches, met by its whole traffic at once, goes down again.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import log

from dwa.params import Params

CLOSED, OPEN, HALF_OPEN, RAMP = "closed", "open", "half_open", "ramp"
NEVER = float("-inf")
OUTLIVING = 2
"""Probes that must have outlived the failures. Doubled: no better than waiting for the first one's answer; halved: a
host that refuses four requests and keeps silent at the fifth is let in by each that it keeps."""
Alive = Sequence[tuple[float, float]]
"""Of requests in flight that have not failed yet: when dispatched, and how surely they will not, 0..1."""
RATE_FLOOR, RATE_CEILING = 0.02, 0.4
"""Bounds of e in the test: below, two failures would do; above, failing would stop being evidence at all."""


class Breaker:
    """Whether one deployment may be sent requests. `now` and `dispatched` are seconds on the caller's clock."""

    __slots__ = (
        "_carried",
        "_dispatched",
        "_failed",
        "_failures",
        "_leased_until",
        "_outlived",
        "_params",
        "_pause",
        "changed_at",
        "hung",
        "mark",
        "opened_at",
        "openings",
        "probe_sent",
        "ramp",
        "reopens_at",
        "since",
        "state",
        "streak",
    )

    def __init__(self, params: Params) -> None:
        self._params = params
        self.state = CLOSED
        self.ramp = 1.0
        self.openings = 0
        self.hung = False
        self.opened_at = self.reopens_at = 0.0
        self.since = self.changed_at = NEVER
        self.mark = ""
        """The name of its last transition among replicas, by which one that comes back is known; "" while untold."""
        self.probe_sent: float | None = None
        self._leased_until = 0.0
        self._outlived = 0
        self._pause = 0.0
        # The outcomes that are weighed: when each was dispatched, in that order, and whether it failed.
        self._dispatched = array("d")
        self._failed = bytearray()
        self._failures = 0
        self._carried = 0.0
        self.streak = 0
        """Failures since the last success, in order of arrival."""

    # --- evidence ----------------------------------------------------------------------------------------------

    def outcome(
        self, now: float, dispatched: float, *, failed: bool, usual: float, pause: float, alive: Alive = ()
    ) -> bool:
        """Weigh one outcome; True when the state changed.

        `usual` is the host's usual failure rate, `alive` when those were dispatched that should have failed by now if
        they were to fail, and how surely, 0..1.
        """
        self.streak = self.streak + 1 if failed else 0
        if self.state in (OPEN, HALF_OPEN):
            return self._probed(now, dispatched, failed=failed, pause=pause)
        if dispatched < self.since:
            return False  # from before the recovery: says nothing about the host as it is now
        self._insert(dispatched, failed, usual)
        if failed and self.evidence(usual, alive) >= self._limit():
            self._open(now, pause)
            return True
        return not failed and self._climb(now)

    def evidence(self, usual: float, alive: Alive = ()) -> float:
        """Nats for "broken", by the outcomes in order of dispatch; `alive` as in `outcome`."""
        total = self._carried
        if not self._failures and not total:
            return 0.0
        up, down = self._steps(usual)
        outcomes: Iterable[tuple[float, float]] = zip(self._dispatched, self._failed, strict=True)
        if alive:
            outcomes = sorted([*outcomes, *((at, -share) for at, share in alive)])
        for _, failed in outcomes:  # 1 for a failure, 0 for an answer, below 0 for what is in flight
            total = total + up if failed > 0.0 else max(0.0, total - down * (-failed or 1.0))
        return total

    def quiet(self, usual: float) -> bool:
        """Whether nothing speaks against it, nor did when the oldest outcome that is remembered came."""
        return not self._carried and not self.evidence(usual)

    def hang(self, now: float, pause: float) -> None:
        """Open on evidence from outside: requests in flight far beyond their time."""
        self._open(now, pause)
        self.hung = True

    def relent(self, now: float) -> None:
        """The evidence for a hang is gone (the answers came after all): let traffic back in by the ramp."""
        self._recover(now, now)

    def doubt(self, now: float) -> None:
        """It was open before a restart: a probe shall tell, and soon, for how long it has waited is unknown."""
        self._open(now, 0.0)
        self.reopens_at = now - self._params.probe_dear_wait_s

    # --- hearsay -----------------------------------------------------------------------------------------------

    def hear(self, now: float, dispatched: float, *, failed: bool, usual: float, pause: float, alive: Alive) -> bool:
        """Weigh an outcome of another replica; True when it opened. What ends an incident is told by `adopt`."""
        self.streak = self.streak + 1 if failed else 0
        if self.state in (OPEN, HALF_OPEN) or dispatched < self.since:
            return False
        self._insert(dispatched, failed, usual)
        if failed and self.evidence(usual, alive) >= self._limit():
            self._open(now, pause)
            return True
        if not failed:
            self._climb(now)
        return False

    def adopt(
        self, state: str, mark: str, changed_at: float, reopens_at: float, now: float, *, hung: bool, probing: bool
    ) -> bool:
        """Follow another replica's transition if it is the later one; True when that changed ours.

        One that was heard before comes again from everybody who followed it, and by clocks that differ by a little: it
        is known by its mark, or all would put off their probes for ever. Whoever opened it probes first: those who
        follow wait `follow_s` longer, and while a probe is under way, so that its result reaches them before they send
        one of their own.
        """
        patience = self._params.follow_s
        if probing and self.state in (OPEN, HALF_OPEN) and self.probe_sent is None:
            self.state = OPEN
            self.reopens_at = max(self.reopens_at, now + patience)
        if mark == self.mark or changed_at <= self.changed_at:
            return False
        shut = self.state in (OPEN, HALF_OPEN)
        if state in (OPEN, HALF_OPEN):
            if not shut:
                self._open(now, 0.0)
                self.hung = hung
            self.opened_at = changed_at
            if self.probe_sent is None or self.probe_sent < changed_at:
                self.probe_void()
                self.state = OPEN
                self.reopens_at = max(reopens_at, now) + patience
            changed = not shut
        else:
            changed = shut
            if shut:
                self._recover(now, changed_at)
        self.changed_at, self.mark = changed_at, mark
        return changed

    # --- admission ---------------------------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Open becomes half open when its pause is over."""
        if self.state == OPEN and now >= self.reopens_at:
            self.state = HALF_OPEN
            self._leased_until = 0.0
            self.probe_sent = None

    def probe_free(self, now: float) -> bool:
        """Whether half open and neither a probe in flight nor one about to be dispatched."""
        return self.state == HALF_OPEN and self.probe_sent is None and now >= self._leased_until

    def lease_probe(self, now: float) -> None:
        """The probe was handed to a caller who has not dispatched it yet."""
        self._leased_until = now + self._params.probe_lease_s

    def dispatched(self, now: float) -> None:
        """A request was sent; while half open it is the probe."""
        if self.state == HALF_OPEN:
            self.probe_sent = now

    def probe_void(self) -> None:
        """The probe ended without telling anything (caller hung up, bad request, refused): the slot is free."""
        self.probe_sent = None
        self._leased_until = 0.0

    def outlives(self, now: float, failures_take: float) -> bool:
        """Whether the ramp begins, since probes enough have waited for so many seconds; never after a hang."""
        if self.hung or self.probe_sent is None or now - self.probe_sent < failures_take:
            return False
        self._outlived += 1
        if self._outlived < OUTLIVING:
            self.probe_void()  # one more may look, while this one is waited for
            return False
        self._recover(now, self.probe_sent)
        return True

    def probe_lost(self, now: float, pause: float) -> None:
        """The probe is overdue: counts as failed, so that a hanging host cannot hold the slot for a whole timeout."""
        self._open(now, pause)

    # --- transitions -------------------------------------------------------------------------------------------

    def _probed(self, now: float, dispatched: float, *, failed: bool, pause: float) -> bool:
        if dispatched < self.opened_at:
            return False  # from before it opened, here or where that was told: its evidence is already in
        if failed:
            self._open(now, pause)
        else:
            self._recover(now, dispatched)
        return True

    def _open(self, now: float, pause: float) -> None:
        params = self._params
        grown = max(self._pause * params.pause_growth, pause, params.pause_min_s)
        # Growth is for probes that burn time; where they fail at once, waiting longer saves nobody anything.
        ceiling = max(params.pause_room * pause, 2 * params.pause_min_s)
        self._pause = min(grown, ceiling, params.pause_max_s)
        if self.state in (CLOSED, RAMP):
            self.hung = False
            self.openings += 1
            self.opened_at = now
        self.state, self.ramp, self.changed_at, self.mark = OPEN, 0.0, now, ""
        self.reopens_at = now + self._pause
        self.probe_sent = None
        self._outlived = 0
        self._clear(0.0)

    def _climb(self, now: float) -> bool:
        """A success; True when it completed the ramp."""
        if self.state != RAMP:
            return False
        self.ramp *= self._params.ramp_growth
        if self.ramp < 1.0:
            return False
        # No transition to tell: it rests on the recovery, and what was found broken since is the later news.
        self.state, self.ramp = CLOSED, 1.0
        return True

    def _recover(self, now: float, dispatched: float) -> None:
        # The host was well when it took that request: an opening between that and its answer is later.
        self.state, self.ramp, self.changed_at, self.mark = RAMP, self._params.ramp_start, dispatched, ""
        self.since = dispatched
        self.reopens_at = now
        self.probe_sent = None
        self._pause = 0.0 if self._pause <= self._params.pause_min_s else self._pause / self._params.pause_growth
        # Half of the way to open: two failures during the ramp reopen it, one may be bad luck.
        self._clear(self._params.breaker_limit / 2)

    def _clear(self, carried: float) -> None:
        del self._dispatched[:]
        self._failed.clear()
        self._failures = 0
        self._carried = carried

    def _limit(self) -> float:
        """Nats that open it, at the rate at which outcomes come."""
        times, params = self._dispatched, self._params
        span = times[-1] - times[0]
        rate = (len(times) - 1) / span if span > 0.0 else 0.0
        return max(params.breaker_limit, log(max(rate * params.false_alarm_s, 1.0)))

    def _steps(self, usual: float) -> tuple[float, float]:
        rate = min(max(usual, RATE_FLOOR), RATE_CEILING)
        broken = self._params.broken_fails
        return log(broken / rate), log((1.0 - rate) / (1.0 - broken))

    def _insert(self, dispatched: float, failed: bool, usual: float) -> None:
        times = self._dispatched
        # Of the same instant the failures come last, whatever came first.
        place = bisect_right(times, dispatched) if failed else bisect_left(times, dispatched)
        times.insert(place, dispatched)
        self._failed.insert(place, failed)
        self._failures += failed
        if len(times) <= self._params.evidence:
            return
        del times[0]
        oldest = self._failed.pop(0)
        self._failures -= oldest
        if oldest or self._carried:
            up, down = self._steps(usual)
            self._carried = self._carried + up if oldest else max(0.0, self._carried - down)
