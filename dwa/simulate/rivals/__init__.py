"""Every rival by name: what others publish, implemented from their descriptions and run on the same requests."""

from __future__ import annotations

from collections.abc import Mapping

from dwa.simulate.policy import Maker
from dwa.simulate.rivals.adversarial import CusumUcb, Exp3S
from dwa.simulate.rivals.bandits import DiscountedThompson, DiscountedUcb, EpsilonGreedy, WindowUcb
from dwa.simulate.rivals.bifrost import AdaptiveWeights
from dwa.simulate.rivals.c3 import C3
from dwa.simulate.rivals.chance import RoundRobin, Uniform
from dwa.simulate.rivals.envoy import LeastRequest
from dwa.simulate.rivals.first_draft import FirstDraft
from dwa.simulate.rivals.gomodel import AdaptiveRouting
from dwa.simulate.rivals.litellm import LeastBusy, LowestLatency, SimpleShuffle
from dwa.simulate.rivals.openrouter import InverseSquare
from dwa.simulate.rivals.peak_ewma import PeakEwmaP2C
from dwa.simulate.rivals.prequal import Prequal

RIVALS: Mapping[str, Maker] = {
    "litellm_latency": LowestLatency,
    "litellm_least_busy": LeastBusy,
    "litellm_shuffle": SimpleShuffle,
    "bifrost": AdaptiveWeights,
    "gomodel": AdaptiveRouting,
    "openrouter_like": InverseSquare,
    "peak_ewma_p2c": PeakEwmaP2C,
    "prequal": Prequal,
    "c3": C3,
    "envoy": LeastRequest,
    "epsilon_greedy": EpsilonGreedy,
    "discounted_ucb": DiscountedUcb,
    "window_ucb": WindowUcb,
    "discounted_thompson": DiscountedThompson,
    "exp3s": Exp3S,
    "cusum_ucb": CusumUcb,
    "first_draft": FirstDraft,
    "round_robin": RoundRobin,
    "random": Uniform,
}
WEAKNESSES: Mapping[str, str] = {
    "litellm_latency": "blind to price and request size; a mean of ten samples per token",
    "litellm_least_busy": "few in flight is not fast: an erring host looks idle",
    "litellm_shuffle": "random but for cooldowns",
    "bifrost": "weights in proportion to a score never settle, and are up to five seconds old; blind to price",
    "gomodel": "two draws miss the best host; cools down for half a minute at the least",
    "openrouter_like": "blind to speed",
    "peak_ewma_p2c": "blind to price; never stops trying a dead host",
    "prequal": "blind to price; its probes have nothing to ask",
    "c3": "blind to price; flees any short queue",
    "envoy": "blind to price and latency; ejects one host of five",
    "epsilon_greedy": "explores the hopeless as often as the promising, for ever",
    "discounted_ucb": "forgets what has not changed and pays to learn it again",
    "window_ucb": "the same, by a window",
    "discounted_thompson": "the size of a request is noise to it; learns from failures late",
    "exp3s": "prepared for an enemy, so it never settles",
    "cusum_ucb": "sees a change after dozens of answers",
    "first_draft": "no scale: a host twice as bad keeps its share for ever",
    "round_robin": "knows nothing",
    "random": "knows nothing",
}

__all__ = ["RIVALS", "WEAKNESSES"]
