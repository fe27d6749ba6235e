"""Requests: log n_in, log n_out ~ mixtures of normals; gaps ~ Gamma(mean 1, c.v.) / rate(t); noise drawn in advance.

The mixtures were fitted by expectation maximisation to public traces, prompts and answers apart because they hardly
depend on each other there (correlation of the logs: chat 0.09, code 0.00, long 0.05).
Means of the fits come within 7 % of those of the traces, given here:

    chat   AzurePublicDataset, LLM inference trace 2023, conversation, 19 366 requests; CC-BY-4.0, Patel et al.,
           "Splitwise", ISCA 2024. Mean 1155 in, 211 out; c.v. of gaps 1.1
    code   the same, code completion, 8 819 requests. Mean 2048 in, 28 out; c.v. 13 (batches from editors)
    long   Mooncake conversation trace, 12 031 requests; Apache-2.0, Qin et al., FAST 2025. Mean 12 035 in, 343 out

Clients seen one by one arrive with a c.v. of gaps near 1.1, now and then 2 to 4 (ServeGen rates, Apache-2.0,
arXiv 2505.09999; fitted November 2026): gamma gaps with that c.v. are what "bursty" means here.

The noise of a request is drawn with the request and belongs to its attempts (first, second, …), not to the hosts: so
every policy meets the same luck, and differences between policies need few seeds. Lengths stay hidden from policies
until the answer is whole, as in life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, exp, pi
from random import Random
from typing import NamedTuple

from dwa.candidate import Shape

ATTEMPTS = 3
"""Most attempts a caller's request gets."""


@dataclass(frozen=True, slots=True)
class Sized(Shape):
    """The shape of a request as policies are shown it, with what only the oracle may read."""

    kind: str = "chat"
    """A key of `KINDS`. Not the route: a gateway is not told that a prompt asks for code."""


class Luck(NamedTuple):
    """The noise of one attempt: two standard normals and three uniforms."""

    first: float
    writing: float
    straggles: float
    factor: float
    fate: float


class Request(NamedTuple):
    """One caller's request. `answer` is known to nobody before the end."""

    at: float
    prompt: int
    answer: int
    kind: str
    stream: bool
    bad: bool
    """The caller's own mistake: any host answers 400."""
    replica: int
    luck: tuple[Luck, ...]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Log-normals: (share, mean of the log, s.d. of the log), cut to `least`..`most` tokens."""

    parts: tuple[tuple[float, float, float], ...]
    least: int
    most: int

    def draw(self, rng: Random) -> int:
        """One length in tokens."""
        _, mean, sd = rng.choices(self.parts, [part[0] for part in self.parts])[0]
        return min(max(int(exp(rng.gauss(mean, sd))), self.least), self.most)

    def mean(self) -> float:
        """Mean before the cut, which moves it by some percent at most."""
        return min(sum(share * exp(mean + sd * sd / 2) for share, mean, sd in self.parts), float(self.most))


@dataclass(frozen=True, slots=True)
class Kind:
    """Prompt and answer lengths of one sort of traffic."""

    prompt: Mixture
    answer: Mixture


KINDS: Mapping[str, Kind] = {
    "chat": Kind(
        Mixture(((0.194, 6.16, 1.32), (0.806, 6.77, 0.84)), 2, 14_050),
        Mixture(((0.712, 4.64, 0.70), (0.288, 6.01, 0.05)), 1, 1_000),
    ),
    "code": Kind(
        Mixture(((0.309, 5.53, 1.31), (0.691, 7.65, 0.72)), 2, 7_437),
        Mixture(((0.659, 2.36, 0.38), (0.341, 3.59, 0.90)), 1, 1_899),
    ),
    "long": Kind(
        Mixture(((0.110, 6.82, 0.05), (0.890, 8.98, 1.05)), 2, 126_195),
        Mixture(((0.336, 4.01, 1.62), (0.664, 6.01, 0.35)), 1, 2_000),
    ),
}


@dataclass(frozen=True, slots=True)
class Surge:
    """`factor` times the usual rate from `at` for `seconds`."""

    at: float
    seconds: float
    factor: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """How requests come. Rates in 1/s, all replicas together."""

    rate: float = 10.0
    cv: float = 1.0
    """Coefficient of variation of the gaps; 1 is Poisson."""
    mix: tuple[tuple[str, float], ...] = (("chat", 1.0),)
    surges: tuple[Surge, ...] = ()
    day_s: float = 0.0
    """Period of a day-night wave; 0: none. The trough is a fifth of the peak."""
    streamed: float = 0.0
    """Share of requests whose first token is reported."""
    bad: float = 0.0

    def rate_at(self, now: float) -> float:
        """Requests per second expected at `now`."""
        rate = self.rate
        if self.day_s:
            rate *= 0.6 - 0.4 * cos(2 * pi * now / self.day_s)
        for surge in self.surges:
            if surge.at <= now < surge.at + surge.seconds:
                rate *= surge.factor
        return rate

    def requests(self, seconds: float, replicas: int, rng: Random) -> list[Request]:
        """All requests of one run in order of arrival; the same for the same `rng`."""
        shape = 1.0 / (self.cv * self.cv)
        names = [name for name, _ in self.mix]
        shares = [share for _, share in self.mix]
        uniform, gauss = rng.random, rng.gauss
        found: list[Request] = []
        now = 0.0
        while True:
            now += rng.gammavariate(shape, 1.0 / shape) / self.rate_at(now)
            if now >= seconds:
                return found
            name = names[0] if len(names) == 1 else rng.choices(names, shares)[0]
            kind = KINDS[name]
            luck = tuple(Luck(gauss(0, 1), gauss(0, 1), uniform(), uniform(), uniform()) for _ in range(ATTEMPTS))
            found.append(
                Request(
                    now,
                    kind.prompt.draw(rng),
                    kind.answer.draw(rng),
                    name,
                    uniform() < self.streamed,
                    uniform() < self.bad,
                    int(uniform() * replicas),
                    luck,
                )
            )
