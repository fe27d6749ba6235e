"""The physics of a provider: how long, how much, what goes wrong, what is left of the quota.

    first token  = (median · e^(sigma · N(0,1)) · straggler + prefill · uncached prompt tokens) · load
    last token   = first token + output tokens / (tokens per second) · load
    load         = 1 + slowdown · max(0, in flight - knee)

Log-normal because measured first-token times are: the logarithm of the public measurements named in `cast.py` is
close to symmetric, and a small share of requests takes several times as long (stragglers), which a sigma alone cannot
give without spoiling the middle.

Law: nothing here knows the time or throws a coin by itself; clock readings and the random source are arguments, so the
same seed and the same clock give the same world. Nothing here does I/O.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from random import Random
from statistics import NormalDist
from typing import NamedTuple, cast
from zlib import crc32

from providers.simulator.config import Faults, Knee, Lengths, Outage, Speed, Trouble

#: Tokens are characters divided by four, rounded up: close enough to any tokenizer for English, and checkable by hand.
CHARS_PER_TOKEN = 4
#: An engine caches a prompt by blocks; real ones start at 1,024 tokens, ours at 1,024 characters: short tests.
BLOCK_CHARS = 1024
CACHE_SECONDS = 300.0
CACHE_BLOCKS = 4096  # bound of memory per model: about 0.5 MB of hashes
_NORMAL = NormalDist()


def tokens(chars: int) -> int:
    """Tokens in a text of so many characters."""
    return -(-chars // CHARS_PER_TOKEN)


def first_token_s(speed: Speed, uncached_tokens: int, rng: Random) -> float:
    """Draw the time to the first token, before load."""
    seconds = speed.first_token_s
    if seconds and speed.sigma:
        seconds *= math.exp(speed.sigma * rng.gauss(0.0, 1.0))
    if speed.straggler_share and rng.random() < speed.straggler_share:
        seconds *= speed.straggler_factor
    return seconds + speed.prefill_s_per_1k * uncached_tokens / 1000


def output_tokens(lengths: Lengths, quantile: float) -> int:
    """How many tokens the model would like to say, at this quantile (0..1, open) of its distribution."""
    if not lengths.sigma:
        return round(lengths.median_tokens)
    return max(1, round(lengths.median_tokens * math.exp(lengths.sigma * _NORMAL.inv_cdf(quantile))))


def load_factor(knee: Knee | None, in_flight: int) -> float:
    """How much slower a request is that finds so many in flight, itself included."""
    return 1.0 if knee is None else 1.0 + knee.slowdown * max(0, in_flight - knee.in_flight)


def outage_at(outages: tuple[Outage, ...], elapsed_s: float) -> Outage | None:
    """The first listed outage that covers this moment since the start."""
    for outage in outages:
        since = elapsed_s - outage.start_s
        if since >= 0 and (since % outage.every_s if outage.every_s else since) < outage.duration_s:
            return outage
    return None


def mishap(faults: Faults, rng: Random) -> Trouble | None:
    """Throw one coin for all the things that may go wrong by chance."""
    if faults == _NO_FAULTS:
        return None
    left = rng.random()
    for name in faults.__struct_fields__:
        left -= getattr(faults, name)
        if left < 0:
            return cast(Trouble, name)
    return None


_NO_FAULTS = Faults()


class Allowance(NamedTuple):
    """What a quota says: `refused_for_s` is None when the request may pass, else how long to stay away."""

    limit: int
    remaining: int
    reset_s: float  # until the bucket is full again
    refused_for_s: float | None


class Bucket:
    """A token bucket of `per_min` units that refills evenly; a request larger than the bucket empties it and passes.

    A larger request cannot be refused for ever, or a caller that obeys `Retry-After` would never get through.
    """

    __slots__ = ("_at", "_level", "per_min")

    def __init__(self, per_min: int, now: float) -> None:
        self.per_min = per_min
        self._level = float(per_min)
        self._at = now

    def take(self, amount: int, now: float) -> Allowance:
        """Take the amount if it is there; a refusal takes nothing."""
        rate = self.per_min / 60
        self._level = min(self.per_min, self._level + (now - self._at) * rate)
        self._at = now
        needed = min(amount, self.per_min)
        refused = None
        # A tolerance, because a caller that waited exactly as told must not be refused for a rounding error.
        if self._level + 1e-6 < needed:
            refused = (needed - self._level) / rate
        else:
            self._level = max(0.0, self._level - needed)
        return Allowance(self.per_min, int(self._level + 1e-6), (self.per_min - self._level) / rate, refused)


class PromptCache:
    """Which beginnings of prompts were seen in the last five minutes, by blocks of 1,024 characters.

    A block counts only when all before it match, because its key is the running checksum. Bounded: the block unused for
    longest goes first.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: OrderedDict[int, float] = OrderedDict()

    def lookup(self, model: str, prompt: str, now: float) -> tuple[int, int]:
        """Count prompt tokens read from the cache and tokens newly written to it, and remember the prompt."""
        blocks = len(prompt) // BLOCK_CHARS
        key, hits = crc32(model.encode()), 0
        for n in range(blocks):
            key = crc32(prompt[n * BLOCK_CHARS : (n + 1) * BLOCK_CHARS].encode(errors="surrogatepass"), key)
            if hits == n and now - self._seen.get(key, -math.inf) <= CACHE_SECONDS:
                hits += 1
            self._seen[key] = now
            self._seen.move_to_end(key)
        while len(self._seen) > CACHE_BLOCKS:
            self._seen.popitem(last=False)
        per_block = BLOCK_CHARS // CHARS_PER_TOKEN
        return hits * per_block, (blocks - hits) * per_block
