"""Send while: now ≥ Retry-After · remaining > 0 or reset is past · a token bucket of cap(t) requests/s is not empty.

    cap(t) = w·(1 + c·(t - K)³),  K = ∛((1 - β)/c),  so cap(0) = β·w, cap(K) = w, and steeply above after 2K.

Three sources, best first:
1. *Retry-After* is obeyed to the letter: not one request before, whoever asks.
2. *x-ratelimit-remaining/reset* steer before the refusal: what was sent since the header is subtracted, and at zero the
   deployment waits for the reset. Counting starts when less than a tenth is left; before that it costs nothing.
3. *Without headers* a refusal teaches: w is the rate that was admitted over the last seconds, the bucket paces at β·w,
   and the cap grows back as CUBIC does: quickly to just below w, slowly past it, then faster to find a raised limit.
   A refusal straight after the pause doubles the next pause. What was admitted while the cap held it back is less than
   what would have been: so a refusal beyond w leaves at least w, and one below it at least β of the cap at the time,
   unless it is refused again at once. (By the rate alone each refusal proved the last one right: a host that admits a
   request every three seconds was asked every six.)

Near the limit each request pays a toll (`toll.py`), so that what is admitted goes to those who gain most by it; and who
would lose twice as much elsewhere may be sent out of turn (`overdraft.py`).

A refusal is neither an error nor a latency: the host is well and says so quickly. Refusals of requests dispatched
before the last decrease are one refusal: ten in flight at the limit must not cut the cap ten times.
"""

from __future__ import annotations

from math import exp

from dwa.overdraft import Overdraft
from dwa.params import Params
from dwa.toll import Toll

RATE_FLOOR = 0.05
"""1/s. Least cap: a request every 20 s, or the way back up would never be found."""

SCARCE_S = 1.0
"""s of each wait that count as an empty bucket. Doubled: tolls twice as high after refusals; halved: half as high."""
DEAR = 4.0
"""Requests that would have been admitted while a Retry-After lasts, above which a refusal is too dear to risk one out
of turn. Doubled: each costs eight; halved: of hosts that ask for a second those above two a second get none."""
PERIOD_S = 60.0
"""s. What people are shown as left of a quota whose reset is not told: hosts count per minute where they do not say."""


class Quota:
    """What one deployment is still allowed. Seconds on the caller's clock; rates per second."""

    __slots__ = (
        "_admitted",
        "_admitted_at",
        "_cut_at",
        "_level",
        "_level_at",
        "_params",
        "_pause",
        "_peak",
        "_requests_full_at",
        "_tokens_full_at",
        "active",
        "limit_requests",
        "limit_tokens",
        "overdraft",
        "paused_until",
        "refusals",
        "remaining_requests",
        "remaining_tokens",
        "requests_reset_at",
        "retry_at",
        "tokens_reset_at",
        "toll",
    )

    def __init__(self, params: Params) -> None:
        self._params = params
        self.active = False
        """False while nothing limits it: `verdict` need not be asked."""
        self.refusals = 0
        self.retry_at = self.paused_until = 0.0
        self.remaining_requests: float | None = None
        self.remaining_tokens: float | None = None
        self.requests_reset_at = self.tokens_reset_at = 0.0
        self.limit_requests: float | None = None
        self.limit_tokens: float | None = None
        """What the host says that it allows in all."""
        self._requests_full_at = self._tokens_full_at = 0.0
        self._pause = 0.0
        self._peak: float | None = None
        self._cut_at = float("-inf")
        self._level = self._level_at = 0.0
        self._admitted = self._admitted_at = 0.0
        self.toll: Toll | None = None
        """What a request is charged for what it takes from others; None while there is no cap."""
        self.overdraft: Overdraft | None = None
        """What is sent out of turn; None while there is no cap."""

    def cap(self, now: float) -> float | None:
        """Requests per second it is paced at; None when no refusal taught one or it has outgrown its use."""
        if self._peak is None:
            return None
        params = self._params
        plateau = ((1.0 - params.refusal_decrease) / params.regrowth) ** (1 / 3)
        return max(self._peak * (1.0 + params.regrowth * (now - self._cut_at - plateau) ** 3), RATE_FLOOR)

    def sent(self, now: float, tokens: int) -> None:
        """A request of about `tokens` was dispatched."""
        window = self._params.admitted_window_s
        self._admitted = self._admitted * exp((self._admitted_at - now) / window) + 1.0 / window
        self._admitted_at = now
        if not self.active:
            return
        if self.remaining_requests is not None:
            self.remaining_requests -= 1
        if self.remaining_tokens is not None:
            self.remaining_tokens -= tokens
        if self.overdraft is not None:
            self.overdraft.sent(now)
        self._refill(now)
        self._level = max(0.0, self._level - 1.0)

    def answered(self, dispatched: float) -> None:
        """A request was let through: the next refusal is not an immediate one."""
        self._pause = 0.0
        if self.overdraft is not None:
            self.overdraft.admitted(dispatched)

    def out_of_turn(self, now: float) -> Overdraft | None:
        """By what one may be sent although it is paced; None when none may."""
        overdraft = self.overdraft
        return overdraft if overdraft is not None and now >= self.paused_until and overdraft.due(now) else None

    def refused(self, now: float, dispatched: float, retry_after: float | None) -> None:
        """A 429. `retry_after` in seconds, None when the host did not say."""
        self.active = True
        self.refusals += 1
        if retry_after is not None:
            self.retry_at = max(self.retry_at, now + retry_after)
        beyond = self.overdraft is not None and self.overdraft.refused(now, dispatched)
        if not beyond and dispatched >= self._cut_at:
            self._cut(now, retry_after)
        if retry_after is not None and self._peak is not None and retry_after * self._peak > DEAR:
            self.overdraft = None

    def _cut(self, now: float, retry_after: float | None) -> None:
        params = self._params
        if retry_after is None:
            self._pause = min(max(self._pause * 2, params.refusal_pause_s), params.refusal_pause_max_s)
            self.paused_until = now + self._pause
        self.toll = self.toll or Toll()
        self.overdraft = self.overdraft or Overdraft()
        self.toll.rest(now)
        self._peak = max(self._admits(now), RATE_FLOOR)
        self._cut_at = now
        self._level, self._level_at = 0.0, max(self.retry_at, self.paused_until, now)

    def hold(self, until: float) -> None:
        """A Retry-After that was received before a restart."""
        self.active = True
        self.retry_at = max(self.retry_at, until)

    def observe(
        self,
        now: float,
        *,
        remaining_requests: float | None,
        limit_requests: float | None,
        reset_requests_s: float | None,
        remaining_tokens: float | None,
        limit_tokens: float | None,
        reset_tokens_s: float | None,
    ) -> None:
        """Take over what the host says is left; None where it says nothing. Resets in seconds from now."""
        self.limit_requests = self.limit_requests if limit_requests is None else limit_requests
        self.limit_tokens = self.limit_tokens if limit_tokens is None else limit_tokens
        if remaining_requests is not None:
            self.remaining_requests = remaining_requests
            self.requests_reset_at = now + (reset_requests_s or 0.0)
            self._requests_full_at = now + (PERIOD_S if reset_requests_s is None else reset_requests_s)
        if remaining_tokens is not None:
            self.remaining_tokens = remaining_tokens
            self.tokens_reset_at = now + (reset_tokens_s or 0.0)
            self._tokens_full_at = now + (PERIOD_S if reset_tokens_s is None else reset_tokens_s)
        # Without a limit beside it, 50 requests or 50 000 tokens count as scarce.
        watch = self._params.quota_watch
        few = watch * limit_requests if limit_requests else 50.0
        little = watch * limit_tokens if limit_tokens else 50_000.0
        if remaining_requests is not None and remaining_requests <= few:
            self.active = True
        if remaining_tokens is not None and remaining_tokens <= little:
            self.active = True

    def left(self, now: float) -> tuple[float | None, float | None]:
        """For people: requests and tokens that are left as far as is known; after their reset all that is allowed."""
        return (
            self.limit_requests if now >= self._requests_full_at else self.remaining_requests,
            self.limit_tokens if now >= self._tokens_full_at else self.remaining_tokens,
        )

    def verdict(self, now: float, tokens: int) -> tuple[str, float]:
        """Why a request of about `tokens` must wait, and until when; ("", now) when it may go."""
        cap = self._refill(now)
        if now < self.retry_at:
            return "rate_limited", self.retry_at
        if now < self.paused_until:
            return "paced", self.paused_until
        for left, needed, reset_at in (
            (self.remaining_requests, 1, self.requests_reset_at),
            (self.remaining_tokens, tokens, self.tokens_reset_at),
        ):
            if left is not None and left < needed and now < reset_at:
                return "quota_spent", reset_at
        if cap is not None and self._level < 1.0:
            return "paced", now + (1.0 - self._level) / cap
        if cap is None and now >= max(self.requests_reset_at, self.tokens_reset_at):
            self.active = False
            self.remaining_requests = self.remaining_tokens = None
        return "", now

    def _admits(self, now: float) -> float:
        """Requests per second that the host seems to admit, as it has just refused one."""
        params = self._params
        window = params.admitted_window_s
        refused = 1.0 / window  # this one was counted when sent and was not admitted
        rate = self._admitted * exp((self._admitted_at - now) / window) - refused
        peak, cap = self._peak, self.cap(now)
        if peak is None or cap is None:
            return rate
        rate = min(rate, cap)
        if cap >= peak:
            return max(rate, peak)
        again = self._pause > params.refusal_pause_s
        return rate if again else max(rate, params.refusal_decrease * cap)

    def _refill(self, now: float) -> float | None:
        cap, toll = self.cap(now), self.toll
        if cap is None or toll is None:
            return cap
        if now <= self._level_at:
            # Turned away is scarce, whatever time it takes: a wait of a minute says no more than one of a second.
            if now <= self._cut_at + SCARCE_S:
                toll.adjust(now, 0.0)
            else:
                toll.rest(now)
            return cap
        # A bucket of one second's worth: Poisson arrivals come in clumps, and hosts count per second at the finest.
        full = max(1.0, cap)
        self._level = min(self._level + (now - self._level_at) * cap, full)
        self._level_at = now
        toll.adjust(now, self._level / full)
        if self._level >= cap > 4 * self._admitted + 1:
            self._peak = None  # far above what is asked of it: the cap no longer limits anything
            self.toll = self.overdraft = None
        return cap
