"""Who of one request's candidates could not be asked: why, until when, and who may be after all when others failed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

from dwa import Candidate, Ranking
from gateway.catalog import Deployment, Resolution
from gateway.exchange import Exchange


class Exclusions:
    """Those of one request; why is written down in its exchange."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float]) -> None:
        """Nobody yet. `clock` is the one of deadlines."""
        self._exchange = exchange
        self._clock = clock
        #: Whom to ask when all the others have failed.
        self.resort: list[Candidate] = []
        #: Deployment → until when nobody of its tier may be asked.
        self._until: dict[str, float] = {}

    def allowed(self, resolution: Resolution) -> tuple[tuple[Deployment, ...], ...]:
        """Who may be asked, by tiers: not those whose budgets are spent."""
        if barred := self._exchange.barred:
            self.add("budget_spent", (one for tier in resolution.tiers for one in tier if one.provider in barred))
        return resolution.without(barred)

    def add(self, why: str, those: Iterable[Deployment]) -> None:
        """These cannot be asked."""
        self._exchange.excluded.update((one.key, why) for one in those)

    def rank(self, tier: Sequence[Deployment], ranking: Ranking, asked: Container[str]) -> None:
        """A tier was ranked; those that were asked before are no longer excluded for others' sake."""
        # Whoever was asked says itself how long to wait.
        if self._until or not ranking.candidates:
            for one in tier:
                self._until.pop(one.key, None)
                if not ranking.candidates and ranking.retry_after is not None:
                    self._until[one.key] = self._clock() + ranking.retry_after
        if ranking.excluded:
            self.resort += ranking.resort
            for key, why in ranking.reasons.items():
                if key not in asked:
                    self._exchange.excluded.setdefault(key, why)

    @property
    def left(self) -> float | None:
        """Seconds until the first of a tier of which nobody may be asked; None without any."""
        left = [until - self._clock() for until in self._until.values()]
        return max(0.0, min(left)) if left else None
