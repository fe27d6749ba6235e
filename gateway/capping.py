"""A bound on what one request may cost: whoever is expected to take it beyond is not asked, and that is said.

    before an attempt: expected costs of those under way, and of the answers paid for, plus its own ≤ the bound

The expectation is the DWA's: prompt tokens and the answer's learned length, at the deployment's learned price. It is
no promise: an answer may turn out longer than ever before, and nobody is cut off for it. An attempt that failed before
its answer began gives its share back; one that was outrun or broke off keeps it, since its provider may bill it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from gateway.catalog import Deployment
from gateway.errors import BadRequest

#: USD: sums of floats may be that far off, and no price is that small.
ROUNDING = 1e-12
#: The code of the error when nobody fits under a bound.
TOO_DEAR = "max_cost_exceeded"


class Unstarted(Struct, frozen=True):
    """One who was not asked, and which bound kept it: `max_cost_usd` or `parallel`. `expected` is in USD."""

    provider: str
    model: str
    why: str
    expected: float


class Cap(Struct):
    """The bound `limit` of one request, in USD, and what of it is taken."""

    limit: float
    taken: float = 0.0
    #: Expected costs by key, as forecast last.
    expected: dict[str, float] = field(default_factory=dict[str, float])
    #: Who was not asked for this bound's sake, with its expected cost.
    refused: dict[str, float] = field(default_factory=dict[str, float])

    def affordable(self, tier: Sequence[Deployment], costs: Mapping[str, float]) -> list[Deployment]:
        """Those who fit under the bound by themselves; the others are refused."""
        self.expected.update(costs)
        return [one for one in tier if self.fits(one.key)]

    def fits(self, key: str) -> bool:
        """Whether this one may be asked as well."""
        if self.has_room(key):
            return True
        self.refused[key] = self.expected.get(key, 0.0)
        return False

    def has_room(self, key: str, instead_of: str = "") -> bool:
        """As `fits`, and nobody is refused by asking; or whether it may be asked when another has failed."""
        freed = self.expected.get(instead_of, 0.0)
        return self.taken - freed + self.expected.get(key, 0.0) <= self.limit + ROUNDING

    async def reserve(self, keys: Sequence[str]) -> None:
        """The first of these is asked next, and perhaps the others beside it: make room where others share it."""

    def take(self, key: str) -> None:
        """It is asked now."""
        self.refused.pop(key, None)
        self.taken += self.expected.get(key, 0.0)

    def give_back(self, key: str) -> None:
        """It failed before its answer began."""
        self.taken -= self.expected.get(key, 0.0)

    def unstarted(self) -> list[Unstarted]:
        """Who was refused and never asked."""
        return [Unstarted(*split(key), "max_cost_usd", cost) for key, cost in self.refused.items()]

    def error(self) -> BadRequest:
        """Nobody fits."""
        key, cost = min(self.refused.items(), key=lambda one: one[1])
        return BadRequest(
            f"max_cost_usd is {self.limit:g}, and the cheapest candidate, {key}, is expected to cost {cost:.3g} USD. "
            "Raise it, lower max_tokens, or name cheaper providers.",
            param="max_cost_usd",
            code=TOO_DEAR,
        )


def split(key: str) -> tuple[str, str]:
    """Provider and model of a deployment's key."""
    provider, _, model = key.partition("/")
    return provider, model
