"""Identifiers that sort by time: `req_` and 26 characters of Crockford base 32 (48 bits of milliseconds, 80 random).

Source: the ULID specification. The random part comes from the generator handed in; an identifier is a name, never a
secret.
"""

from __future__ import annotations

import random
from functools import lru_cache

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def new_id(prefix: str, seconds: float, rng: random.Random) -> str:
    """An identifier such as `req_01JD…` for the moment `seconds` (Unix time)."""
    chance = rng.getrandbits(80)
    return f"{prefix}_{_moment(int(seconds * 1000))}{_eight(chance >> 40)}{_eight(chance)}"


def earliest_id(prefix: str, seconds: float) -> str:
    """What sorts before every identifier of that moment, and behind every earlier one."""
    return f"{prefix}_{_moment(int(seconds * 1000))}"


@lru_cache(maxsize=1)
def _moment(milliseconds: int) -> str:
    """The first letters. Whoever is busy has many requests in a millisecond."""
    return _PAIRS[milliseconds >> 40] + _eight(milliseconds)


def _eight(number: int) -> str:
    """The letters of the last 40 bits."""
    pairs = _PAIRS
    return pairs[number >> 30 & 1023] + pairs[number >> 20 & 1023] + pairs[number >> 10 & 1023] + pairs[number & 1023]
