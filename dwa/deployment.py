"""One deployment: its mechanisms side by side, and the few numbers that `rank` reads.

`rank` touches plain attributes only (`first`, `prefill`, `token`, `crowding`, `error`, …). They are published here
whenever an outcome taught something, and at a review every 0.1 s for what changes by itself: overdue requests, errors
that fade, pauses that end. So ranking costs a few multiplications per candidate whatever the mechanisms cost. `guarded`
is the one bit that keeps the healthy path short: false while neither breaker nor limit has anything to say.

Memory is constant, beside the tickets in flight.
"""

from __future__ import annotations

from collections.abc import Callable

from dwa.affinity import HIT_GAIN, Affinity
from dwa.bill import learned
from dwa.breaker import CLOSED, HALF_OPEN, OPEN, RAMP, Alive, Breaker
from dwa.candidate import Candidate
from dwa.explore import Traffic
from dwa.hedge import learn_longer
from dwa.latency import FIRST, GENERATION, INSTANT, TOTAL, TYPICAL_PROMPT, LatencyModel
from dwa.ledger import Ledger
from dwa.length import UNTOLD, Lengths
from dwa.load import allotted
from dwa.losing import forsake, learn
from dwa.overdue import OUTLIVED, Overdue
from dwa.params import Params
from dwa.peak import PeakEwma
from dwa.quota import Quota
from dwa.reliability import Reliability
from dwa.tally import Tally
from dwa.ticket import Ticket


class Deployment:
    """State of one deployment; created when first ranked."""

    __slots__ = (
        "_affinity",
        "_lengths",
        "_params",
        "bonus",
        "breaker",
        "candidate",
        "crowding",
        "cut",
        "elsewhere",
        "error",
        "first",
        "guarded",
        "hit",
        "in_flight",
        "key",
        "latency",
        "ledger",
        "limit",
        "look_at",
        "look_pending",
        "mirrored",
        "on_change",
        "overdue",
        "peak",
        "peers",
        "prefill",
        "price",
        "quota",
        "reliability",
        "review_at",
        "sent",
        "sent_at",
        "slow",
        "tally",
        "token",
        "traffic",
        "turn",
        "twice_waste",
    )

    def __init__(
        self,
        candidate: Candidate,
        params: Params,
        *,
        now: float,
        traffic: Traffic,
        lengths: Lengths,
        affinity: Affinity,
        on_change: Callable[[], None],
    ) -> None:
        self._params = params
        self.traffic = traffic
        self._lengths = lengths
        self._affinity = affinity
        self.on_change = on_change
        self.key = candidate.key
        self.candidate = candidate
        self.latency = LatencyModel(
            params,
            first_token_s=candidate.first_token_s or params.first_token_s,
            token_s=candidate.token_s or params.token_s,
            knee=candidate.max_concurrency or params.knee,
            now=now,
        )
        # A stranger is expected to need what the latency model's prior says of an empty prompt's answer.
        self.peak = PeakEwma(self.latency.first + params.output_tokens * self.latency.token, now)
        self.reliability = Reliability(params, now=now)
        self.breaker = Breaker(params)
        self.quota = Quota(params)
        self.overdue = Overdue(params)
        self.tally = Tally()
        self.ledger: Ledger | None = None
        """What others will be told; None while nobody shares."""
        self.in_flight = self.sent = self.turn = self.bonus = 0
        self.peers = self.elsewhere = self.mirrored = 0
        """Other replicas, their requests in flight when last heard of, and ours at that moment."""
        self.guarded = False
        self.allot()
        self.sent_at = self.look_at = self.review_at = now
        self.look_pending = False
        self.price = self.hit = self.slow = 1.0
        self.first = self.prefill = self.token = self.crowding = 0.0
        self.error = self.cut = self.twice_waste = 0.0  # twice: `score` takes halves, whose other term is s
        self.publish(now)

    def share(self) -> None:
        """From now on others are told what happens here."""
        self.ledger = Ledger(self.latency)

    def adopt(self, candidate: Candidate) -> None:
        """The configuration changed: prices and limits count from now on, what was learned stays."""
        self.candidate = candidate
        self.allot()

    def allot(self) -> None:
        """How many may be in flight from here, now that the limit or what others use of it has changed."""
        self.limit = allotted(self.candidate.max_concurrency, self.peers, self.elsewhere)
        self.guarded = self.guarded or self.in_flight >= self.limit

    def publish(self, now: float) -> None:
        """Refresh the numbers that `rank` reads."""
        latency = self.latency
        factor = latency.tail * self.slow
        self.first = latency.first * factor
        self.prefill = latency.prefill * factor
        self.token = latency.token * factor
        self.crowding = latency.load.charged(self.crowd + 1)
        self.error = self.reliability.rate(now)
        self.cut = self.reliability.cut(now)
        self.twice_waste = 2.0 * self.reliability.waste
        self.guarded = self.quota.active or self.breaker.state != CLOSED or self.in_flight >= self.limit

    @property
    def crowd(self) -> int:
        """Requests in flight, with those of other replicas: as last told, and since then as many more as here."""
        if not self.peers:
            return self.in_flight
        return self.in_flight + max(0, self.elsewhere + self.peers * (self.in_flight - self.mirrored))

    def review(self, now: float) -> None:
        """Notice what happened by time alone."""
        params, breaker = self._params, self.breaker
        self.review_at = now + params.review_s
        nats = self.overdue.nats(now)
        self.slow = 1.0 + max(0.0, nats - params.overdue_free) / params.overdue_scale
        if self.latency.seen < params.early_limit and self.overdue.fresh:
            doubt = self.latency.doubt(now, TYPICAL_PROMPT, params.output_tokens)
            self.slow = max(self.slow, self.overdue.slower(self.latency, doubt, now))
        if nats >= params.overdue_limit / 2:
            self.traffic.fell_silent(self.key, now)
        if breaker.state in (CLOSED, RAMP):
            if nats >= params.overdue_limit:
                breaker.hang(now, self.pause())
                self.broke()
        else:
            breaker.wake(now)
            self._watch_probe(now)
        forsake(self, now)
        self.publish(now)

    def gate(self, now: float, tokens: float) -> tuple[str, float]:
        """Why it may not be sent a request of about `tokens` and until when; ("", now) when it may.

        "half_open" means: no traffic, but see `breaker.probe_free`.
        """
        why, until = self.quota.verdict(now, int(tokens)) if self.quota.active else ("", now)
        if why:
            return why, until
        self.breaker.wake(now)
        if self.breaker.state == OPEN:
            return "breaker_open", self.breaker.reopens_at
        if self.breaker.state == HALF_OPEN:
            return "half_open", now
        return "", now

    # --- endings, called by the ticket -------------------------------------------------------------------------

    def dispatch(self, ticket: Ticket) -> None:
        """A request leaves."""
        now = ticket.started
        self.in_flight += 1
        self.guarded = self.guarded or self.in_flight >= self.limit
        self.crowding = self.latency.load.charged(self.crowd + 1)
        if self.ledger is not None:
            self.ledger.sent += 1
        self.sent += 1
        self.sent_at = now
        self.tally.requests += 1
        ticket.look, self.look_pending = self.look_pending, False
        self.quota.sent(now, int(ticket.shape.input_tokens + ticket.answer))
        self.breaker.dispatched(now)
        self.overdue.watch(ticket, self.latency)
        self._lengths.sent(ticket)

    def spoke(self, ticket: Ticket, now: float) -> None:
        """The first token is here."""
        seconds = now - ticket.started
        self.overdue.spoke(ticket, seconds)
        self._lives(ticket, now)
        self.latency.first_token(now, seconds, ticket.shape.input_tokens, ticket.busy)
        if self.ledger is not None:
            self.ledger.timed(FIRST, seconds, ticket.shape.input_tokens, 0.0, ticket.busy)
        self.tally.first.add(seconds)
        self.publish(now)

    def succeeded(self, ticket: Ticket, now: float, prompt: int, answer: int, cost: float | None, cached: int) -> None:
        """A whole answer."""
        self._end(ticket, answer)
        seconds = now - ticket.started
        changes = self.latency.changes
        surprise = self._learn_speed(ticket, now, seconds, prompt, answer, cached)
        self._learn_price(ticket.candidate, prompt, answer, cost, cached)
        self.traffic.answered(seconds)
        self.peak.answered(now, seconds)
        if ticket.sticky is not None:
            self._remember(ticket, prompt, cached, now)
        self.reliability.success(now)
        if self.ledger is not None:
            self.ledger.success(ticket.started)
        youngest = self._lives(ticket, now)
        self.quota.answered(ticket.started)
        breaker = self.breaker
        if breaker.outcome(now, ticket.started, failed=False, usual=self.reliability.usual(), pause=0.0):
            if breaker.state == RAMP:
                self.reliability.forgive()
            self.on_change()
        elif breaker.hung and ticket.first_at is None and breaker.state in (OPEN, HALF_OPEN):
            self._relent(ticket, now, youngest=youngest)
        elif breaker.state == CLOSED and breaker.quiet(self.reliability.usual()):
            self.reliability.calm()
        if ticket.look and surprise < -self._params.surprise_sd:
            self.bonus, self.look_at = self._params.bonus_looks, now
        if self.latency.changes != changes:
            self.on_change()
        tally = self.tally
        tally.successes += 1
        tally.total.add(seconds)
        tally.output_tokens += answer
        tally.writing_s += seconds if ticket.first_at is None else now - ticket.first_at
        if self.slow == 1.0 and breaker.state == CLOSED and now < self.review_at:
            # An answer is no sign of slowness: what waits can look until the next review.
            self.publish(now)
        else:
            self.review(now)

    def failed(self, ticket: Ticket, now: float, kind: str, *, caller_saw: bool) -> None:
        """A failure of the host."""
        self._end(ticket)
        seconds = now - ticket.started
        self.peak.failed(now, seconds)
        breaker = self.breaker
        incident = breaker.state in (OPEN, HALF_OPEN) or ticket.started < breaker.since
        # Sent there although it is open, for want of better: then its rate must tell how broken it is.
        pardoned = breaker.state == OPEN and ticket.started >= breaker.opened_at
        if pardoned or not incident:
            self.reliability.failure(now, seconds, caller_saw=caller_saw)
            if self.ledger is not None:
                self.ledger.failure(ticket.started, seconds, caller_saw=caller_saw)
        usual = self.reliability.usual()
        shut = breaker.state in (OPEN, HALF_OPEN)
        alive = () if shut else self.alive(now, seconds)
        changed = breaker.outcome(now, ticket.started, failed=True, usual=usual, pause=self.pause(), alive=alive)
        if changed and not shut:
            self.broke()
        tally = self.tally
        tally.failures += 1
        tally.last_error, tally.last_error_at = kind, now
        self.review(now)

    def refused(self, ticket: Ticket, now: float, retry_after: float | None) -> None:
        """A 429."""
        self._end(ticket)
        self._free_probe(ticket)
        self.overdue.alive(ticket)
        self.quota.refused(now, ticket.started, retry_after)
        self.tally.throttled += 1
        self.publish(now)

    def void(self, ticket: Ticket, now: float, *, caller_error: bool) -> None:
        """An ending that says nothing about the host."""
        self._end(ticket)
        self._free_probe(ticket)
        self.tally.caller_errors += caller_error
        self.tally.cancelled += not caller_error
        self.review(now)

    def outrun(self, ticket: Ticket, now: float) -> None:
        """Given up because another was quicker: blames no failure, and proves that it would have taken longer."""
        nats = self.overdue.give_up(ticket, now, keep=self.breaker.state in (CLOSED, RAMP))
        self._end(ticket)
        if nats >= self._params.probe_overdue and self.breaker.probe_sent == ticket.started:
            self.breaker.probe_lost(now, self.pause())
        self._free_probe(ticket)
        self.tally.cancelled += 1
        self.review(now)

    # --- parts -------------------------------------------------------------------------------------------------

    def _end(self, ticket: Ticket, tokens: int = UNTOLD) -> None:
        self._lengths.ended(ticket, tokens)
        self.in_flight -= 1
        self.overdue.drop(ticket)

    def _free_probe(self, ticket: Ticket) -> None:
        if self.breaker.probe_sent == ticket.started:
            self.breaker.probe_void()

    def pause(self) -> float:
        """Seconds of open breaker that keep its failed probes below their share of the traffic's waiting."""
        waiting = self.traffic.everywhere * self.traffic.seconds * self._params.probe_share
        return self.reliability.waste / max(waiting, INSTANT)

    def alive(self, now: float, seconds: float) -> Alive:
        """Those in flight, here or elsewhere, that have outlived a failure that took so long; as `Overdue.outlived`."""
        return self.overdue.outlived(now, seconds, self.elsewhere, self.traffic.seconds)

    def broke(self) -> None:
        """The breaker opened: it takes the incident over."""
        self.reliability.broke()
        self.overdue.given_up = ()
        self.on_change()

    def _relent(self, ticket: Ticket, now: float, *, youngest: bool) -> None:
        """An answer that came after all may have refuted a hang."""
        together = self.traffic.others_silent(self.key, now)
        if together:
            self.overdue.put_off(ticket, now)
        if (youngest or together) and self.overdue.nats(now) < self._params.overdue_limit / 2:
            self.breaker.relent(now)
            self.on_change()

    def _watch_probe(self, now: float) -> None:
        breaker = self.breaker
        if breaker.outlives(now, OUTLIVED * self.reliability.waste):
            self.reliability.forgive()
            self.on_change()
        elif breaker.probe_sent is not None and self.overdue.lost(breaker.probe_sent, now):
            breaker.probe_lost(now, self.pause())

    def _learn_speed(self, ticket: Ticket, now: float, seconds: float, prompt: int, answer: int, cached: int) -> float:
        """Teach the latency model; returns the surprise in s.d."""
        latency = self.latency
        read = max(prompt - cached * (1.0 - self._params.warm_prefill), 0.0)
        ratio = latency.whole(seconds, latency.median(read, answer, ticket.busy))
        ledger = self.ledger
        if ledger is not None:
            ledger.whole(ratio)
        if ticket.first_at is None:
            self.overdue.calibrate(seconds, ticket.forecast)
            if ledger is not None:
                ledger.timed(TOTAL, seconds, read, answer, ticket.busy)
            return latency.total(now, seconds, read, answer, ticket.busy)
        if answer > 1:
            if ledger is not None:
                ledger.timed(GENERATION, now - ticket.first_at, 0.0, answer, ticket.busy)
            return latency.generation(now, now - ticket.first_at, answer, ticket.busy)
        return 0.0

    def _lives(self, ticket: Ticket, now: float) -> bool:
        """It answers; what was given up before was slow then, and not lost in a hang. False for an old answer."""
        if ticket.sequel is not None or now - ticket.started > 2.0 * ticket.forecast:
            learn(self, ticket, now)
        youngest = self.overdue.alive(ticket)
        if youngest:
            self.traffic.lived(self.key, ticket.started)
        for slow, at in self.overdue.proved() if self.overdue.given_up else ():
            learn_longer(self.latency, self.ledger, slow, at - slow.started, now)
        return youngest

    def _learn_price(self, candidate: Candidate, prompt: int, answer: int, cost: float | None, cached: int) -> None:
        if cost is not None:
            self.tally.cost += cost
            self.price = learned(self.price, candidate, prompt, answer, cost, cached)

    def _remember(self, ticket: Ticket, prompt: int, cached: int, now: float) -> None:
        sticky = ticket.sticky or ""
        warm = self._affinity.warm(sticky, now)
        if warm is not None and warm[0] == self.key and warm[1] > 0:
            could = min(warm[1], prompt) or 1
            self.hit += HIT_GAIN * (min(cached / could, 1.0) - self.hit)
        self._affinity.remember(sticky, self.key, prompt, now)
