"""Identifiers that sort by time: `req_` and 26 characters of Crockford base 32 (48 bits of milliseconds, 80 random).

Source: the ULID specification. The random part comes from the generator handed in; an identifier is a name, never a
secret.
"""

from __future__ import annotations

import random

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def new_id(prefix: str, seconds: float, rng: random.Random) -> str:
    """An identifier such as `req_01JD…` for the moment `seconds` (Unix time)."""
    number = (int(seconds * 1000) << 80) | rng.getrandbits(80)
    return prefix + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def earliest_id(prefix: str, seconds: float) -> str:
    """What sorts before every identifier of that moment, and behind every earlier one."""
    milliseconds = int(seconds * 1000)
    return prefix + "_" + "".join([_PAIRS[milliseconds >> shift & 1023] for shift in range(40, -1, -10)])
