"""The laws of wrong keys: mistakes are told at once, guesses late, and nobody pays for another's."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.errors import TooManyWrongKeys, Unauthorized
from gateway.governance.entrance import Entrance
from gateway.governance.guessing import Guesses, network
from gateway.governance.keys import Principal, Principals


class Paused:
    """A clock that stands until it is moved, and how long was waited by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waited: list[float] = []
        self.counts: Counter[str] = Counter()

    def guesses(self, a_minute: int = 6) -> Guesses:
        def count(how: str) -> None:
            self.counts[how] += 1

        async def pause(seconds: float) -> None:
            self.waited.append(seconds)
            await asyncio.sleep(0)

        return Guesses(a_minute, monotonic=lambda: self.now, counted=count, pause=pause)


@pytest.fixture
def paused() -> Paused:
    return Paused()


def throttled(guesses: Guesses, address: str = "10.0.0.1") -> float | None:
    """The seconds to wait; None: it may have been a mistake."""
    try:
        guesses.wrong(address)
    except TooManyWrongKeys as exc:
        return exc.retry_after
    return None


def test_some_wrong_keys_are_mistakes_and_more_are_guesses(paused: Paused) -> None:
    guesses = paused.guesses(6)
    assert [throttled(guesses) for _ in range(6)] == [None] * 6
    assert throttled(guesses) is not None
    assert paused.counts == {"refused": 6, "throttled": 1}


def test_what_is_said_of_the_wait_is_true(paused: Paused) -> None:
    guesses = paused.guesses(6)
    for _ in range(6):
        guesses.wrong("10.0.0.1")
    wait = throttled(guesses) or 0.0
    assert wait == pytest.approx(10.0)
    paused.now += wait - 0.01
    assert throttled(guesses) == pytest.approx(0.01)
    paused.now += 0.02
    assert throttled(guesses) is None


def test_after_a_quiet_minute_all_is_forgiven(paused: Paused) -> None:
    guesses = paused.guesses(6)
    while throttled(guesses) is None:
        pass
    paused.now += 61
    assert [throttled(guesses) for _ in range(6)] == [None] * 6


def test_one_address_does_not_pay_for_another(paused: Paused) -> None:
    guesses = paused.guesses(2)
    while throttled(guesses, "10.0.0.1") is None:
        pass
    assert throttled(guesses, "10.0.0.2") is None


def test_a_customer_of_ipv6_is_one_address(paused: Paused) -> None:
    guesses = paused.guesses(2)
    assert [throttled(guesses, f"2001:db8::{one}") for one in range(3)][:2] == [None, None]
    assert throttled(guesses, "2001:db8::ffff") is not None
    assert throttled(guesses, "2001:db8:0:1::1") is None


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_who_an_address_is(address: str, told: str) -> None:
    assert network(address) == told


def test_memory_is_bounded_and_keeps_who_guesses_most_recently(paused: Paused) -> None:
    guesses = paused.guesses(1)
    for number in range(6_000):
        guesses.wrong(f"10.0.{number // 256}.{number % 256}")
    assert len(guesses._levels) == 4_096
    assert throttled(guesses, "10.0.23.111") is not None  # the last
    assert throttled(guesses, "10.0.0.0") is None  # forgotten


def test_it_can_be_switched_off(paused: Paused) -> None:
    guesses = paused.guesses(0)
    assert [throttled(guesses) for _ in range(500)] == [None] * 500
    assert paused.counts == {"refused": 500}


async def test_answers_are_late_but_only_so_many_at_a_time(paused: Paused) -> None:
    guesses = paused.guesses()
    await asyncio.gather(*(guesses.linger() for _ in range(200)))
    assert paused.waited == [1.0] * 64
    await guesses.linger()
    assert len(paused.waited) == 65


def entrance(guesses: Guesses) -> Entrance:
    keys = Principals([(Principal("ann"), "key-of-ann")], None, open_to_all=False, salt=b"x" * 16, wall=lambda: 0.0)
    return Entrance(keys, None, guesses)


def test_a_right_key_is_never_affected(paused: Paused) -> None:
    door = entrance(paused.guesses(2))
    for _ in range(2):
        with pytest.raises(Unauthorized):
            door.find("wrong", "10.0.0.1")
    for _ in range(20):
        with pytest.raises(TooManyWrongKeys):
            door.find("wrong", "10.0.0.1")
        assert door.find("key-of-ann", "10.0.0.1").name == "ann"


def test_no_key_at_all_is_no_guess(paused: Paused) -> None:
    door = entrance(paused.guesses(1))
    for _ in range(5):
        with pytest.raises(Unauthorized):
            door.find(None, "10.0.0.1")
    assert not paused.counts
