"""How often and how patiently the same deployments are asked again."""

from __future__ import annotations

from msgspec import Struct

from providers.errors import Fault

#: Seconds. Timers are rounded to this and may go off early; Retry-After must be over all the same.
TICK = 0.001


class RetryPolicy(Struct, frozen=True):
    """How often and how patiently the same deployments are asked again once all have failed. Seconds."""

    rounds: int = 2
    first_pause: float = 0.25
    longest_pause: float = 5.0

    def pause_after(self, fault: Fault, chance: float) -> float | None:
        """Seconds before one of several calls is made again by itself, jittered by `chance` (0..1); None: it is not."""
        if not (fault.retry_same and self.rounds):
            return None
        pause = max(self.first_pause * (0.5 + chance), fault.retry_after or 0.0) + TICK
        return pause if pause <= self.longest_pause else None
