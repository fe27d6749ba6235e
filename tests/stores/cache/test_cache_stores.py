"""The laws of every store: the same body, in memory and in Redis."""

from __future__ import annotations

import asyncio

import pytest
from cache_world import World

LONG = 3600.0


async def test_what_was_never_set_is_a_miss(world: World) -> None:
    assert await world.store.get("nobody") is None
    stats = world.store.stats()
    assert (stats.hits, stats.misses, stats.writes, stats.errors) == (0, 1, 0, 0)


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b"None", bytes(range(256)), b"x" * 300_000], ids=["empty", "nul", "word", "all", "large"]
)
async def test_what_is_set_comes_back_byte_for_byte(world: World, value: bytes) -> None:
    await world.store.set("key", value, LONG)
    assert await world.store.get("key") == value
    stats = world.store.stats()
    assert (stats.hits, stats.misses, stats.writes) == (1, 0, 1)


async def test_the_last_value_set_counts(world: World) -> None:
    await world.store.set("key", b"old", LONG)
    await world.store.set("key", b"new", LONG)
    assert await world.store.get("key") == b"new"
    assert await world.store.clear() == 1


async def test_keys_are_apart_to_the_letter(world: World) -> None:
    keys = ["a", "A", "a ", " a", "a\n", "a\x00", "ä", "a:", "", "日本"]
    for number, key in enumerate(keys):
        await world.store.set(key, str(number).encode(), LONG)
    assert [await world.store.get(key) for key in keys] == [str(number).encode() for number in range(len(keys))]


async def test_what_has_expired_is_a_miss(world: World) -> None:
    await world.store.set("short", b"1", 0.02)
    await world.store.set("long", b"2", LONG)
    await world.until_gone("short")
    assert await world.store.get("long") == b"2"


async def test_an_overwrite_starts_the_time_anew(world: World) -> None:
    await world.store.set("mended", b"1", 0.02)
    await world.store.set("mended", b"2", LONG)
    await world.store.set("witness", b"3", 0.04)
    await world.until_gone("witness")
    assert await world.store.get("mended") == b"2"


async def test_an_overwrite_may_shorten_the_time(world: World) -> None:
    await world.store.set("key", b"1", LONG)
    await world.store.set("key", b"2", 0.02)
    await world.until_gone("key")


async def test_a_lifetime_below_a_millisecond_is_still_a_lifetime(world: World) -> None:
    await world.store.set("key", b"1", 0.0001)
    assert world.store.stats().errors == 0
    await world.until_gone("key")


async def test_clear_drops_what_begins_with_the_prefix_and_nothing_else(world: World) -> None:
    for key in ("gpt-4o:1", "gpt-4o:2", "gpt-4o-mini:1", "claude:gpt-4o:1"):
        await world.store.set(key, b"x", LONG)
    assert await world.store.clear("gpt-4o:") == 2
    assert await world.store.get("gpt-4o:1") is None
    assert await world.store.get("gpt-4o-mini:1") == b"x"
    assert await world.store.get("claude:gpt-4o:1") == b"x"
    assert await world.store.clear("gpt-4o:") == 0


@pytest.mark.parametrize(
    ("prefix", "bystander"),
    [
        ("a*c", "abc"),
        ("a?c", "abc"),
        ("[abc]", "b"),
        ("[^x]", "b"),
        ("[a-c]", "b"),
        ("a\\*", "a*"),
        ("a\\", "a"),
        ("a]", "a"),
        ("a^b", "a b"),
        ("*", "anything"),
        ("ä*", "äb"),
    ],
)
async def test_a_wildcard_in_a_prefix_means_itself(world: World, prefix: str, bystander: str) -> None:
    await world.store.set(f"{prefix}:1", b"mine", LONG)
    await world.store.set(bystander, b"other", LONG)
    assert await world.store.clear(prefix) == 1
    assert await world.store.get(f"{prefix}:1") is None
    assert await world.store.get(bystander) == b"other"


async def test_clear_without_a_prefix_drops_everything(world: World) -> None:
    # More than Redis looks at in one SCAN step.
    for start in range(0, 1200, 200):
        await asyncio.gather(*(world.store.set(f"{number}", b"x", LONG) for number in range(start, start + 200)))
    assert await world.store.clear() == 1200
    assert await world.store.get("7") is None


async def test_many_at_once_each_get_their_own(world: World) -> None:
    keys = [f"key-{number}" for number in range(200)]
    await asyncio.gather(*(world.store.set(key, key.encode(), LONG) for key in keys))
    assert await asyncio.gather(*(world.store.get(key) for key in keys)) == [key.encode() for key in keys]
    assert world.store.stats().errors == 0


async def test_a_working_store_says_so(world: World) -> None:
    assert await world.store.ping()
    stats = world.store.stats()
    assert stats.healthy
    assert stats.last_error is None


async def test_closing_may_be_repeated(world: World) -> None:
    await world.store.set("key", b"x", LONG)
    await world.store.close()
    await world.store.close()
