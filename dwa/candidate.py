"""What is chosen among, and for what: a candidate deployment and the shape of a request.

Both are facts handed in with every call. Prices may change between two calls and are used as handed in: a price is
known, not learned; nothing has to be reset when it changes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One deployment: a model at a provider. Prices in USD per token; a negative price is refused."""

    key: str
    """Identity, "provider/model"."""
    price_in: float = 0.0
    price_out: float = 0.0
    price_cached: float | None = None
    """For prompt tokens the provider reads from its cache; None means `price_in`."""
    priority: int = 0
    """Lower is tried first by the strategy `priority`."""
    weight: float = 1.0
    """Relative share under the strategy `weighted`."""
    max_concurrency: int | None = None
    quality: float = 1.0
    """0..1, how good its answers are; counts when the objective weighs quality."""
    first_token_s: float | None = None
    """Prior knowledge of its time to first token; None: the default of `Params`."""
    token_s: float | None = None
    """Prior knowledge of its seconds per output token."""

    def __post_init__(self) -> None:
        if self.price_in < 0 or self.price_out < 0 or (self.price_cached or 0) < 0 or self.weight < 0:
            raise ValueError(f"{self.key}: prices and weight must not be negative")

    @property
    def provider(self) -> str:
        """The part of the key before the first slash."""
        return self.key.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a request before it is sent."""

    input_tokens: int
    output_tokens: int | None = None
    """The caller's cap (max_tokens), not a forecast: the forecast is learned per route and prompt size."""
    route: str = ""
    cached_tokens: int = 0
    """Prompt tokens that a warm host would read from its cache; 0: as many as the session's last prompt had."""
    stream: bool = False
    """The first token will be reported: sharpens the watch on what is overdue."""
