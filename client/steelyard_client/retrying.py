"""When to ask again, and after how long.

Law: a request that may have been done is sent again only if doing it twice does nothing more than once: GET, PUT,
DELETE, what says so, and what carries an `Idempotency-Key`. Any other is sent again only when it cannot have been
done: nobody was reached, or the gateway said "not now" (429, 503).

The pause doubles from try to try, and half of it is random, so that callers turned away together do not come back
together. What `Retry-After` says goes before it; is that longer than `patience`, the caller is told instead.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from steelyard_client.asking import Asked
from steelyard_client.errors import ApiError, NotReached, QuotaExceeded, SteelyardError

#: "Not now": the gateway has done nothing, and says when to come back.
_NOT_NOW = frozenset({429, 503})
#: A server in between that lost the gateway, or a gateway whose providers failed; to be repeated if that is harmless.
_FAILED = frozenset({502, 504})


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often a request is sent again (`most`), the first pause and the longest, in seconds.

    `patience`: the longest `Retry-After` that is waited for.
    """

    most: int = 2
    first: float = 0.5
    longest: float = 8.0
    patience: float = 60.0

    def pause(self, tried: int, error: SteelyardError, rng: random.Random) -> float | None:
        """Seconds until the next try after `tried` of them; None when there is none."""
        if tried > self.most:
            return None
        wanted = error.retry_after if isinstance(error, ApiError) else None
        if wanted is not None:
            # A little more, so that those who were told the same second do not all come in it.
            return wanted * (1 + rng.random() / 4) if wanted <= self.patience else None
        whole = min(self.longest, self.first * 2 ** (tried - 1))
        return whole * (0.5 + rng.random() / 2)


def worth_repeating(asked: Asked, error: SteelyardError) -> bool:
    """Whether sending it again is harmless and may help."""
    if isinstance(error, QuotaExceeded):
        return False
    if isinstance(error, NotReached):
        return not error.sent or asked.may_repeat
    if isinstance(error, ApiError):
        return error.status in _NOT_NOW or (asked.may_repeat and error.status in _FAILED)
    return False
