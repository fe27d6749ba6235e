"""What a provider can do to a request, and what that means for the next step.

    Fault
    ├── Rejected             the request itself is wrong            blame caller    stop
    │   ├── ContextTooLong   it does not fit the model's window     blame caller    stop
    │   └── Refused          the provider's policy forbids it       blame caller    stop
    ├── Misconfigured        our key, model name or account         blame operator  try next
    ├── Throttled            429: slow down                         blame provider  try next
    ├── Overloaded           5xx, 529: it cannot right now          blame provider  try next
    ├── TimedOut             connect, first byte, idle or total     blame provider  try next
    ├── Unreachable          DNS, refused, reset before an answer   blame provider  try next
    ├── Garbled              a 200 that is not the dialect          blame provider  try next
    ├── Misshapen            a schema was asked for, and not met    blame provider  try next
    └── Cut                  broke after the commit point           blame provider  stop

A class's docstring is its default message. A dialect classifies by HTTP status and machine code, never by reading
English; what it does not know becomes the conservative class of that status.
"""

from __future__ import annotations

from math import isfinite
from typing import ClassVar, Literal

from providers.chat import Usage

#: Seconds, a day: the longest limits that providers announce are per day.
_LONGEST_WAIT = 86_400.0
#: Characters of a provider's code, or of the field that it names: they go into records, log lines and answers.
_LONGEST_NAME = 200
Blame = Literal["caller", "operator", "provider"]
Phase = Literal["connect", "first_byte", "idle", "total"]


class Fault(Exception):
    """The provider failed."""

    blame: ClassVar[Blame] = "provider"
    try_next: ClassVar[bool] = True
    #: Worth a second try on the same deployment after a short pause, when no other is left.
    retry_same: ClassVar[bool] = False
    kind: ClassVar[str] = "fault"

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep the facts.

        Args:
            message: what the provider said, shortened; the class docstring when empty.
            status: the upstream HTTP status, when there was one.
            code: the provider's machine code (`rate_limit_exceeded`, `overloaded_error` …), shortened.
            param: the request field the provider complained of, shortened.
            retry_after: seconds to wait before asking this provider again, as it said.
        """
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.status = status
        self.code = code and code[:_LONGEST_NAME]
        self.param = param and param[:_LONGEST_NAME]
        # A provider that says "in a year", or worse no number, would be out for good.
        if retry_after is not None:
            retry_after = min(max(retry_after, 0.0), _LONGEST_WAIT) if isfinite(retry_after) else None
        self.retry_after = retry_after
        #: Tokens of answers that came all the same, and are paid for: before it, or what it is about.
        self.spent: Usage | None = None

    @property
    def message(self) -> str:
        """The sentence shown to people."""
        return str(self.args[0])


class Rejected(Fault):
    """The provider rejected the request as invalid."""

    blame, try_next, kind = "caller", False, "rejected"


class ContextTooLong(Rejected):
    """The request does not fit the model's context window."""

    kind = "context_too_long"


class Refused(Rejected):
    """The provider's content policy refused the request."""

    kind = "refused"
    #: The answer (JSON) in which the provider said so, where its format has answers for that instead of errors.
    answer: bytes | None = None


class Misconfigured(Fault):
    """The provider did not accept this gateway's key, model name or account."""

    blame, kind = "operator", "misconfigured"


class Throttled(Fault):
    """The provider asked for fewer requests."""

    kind, retry_same = "throttled", True


class Overloaded(Fault):
    """The provider could not serve the request."""

    kind, retry_same = "overloaded", True


class TimedOut(Fault):
    """The provider did not answer in time."""

    kind = "timed_out"

    def __init__(self, phase: Phase, seconds: float) -> None:
        """Say which clock ran out, and after how many seconds."""
        super().__init__(self._sentence(phase.replace("_", " "), seconds))
        self.phase: Phase = phase
        self.seconds = seconds

    def _sentence(self, phase: str, seconds: float) -> str:
        return f"The provider did not answer in time ({phase} timeout, {seconds:g} s)."


class Silent(TimedOut):
    """The provider does not answer while others do, so its timeout was not waited for."""

    def __init__(self, seconds: float) -> None:
        """Say after how many seconds it was given up."""
        super().__init__("first_byte", seconds)

    def _sentence(self, phase: str, seconds: float) -> str:
        return f"The provider did not answer this request while others answered theirs; given up after {seconds:.1f} s."


class Unreachable(Fault):
    """The provider could not be reached."""

    kind, retry_same = "unreachable", True


class Garbled(Fault):
    """The provider's answer is not in the format it speaks."""

    kind = "garbled"


class Misshapen(Fault):
    """The provider's answer does not follow the schema that was asked for."""

    kind, retry_same = "misshapen", True


class Cut(Fault):
    """The stream broke after the first chunk."""

    try_next, kind = False, "cut"
