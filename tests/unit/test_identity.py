"""The laws of identifiers: they sort by time, never repeat, and look like a ULID."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity import new_id

#: Unix seconds that a ULID's 48 bits of milliseconds can hold (until the year 10889).
SECONDS = st.floats(0, 281_474_976_710, allow_nan=False)
SHAPE = re.compile(r"req_[0-7][0-9A-HJKMNP-TV-Z]{25}")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Fixed(random.Random):
    """Chance that has made up its mind."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._bits = bits

    def getrandbits(self, k: int, /) -> int:
        assert k == 80
        return self._bits


def number(identifier: str) -> int:
    value = 0
    for letter in identifier.partition("_")[2]:
        value = value * 32 + ALPHABET.index(letter)
    return value


@given(SECONDS, st.integers(0))
def test_an_identifier_is_its_prefix_and_26_letters_of_crockford_s_alphabet(seconds: float, seed: int) -> None:
    assert SHAPE.fullmatch(new_id("req", seconds, random.Random(seed)))


@given(SECONDS, st.integers(0, 2**80 - 1))
def test_the_letters_are_the_milliseconds_and_then_chance(seconds: float, bits: int) -> None:
    identifier = new_id("req", seconds, Fixed(bits))
    assert number(identifier) == (int(seconds * 1000) << 80) | bits


@given(SECONDS, SECONDS, st.integers(0))
def test_identifiers_sort_by_time(one: float, other: float, seed: int) -> None:
    rng = random.Random(seed)
    first, second = sorted((one, other))
    earlier, later = new_id("req", first, rng), new_id("req", second, rng)
    if int(first * 1000) < int(second * 1000):
        assert earlier < later


def test_chance_never_reaches_into_the_time() -> None:
    assert new_id("req", 1.0, Fixed(2**80 - 1)) < new_id("req", 1.5, Fixed(0))


def test_a_known_ulid() -> None:
    # 1469918176.385 s is the moment in the specification's example, 01ARYZ6S41….
    assert new_id("req", 1469918176.385, Fixed(0)).startswith("req_01ARYZ6S41")


def test_identifiers_of_one_moment_are_unique() -> None:
    rng = random.Random(7)
    assert len({new_id("req", 1_700_000_000.0, rng) for _ in range(10_000)}) == 10_000


def test_the_same_chance_gives_the_same_identifiers() -> None:
    assert new_id("req", 5.0, random.Random(1)) == new_id("req", 5.0, random.Random(1))


@pytest.mark.parametrize("prefix", ["req", "exec", "wf"])
def test_the_prefix_says_what_it_names(prefix: str) -> None:
    assert new_id(prefix, 5.0, random.Random(1)).partition("_")[0] == prefix
