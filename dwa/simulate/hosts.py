"""A host: first token e^N · (A + n_in·F), then n_out·B·e^N seconds, all times max(1, n/K); and how it may misbehave.

Figures of the five hosts of most scenarios lie inside what public measurements of one open model at several hosts show:

    thefastest.ai, 2024-04-15 to 05-03, 148 (host, region) pairs with 15 runs or more; MIT
        median first token 0.13 / 0.24 / 0.37 / 0.54 / 0.83 s at the 10/30/50/70/90th percentile of pairs
        tokens per second  16 / 26 / 46 / 87 / 180
        s.d. of the log of the first token 0.07 / 0.15 / 0.23 / 0.32 / 0.55, within a pair
        1.2 % of first tokens later than four medians (stragglers): 4.7 / 5.8 / 7.7 / 9.4 / 16 medians
    LLMPerf leaderboard, 2023-12-19, 2 845 requests; Apache-2.0
        s.d. of the log of tokens per second 0.04 to 0.2 at most hosts; 3 of 2 300 unlimited requests failed
    prices: the pinned list of LiteLLM (MIT), 104 entries for 70B open models: 0.13 / 0.59 / 0.72 / 0.90 / 2.65 USD per
        million input tokens, output 1 to 3 times that

All read in November 2026. The failure rates (0.5 %) and the broken streams (0.05 %) are rounder than measured: the
samples are too small to tell hosts apart.

The knee is a corner here, max(1, n/K), where the algorithm under test believes in a root: a simulator that shared its
assumptions would prove only that it knows itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, inf
from typing import Literal

Headers = Literal["retry_after", "remaining", "none"]


@dataclass(frozen=True, slots=True)
class Host:
    """How one deployment behaves. Seconds, USD per token, probabilities per request."""

    name: str
    first_token_s: float = 0.4
    """Median, empty prompt."""
    token_s: float = 1 / 60
    price_in: float = 1e-6
    price_out: float = 3e-6
    prefill_s: float = 4e-5
    first_sd: float = 0.3
    token_sd: float = 0.15
    straggle: float = 0.012
    straggle_least: float = 5.0
    straggle_most: float = 12.0
    fails: float = 0.005
    """Failures before the first token; the next host may be tried."""
    fail_s: float = 0.3
    cuts: float = 0.0005
    """Streams that break after the first token; the caller sees it."""
    dead: bool = False
    """Refuses every connection."""
    hangs: float = 0.0
    """Share of requests that never get a byte."""
    knee: float = inf
    limit: float = inf
    """Requests per second admitted; a token bucket with `limit_burst_s` seconds' worth."""
    limit_burst_s: float = 2.0
    headers: Headers = "none"
    quality: float = 1.0
    hidden_price: float = 1.0
    """Factor on the bill that the price list does not know."""
    present: bool = True

    def first_mean(self, prompt: float) -> float:
        """Expected seconds to the first token, stragglers included, idle."""
        typical = exp(self.first_sd**2 / 2) * (self.first_token_s + prompt * self.prefill_s)
        return typical * (1.0 + self.straggle * ((self.straggle_least + self.straggle_most) / 2 - 1.0))

    def seconds(self, prompt: float, answer: float) -> float:
        """Expected seconds of a whole answer on an idle host."""
        return self.first_mean(prompt) + answer * self.token_s * exp(self.token_sd**2 / 2)

    def dollars(self, prompt: float, answer: float) -> float:
        """The bill of a whole answer."""
        return (prompt * self.price_in + answer * self.price_out) * self.hidden_price


@dataclass(frozen=True, slots=True)
class Change:
    """At `at` seconds: `who` (a role such as "1st", "last", "all", or a name) has fields put or scaled.

    Scales refer to the host as it was at the start; `like` takes over the speed that another role had then.
    """

    at: float
    who: str
    put: dict[str, float | bool] = field(default_factory=dict[str, "float | bool"])
    scale: dict[str, float] = field(default_factory=dict[str, float])
    like: str | None = None

    def apply(self, now: Host, start: Host, other: Host | None) -> Host:
        """The host after the change."""
        fields: dict[str, float | bool] = dict(self.put)
        fields.update({name: float(getattr(start, name)) * factor for name, factor in self.scale.items()})
        if other is not None:
            fields.update({name: float(getattr(other, name)) for name in ("first_token_s", "token_s", "prefill_s")})
        return replace(now, **fields)  # pyright: ignore[reportArgumentType]  # field names are checked by `replace`


def drift(start: float, end: float, who: str, factor: float, steps: int = 40) -> tuple[Change, ...]:
    """A gradual change of speed by `factor`, in equal steps of the log."""
    return tuple(
        Change(
            start + (end - start) * step / steps,
            who,
            scale={"first_token_s": factor ** (step / steps), "token_s": factor ** (step / steps)},
        )
        for step in range(1, steps + 1)
    )


QUICK = Host("quick", 0.24, 1 / 95, 0.9e-6, 2.2e-6)
SOUND = Host("sound", 0.37, 1 / 65, 0.7e-6, 1.6e-6)
GRAND = Host("grand", 0.30, 1 / 80, 1.9e-6, 4.5e-6)
CHEAP = Host("cheap", 0.83, 1 / 34, 0.45e-6, 1.1e-6)
PLAIN = Host("plain", 0.54, 1 / 46, 1.1e-6, 2.7e-6, fails=0.02)
FIVE = (QUICK, SOUND, GRAND, CHEAP, PLAIN)
