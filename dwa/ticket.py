"""A ticket is one attempt: opened by dispatch, settled once by what became of it, and it keeps the order of dispatch.

What each ending teaches:

    success        latency, reliability, length, price     throttled      the rate limit; no error, no latency
    failure        reliability and the breaker, and the    caller_error   nothing: the request was wrong by itself
                   seconds it wasted; never a latency:     cancelled      nothing: a caller who hangs up blames nobody
                   failing fast is not being fast          outrun         that it takes at least so long

A ticket is a context manager; leaving it unsettled means the caller went away, so it counts as cancelled. A second
ending is a mistake in the calling code and is refused loudly: counted, it would make the in-flight number drift, and a
host would look idle for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dwa.candidate import Candidate, Shape
from dwa.length import RUNNING

if TYPE_CHECKING:
    from dwa.deployment import Deployment
    from dwa.slo import Promise
    from dwa.together import Sequel


class AlreadySettledError(Exception):
    """This attempt has already ended; a ticket settles once."""


class Ticket:
    """One attempt at one deployment. Times in seconds on the balancer's clock."""

    __slots__ = (
        "_clock",
        "_deployment",
        "_settled",
        "answer",
        "busy",
        "candidate",
        "due",
        "failed",
        "first_at",
        "forecast",
        "late",
        "look",
        "number",
        "on_hang",
        "promise",
        "sequel",
        "shape",
        "sharpness",
        "started",
        "sticky",
        "tokens",
    )

    def __init__(
        self,
        deployment: Deployment,
        candidate: Candidate,
        shape: Shape,
        *,
        clock: Callable[[], float],
        answer: float,
        sticky: str | None,
    ) -> None:
        self._deployment = deployment
        self._clock = clock
        self._settled = False
        self.candidate = candidate
        self.shape = shape
        self.sticky = sticky
        self.started = clock()
        self.answer = answer
        """Output tokens expected at dispatch."""
        self.tokens = RUNNING
        """Output tokens of its answer, once that is there (`length.py`)."""
        self.busy = deployment.in_flight + deployment.elsewhere + 1
        """Requests in flight at dispatch, this one and those of other replicas included, as last told: what these may
        have sent since then (`Deployment.crowd`) keeps a herd apart, but it is a guess seven times as coarse as our own
        count, and knees learned from guesses come out too high."""
        self.forecast = deployment.latency.median(shape.input_tokens, answer, self.busy)
        self.first_at: float | None = None
        self.due = self.sharpness = 0.0
        self.number = 0
        """How many were dispatched there from here before it."""
        self.look = self.failed = False
        self.late: float | None = None
        """log(age / due) at which it was given up for lost, if it was (`losing.py`)."""
        self.promise: Promise | None = None
        """What its objective's SLO is told of the ending."""
        self.on_hang: Callable[[], None] | None = None
        """Called once when it need not be waited for any longer: its host hangs or has lost it, and others answer.
        It is still open then, and its caller's to end."""
        self.sequel: Sequel | None = None
        """Who is told how it ended, if another had failed before it."""
        deployment.dispatch(self)

    @property
    def key(self) -> str:
        """The deployment's key."""
        return self.candidate.key

    def first_token(self) -> None:
        """The first content token is here; later calls and calls after the end are ignored."""
        if self.first_at is None and not self._settled:
            self.first_at = self._clock()
            self._deployment.spoke(self, self.first_at)

    def success(self, input_tokens: int, output_tokens: int, cost: float | None = None, cached_tokens: int = 0) -> None:
        """The whole answer is here. Tokens as the host counted them; `cost` in USD, None when not known."""
        self._settle()
        now = self._clock()
        self._deployment.succeeded(self, now, input_tokens, output_tokens, cost, cached_tokens)
        if self.sequel is not None:
            self.sequel.ended(now, failed=False)
        if self.promise is not None:
            self.promise.answered(now)

    def failure(self, kind: str, caller_saw: bool = False) -> None:
        """The host failed; `caller_saw` when it did so after the first bytes reached the caller."""
        self._settle()
        self.failed = True
        now = self._clock()
        self._deployment.failed(self, now, kind, caller_saw=caller_saw)
        if self.sequel is not None and not caller_saw:
            self.sequel.ended(now, failed=True)
        if self.promise is not None:
            self.promise.failed(caller_saw=caller_saw)

    def throttled(self, retry_after: float | None = None) -> None:
        """The host refused for its rate limit (429); `retry_after` in seconds if it said so."""
        self._settle()
        self._deployment.refused(self, self._clock(), retry_after)
        if self.promise is not None:
            self.promise.void()

    def caller_error(self) -> None:
        """The host rightly refused the request itself (400, 413, 422)."""
        self._settle()
        self._deployment.void(self, self._clock(), caller_error=True)
        if self.promise is not None:
            self.promise.void()

    def cancelled(self) -> None:
        """The caller went away."""
        self._settle()
        now = self._clock()
        self._deployment.void(self, now, caller_error=False)
        if self.promise is not None:
            self.promise.left(now)

    def outrun(self) -> None:
        """Another attempt at the same request was quicker, and this one was given up."""
        self._settle()
        self._deployment.outrun(self, self._clock())
        if self.promise is not None:
            self.promise.void()

    def _settle(self) -> None:
        if self._settled:
            raise AlreadySettledError(f"{self.key}: this attempt has already ended")
        self._settled = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._settled:
            self.cancelled()
