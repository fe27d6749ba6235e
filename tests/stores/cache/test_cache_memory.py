"""The laws of the store in memory: its bound, and who goes first."""

from __future__ import annotations

import pytest
from cache_world import Clock
from hypothesis import given
from hypothesis import strategies as st

from cache import MemoryStore

LONG = 3600.0
KEYS = st.sampled_from("abcdefgh")
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["get", "set", "clear", "wait"]), KEYS, st.integers(0, 400), st.floats(0.5, 30)),
    max_size=60,
)


async def _cost() -> int:
    """What one entry with a key of one letter and a value of 100 bytes counts for."""
    store = MemoryStore(10_000, clock=Clock())
    await store.set("a", b"x" * 100, LONG)
    counted = store.stats().bytes
    assert counted
    return counted


async def _kept(store: MemoryStore, keys: str) -> str:
    return "".join([key for key in keys if await store.get(key) is not None])


async def test_an_entry_counts_for_more_than_its_bytes() -> None:
    assert await _cost() > 101


async def test_the_least_recently_set_goes_first() -> None:
    store = MemoryStore(3 * await _cost(), clock=Clock())
    for key in "abcd":
        await store.set(key, b"x" * 100, LONG)
    assert await _kept(store, "abcd") == "bcd"
    assert store.stats().evictions == 1


async def test_a_read_makes_an_entry_recent() -> None:
    store = MemoryStore(3 * await _cost(), clock=Clock())
    for key in "abc":
        await store.set(key, b"x" * 100, LONG)
    await store.get("a")
    await store.set("d", b"x" * 100, LONG)
    assert await _kept(store, "abcd") == "acd"


async def test_an_overwrite_makes_an_entry_recent() -> None:
    store = MemoryStore(3 * await _cost(), clock=Clock())
    for key in "abcad":
        await store.set(key, b"x" * 100, LONG)
    assert await _kept(store, "abcd") == "acd"


async def test_a_large_entry_pushes_out_as_many_as_it_needs() -> None:
    store = MemoryStore(4 * await _cost(), clock=Clock())
    for key in "abcd":
        await store.set(key, b"x" * 100, LONG)
    await store.set("e", b"x" * (100 + await _cost()), LONG)
    assert await _kept(store, "abcde") == "cde"
    assert store.stats().evictions == 2


async def test_what_is_larger_than_the_bound_pushes_nobody_out() -> None:
    store = MemoryStore(2 * await _cost(), clock=Clock())
    await store.set("a", b"x" * 100, LONG)
    await store.set("b", b"x" * 10_000, LONG)
    assert await _kept(store, "ab") == "a"
    assert (store.stats().evictions, store.stats().writes) == (0, 1)


async def test_an_overwrite_too_large_to_keep_leaves_no_old_answer_behind() -> None:
    store = MemoryStore(2 * await _cost(), clock=Clock())
    await store.set("a", b"x" * 100, LONG)
    await store.set("a", b"y" * 10_000, LONG)
    assert await store.get("a") is None
    assert (store.stats().entries, store.stats().bytes) == (0, 0)


async def test_a_value_lives_to_its_last_moment_and_no_longer() -> None:
    clock = Clock()
    store = MemoryStore(10_000, clock=clock)
    await store.set("a", b"x", 10.0)
    clock.now += 9.999
    assert await store.get("a") == b"x"
    clock.now += 0.001
    assert await store.get("a") is None
    assert store.stats().entries == 0


async def test_closing_forgets_everything() -> None:
    store = MemoryStore(10_000, clock=Clock())
    await store.set("a", b"x", LONG)
    await store.close()
    assert (store.stats().entries, store.stats().bytes) == (0, 0)
    assert await store.get("a") is None


@given(operations=OPERATIONS, entries=st.integers(0, 4))
async def test_the_bound_holds_and_every_byte_is_accounted_for(
    operations: list[tuple[str, str, int, float]], entries: int
) -> None:
    clock = Clock()
    bound = entries * 500
    store = MemoryStore(bound, clock=clock)
    #: The last value set under each key and when it ends: what the store may answer, if anything.
    truth: dict[str, tuple[float, bytes]] = {}
    for action, key, size, seconds in operations:
        if action == "set":
            truth[key] = (clock.now + seconds, bytes([size % 256]) * size)
            await store.set(key, truth[key][1], seconds)
        elif action == "get":
            found = await store.get(key)
            assert found is None or (key in truth and truth[key][0] > clock.now and truth[key][1] == found)
        elif action == "clear":
            truth.pop(key, None)
            await store.clear(key)
            assert await store.get(key) is None
        else:
            clock.now += seconds
        counted, held = store.stats().bytes, store.stats().entries
        assert counted is not None
        assert held is not None
        assert 0 <= counted <= bound
        assert (counted == 0) == (held == 0)
    stats = store.stats()
    assert await store.clear() == stats.entries
    assert store.stats().bytes == 0


@pytest.mark.parametrize("bound", [0, 1, 100])
async def test_a_bound_too_small_for_anything_keeps_nothing(bound: int) -> None:
    store = MemoryStore(bound, clock=Clock())
    await store.set("a", b"", LONG)
    assert await store.get("a") is None
    assert store.stats().bytes == 0
