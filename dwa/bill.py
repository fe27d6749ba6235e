"""factor ← factor + 0.2·(billed / listed - factor): what a deployment really charges, in its listed prices.

Prices are known, not learned; but a table may be out of date, and a provider may bill what the table does not list.
Forecasts of cost are multiplied by the factor.
"""

from __future__ import annotations

from dwa.candidate import Candidate

PRICE_GAIN = 0.2
"""Weight of one bill in the price factor. Bills have no noise. Doubled: two answers instead of five to see a price that
the table does not know; halved: ten."""
PRICE_BOUND = 10.0
"""Largest factor, and its inverse the smallest, that a bill may have: beyond it the bill or the table is a mistake."""


def learned(factor: float, candidate: Candidate, prompt: int, answer: int, cost: float, cached: int) -> float:
    """The factor after a bill of `cost` USD for so many tokens, of which `cached` were read from the host's cache."""
    price_cached = candidate.price_in if candidate.price_cached is None else candidate.price_cached
    listed = (prompt - cached) * candidate.price_in + cached * price_cached + answer * candidate.price_out
    if listed <= 0.0:
        return factor
    ratio = min(max(cost / listed, 1.0 / PRICE_BOUND), PRICE_BOUND)
    return factor + PRICE_GAIN * (ratio - factor)
