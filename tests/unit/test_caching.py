"""The laws of keeping answers: who may, for how long, and that a bad entry is as good as none."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import MemoryStore
from gateway.caching import LARGEST, AnswerCache, CachePolicy, Family, Kept, Plan
from gateway.catalog import Route
from gateway.exchange import Exchange, Preferences
from providers.chat import Usage

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
KEPT = Kept("prov", "m", [b'{"id":1}', b"second"], Usage(3, 4, 1), "stop", simulated=False, dropped=("seed",))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache(policy: CachePolicy | None = None, *, clock: Clock | None = None) -> AnswerCache:
    store = MemoryStore(64 * 1024 * 1024, clock=clock or Clock())
    return AnswerCache(store, policy or CachePolicy(enabled=True, ttl=60.0))


def exchange(*, principal: str = "ann", surface: str = "chat", model: str = "m", **wishes: Any) -> Exchange:
    return Exchange(
        id="req_1",
        created=1.0,
        began=1.0,
        surface=surface,
        dialect="openai",
        principal=principal,
        requested_model=model,
        stream=False,
        preferences=Preferences(**wishes),
    )


def route(**said: Any) -> Route:
    return Route("fast", (), **said)


def plan(
    one: Exchange,
    via: Route | None = None,
    *,
    body: bytes = BODY,
    policy: CachePolicy | None = None,
    family: Family = "native",
    deterministic: bool = True,
) -> Plan:
    return cache(policy).plan(body, one, via, family=family, deterministic=deterministic)


def key(**different: Any) -> str:
    found = plan(exchange(**different)).key
    assert found is not None
    return found


PREFERENCES: tuple[str | None, ...] = (None, "on", "off", "refresh")
ROUTES: tuple[bool | None, ...] = (None, True, False)
FAMILIES: tuple[Family, ...] = ("native", "drop_in")


@pytest.mark.parametrize(
    ("wish", "via", "family", "deterministic"), list(product(PREFERENCES, ROUTES, FAMILIES, (True, False)))
)
def test_the_caller_decides_else_the_route_else_the_family(
    wish: str | None, via: bool | None, family: Family, deterministic: bool
) -> None:
    if wish is not None:
        kept = wish != "off"
    elif via is not None:
        kept = via
    else:
        kept = family == "native" or deterministic
    found = plan(exchange(cache=wish), route(cache=via), family=family, deterministic=deterministic)
    assert (found.key is not None) == kept
    assert found.read == (kept and wish != "refresh")
    without_route = plan(exchange(cache=wish), None, family=family, deterministic=deterministic)
    if via is None:
        assert without_route == found


@pytest.mark.parametrize("when", ["never", "deterministic", "always"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_operator_sets_what_each_family_does_by_default(when: Any, family: Family, deterministic: bool) -> None:
    policy = CachePolicy(enabled=True, ttl=60.0, **{family: when})
    expected = {"never": False, "deterministic": deterministic, "always": True}[when]
    found = plan(exchange(), policy=policy, family=family, deterministic=deterministic)
    assert (found.key is not None) == expected


@pytest.mark.parametrize("wish", PREFERENCES)
@pytest.mark.parametrize("via", ROUTES)
def test_a_cache_switched_off_is_off_for_everyone(wish: str | None, via: bool | None) -> None:
    policy = CachePolicy(enabled=False, ttl=60.0)
    assert plan(exchange(cache=wish), route(cache=via), policy=policy) == Plan()


@pytest.mark.parametrize("wish", [None, "on", "refresh"])
def test_the_id_of_a_session_is_affinity_and_no_part_of_the_question(wish: str | None) -> None:
    # A kept session, whose earlier turns are part of the question, is the first stage's to bypass.
    assert plan(exchange(cache=wish, session_id="s"), route(cache=True)) == plan(
        exchange(cache=wish), route(cache=True)
    )


@pytest.mark.parametrize("wish", PREFERENCES)
def test_a_field_nobody_knows_is_a_bypass_whatever_anyone_wishes(wish: str | None) -> None:
    assert plan(exchange(cache=wish), route(cache=True), body=b'{"model":"m","magic":1}') == Plan()


@pytest.mark.parametrize(
    ("wish", "via", "ttl"), [(None, None, 60.0), (5.0, None, 5.0), (None, 7.0, 7.0), (5.0, 7.0, 5.0)]
)
def test_the_caller_s_lifetime_counts_else_the_route_s_else_the_operator_s(
    wish: float | None, via: float | None, ttl: float
) -> None:
    assert plan(exchange(cache_ttl=wish), route(cache_ttl=via)).ttl == ttl
    if via is None:
        assert plan(exchange(cache_ttl=wish)).ttl == ttl


@pytest.mark.parametrize(
    "different",
    [
        {"principal": "bob"},
        {"surface": "orchestrate"},
        {"model": "n"},
        {"providers": ("one",)},
        {"providers": ("one", "two")},
        {"providers": ("two", "one")},
        {"providers": ("one", "two"), "ordered": True},
        {"drop_params": True},
    ],
    ids=str,
)
def test_what_makes_another_question_makes_another_key(different: dict[str, Any]) -> None:
    assert key(**different) != key()


def test_the_order_of_providers_and_whether_it_binds_are_part_of_the_question() -> None:
    pins = [("a", "b"), ("b", "a"), ("a",), ("ab",)]
    keys = {key(providers=providers, ordered=ordered) for providers in pins for ordered in (True, False)}
    assert len(keys) == 2 * len(pins)


def test_whoever_forbids_dropping_is_not_answered_with_what_was_dropped() -> None:
    via = route(drop_params=True)
    assert plan(exchange(drop_params=False), via).key != plan(exchange(), via).key


@pytest.mark.parametrize(
    "chosen", [{"strategy": "cheapest"}, {"objective": "quality"}, {"weights": {"cost": 1.0}}], ids=str
)
def test_how_the_answerer_is_chosen_is_part_of_the_question_wherever_it_is_said(chosen: dict[str, Any]) -> None:
    assert key(**chosen) != key()


@pytest.mark.parametrize("same", [{"timeout": 3.0}, {"cache_ttl": 9.0}, {"cache": "on"}, {"cache": "refresh"}], ids=str)
def test_how_long_one_waits_or_keeps_is_no_part_of_the_question(same: dict[str, Any]) -> None:
    assert key(**same) == key()


# Keeping


async def test_what_is_kept_comes_back_whole() -> None:
    answers = cache()
    chosen = answers.plan(BODY, exchange(), None, family="native", deterministic=True)
    assert await answers.get(chosen) is None
    await answers.keep(chosen, KEPT)
    assert await answers.get(chosen) == KEPT


async def test_an_answer_lives_as_long_as_its_plan_says() -> None:
    clock = Clock()
    answers = cache(clock=clock)
    chosen = Plan("key", read=True, ttl=5.0)
    await answers.keep(chosen, KEPT)
    clock.now = 4.9
    assert await answers.get(chosen) == KEPT
    clock.now = 5.0
    assert await answers.get(chosen) is None


async def test_a_refresh_reads_nothing_and_replaces_what_is_kept() -> None:
    answers = cache()
    usual = answers.plan(BODY, exchange(), None, family="native", deterministic=True)
    refresh = answers.plan(BODY, exchange(cache="refresh"), None, family="native", deterministic=True)
    await answers.keep(usual, KEPT)
    assert await answers.get(refresh) is None
    newer = msgspec.structs.replace(KEPT, pieces=[b"newer"])
    await answers.keep(refresh, newer)
    assert await answers.get(usual) == newer


async def test_a_bypass_neither_reads_nor_writes() -> None:
    answers = cache()
    await answers.keep(Plan(), KEPT)
    assert await answers.get(Plan()) is None
    stats = answers.store.stats()
    assert (stats.hits, stats.misses, stats.writes) == (0, 0, 0)


@pytest.mark.parametrize(("size", "kept"), [(LARGEST, True), (LARGEST + 1, False)])
async def test_an_answer_too_large_is_not_kept(size: int, kept: bool) -> None:
    answers = cache()
    chosen = Plan("key", read=True, ttl=60.0)
    half = size // 2
    await answers.keep(chosen, msgspec.structs.replace(KEPT, pieces=[b"x" * half, b"y" * (size - half)]))
    assert (await answers.get(chosen) is not None) == kept


async def _found(stored: bytes) -> Kept | None:
    answers = cache()
    await answers.store.set("key", stored, 60.0)
    return await answers.get(Plan("key", read=True, ttl=60.0))


STORED = msgspec.msgpack.encode(KEPT)


@pytest.mark.parametrize(
    "stored",
    [b"", b"\x00", b"null", b'{"provider":"p"}', STORED[:-1], STORED[:1], b"\x97", b"\xc1", msgspec.msgpack.encode({})],
)
async def test_a_corrupted_entry_is_a_miss(stored: bytes) -> None:
    assert await _found(stored) is None


def _missed(stored: bytes) -> None:
    found = asyncio.run(_found(stored))
    assert found is None or isinstance(found, Kept)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_never_an_error(stored: bytes) -> None:
    _missed(stored)


def test_an_entry_whose_text_is_no_text_is_a_miss() -> None:
    _missed(STORED.replace(b"prov", b"\xff\xff\xff\xff"))


@given(st.integers(0, len(STORED) - 1), st.integers(0, 127))
def test_no_single_broken_byte_is_an_error(position: int, value: int) -> None:
    # Values above 127 break text: `test_an_entry_whose_text_is_no_text_is_a_miss`.
    _missed(STORED[:position] + bytes([value]) + STORED[position + 1 :])
