"""Single-flight beyond one process: the same laws over a folder and over Redis, each claimant with its own store."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cache_world import PATIENCE, Clock, Server

from cache import Claim, FolderStore, MemoryStore, RedisStore

LONG = 3600.0
Made = Callable[[], FolderStore | RedisStore]
_ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["folder", "redis"])
async def one_more(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncGenerator[Made]:
    """Another process's store, as far as anybody can tell."""
    made: list[FolderStore | RedisStore] = []
    words = [f"steelyard-test:{uuid.uuid4().hex}:{kind}:" for kind in ("cache", "lease")]

    def make() -> FolderStore | RedisStore:
        if request.param == "folder":
            store = FolderStore(MemoryStore(2**20, clock=clock), tmp_path, max_bytes=2**20, wall=clock)
        else:
            url: str = request.getfixturevalue("redis_url")
            store = RedisStore(url, clock=clock, timeout=10, namespace=words[0], leases=words[1])
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


async def test_one_has_the_question_and_the_others_get_its_answer(one_more: Made) -> None:
    one, two, three = one_more(), one_more(), one_more()
    assert await one.claim("key") is Claim.OURS
    assert await two.claim("key") is Claim.THEIRS
    assert await two.claim("another") is Claim.OURS
    await one.set("key", b"answer", LONG)
    assert await two.claim("key") == b"answer"
    # Neither that look nor the one before left anybody waiting.
    assert await three.claim("key") == b"answer"
    assert await two.get("key") == b"answer"


async def test_what_is_given_up_is_the_next_ones(one_more: Made) -> None:
    one, two = one_more(), one_more()
    assert await one.claim("key") is Claim.OURS
    await one.release("key")
    await one.release("key")
    assert await two.claim("key") is Claim.OURS
    # Whoever gave it up once cannot take it from the next.
    await one.release("key")
    assert await one.claim("key") is Claim.THEIRS


async def test_of_many_at_once_exactly_one_has_it_again_and_again(one_more: Made) -> None:
    stores = [one_more() for _ in range(5)]
    for number in range(20):
        claims = await asyncio.gather(*(store.claim("key") for store in stores))
        assert sorted(claim.value for claim in claims if isinstance(claim, Claim)) == ["ours"] + ["theirs"] * 4
        await stores[claims.index(Claim.OURS)].release("key")
        if number % 2:
            await asyncio.gather(*(store.release("key") for store in stores))


async def test_keys_that_no_file_is_called_are_claimed_apart(one_more: Made) -> None:
    one, two = one_more(), one_more()
    for key in ("", ".", "..", "a/b", "a\x00b", "ä|1", "a\nb"):
        assert await one.claim(key) is Claim.OURS
        assert await two.claim(key) is Claim.THEIRS
        await one.set(key, key.encode(), LONG)
        assert await two.claim(key) == key.encode()


# Only over a folder


def folder_store(folder: Path, clock: Clock, *, max_bytes: int = 2**20) -> FolderStore:
    return FolderStore(MemoryStore(2**20, clock=clock), folder, max_bytes=max_bytes, wall=clock)


_HOLDER = """
import asyncio, sys
from pathlib import Path
from cache import FolderStore, MemoryStore

async def main():
    store = FolderStore(MemoryStore(100, clock=lambda: 0.0), Path(sys.argv[1]), max_bytes=100, wall=lambda: 0.0)
    print(await store.claim("key"), flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_claim_dies_with_its_process(tmp_path: Path, clock: Clock) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, str(tmp_path), cwd=_ROOT, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"Claim.OURS\n"
    heir = folder_store(tmp_path, clock)
    assert await heir.claim("key") is Claim.THEIRS
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    assert await heir.claim("key") is Claim.OURS


async def test_an_answer_is_everybodys_for_as_long_as_it_was_to_be_kept(tmp_path: Path, clock: Clock) -> None:
    one, two = folder_store(tmp_path, clock), folder_store(tmp_path, clock)
    await one.set("key", b"answer", 60.0)
    clock.now += 50.0
    assert await two.get("key") == b"answer"
    clock.now += 11.0
    assert await two.get("key") is None
    assert await folder_store(tmp_path, clock).get("key") is None
    stats = two.stats()
    assert (stats.hits, stats.misses, stats.writes) == (1, 1, 0)


async def test_the_folder_is_bounded_and_loses_first_what_would_expire_first(tmp_path: Path, clock: Clock) -> None:
    one = folder_store(tmp_path, clock, max_bytes=100_000)
    for number in range(200):
        await one.set(f"{number}", bytes(1_000), LONG + number)
    held = sum(path.stat().st_size for path in (tmp_path / "answers").iterdir())
    assert 80_000 <= held <= 115_000
    assert await folder_store(tmp_path, clock).get("0") is None
    assert await folder_store(tmp_path, clock).get("199") == bytes(1_000)


async def test_clearing_empties_the_folder_and_forgetting_ones_own_memory_only(tmp_path: Path, clock: Clock) -> None:
    one, two = folder_store(tmp_path, clock), folder_store(tmp_path, clock)
    for key in ("m|1", "m|2", "m:8b|1"):
        await one.set(key, b"answer", LONG)
    assert await two.get("m|1") == b"answer"
    assert await one.clear("m|") == 2
    assert await two.get("m|1") == b"answer", "it has not heard of it yet"
    await one.set("m|2", b"since", LONG)
    await two.forget("m|")
    assert await two.get("m|1") is None
    assert await two.get("m|2") == b"since"
    assert await two.get("m:8b|1") == b"answer"


async def test_a_folder_that_is_gone_leaves_a_memory(tmp_path: Path, clock: Clock) -> None:
    one = folder_store(tmp_path, clock)
    for place in ("answers", "claims"):
        (tmp_path / place).rmdir()
    assert await one.claim("key") is Claim.UNKNOWN
    await one.set("key", b"answer", LONG)
    assert await one.get("key") == b"answer"
    assert one.stats().errors == 2


# Only over Redis


async def test_a_file_system_without_locks_costs_no_descriptors(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(MemoryStore(2**20, clock=clock), tmp_path, max_bytes=2**20, wall=clock)

    def refuse(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = set(os.listdir("/proc/self/fd"))
    assert [await store.claim(f"key {n}") for n in range(20)] == [Claim.UNKNOWN] * 20
    assert len(set(os.listdir("/proc/self/fd")) - before) < 20
    await store.close()


async def test_who_leaves_while_claiming_keeps_nobody_waiting(
    redis_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"steelyard-test:{uuid.uuid4().hex}:{kind}:" for kind in ("cache", "lease")]
    one, other = (RedisStore(redis_url, clock=clock, timeout=10, namespace=words[0], leases=words[1]) for _ in range(2))
    heard = asyncio.Event()
    attempt = one._attempt

    async def never_told(command: Callable[[], Awaitable[Any]]) -> Any:
        told = await attempt(command)
        if not heard.is_set():
            heard.set()
            await asyncio.Event().wait()
        return told

    monkeypatch.setattr(one, "_attempt", never_told)
    claiming = asyncio.create_task(one.claim("key"))
    await heard.wait()
    claiming.cancel()
    await asyncio.wait([claiming])
    assert claiming.cancelled()
    assert await other.claim("key") is Claim.OURS
    await other.release("key")
    await one.close()
    await other.close()


async def test_a_claim_costs_one_trip_and_giving_it_back_with_the_answer_none(server: Server, clock: Clock) -> None:
    one = RedisStore(server.url(), clock=clock, timeout=10)
    await one.get("key")
    trips = counting(one)
    assert await one.claim("key") is Claim.OURS
    assert trips() == 1
    await one.set("key", b"answer", LONG)
    assert trips() == 2
    await one.release("key")
    assert trips() == 2
    assert b":0" in server.ask("EXISTS", "steelyard:lease:key")
    await one.close()


def counting(store: RedisStore) -> Callable[[], int]:
    """How often the store has asked Redis something since."""
    asked = 0
    attempt = store._attempt

    async def count(command: Callable[[], object]) -> object:
        nonlocal asked
        asked += 1
        return await attempt(command)  # pyright: ignore[reportArgumentType] - whatever it was given

    store._attempt = count  # pyright: ignore[reportAttributeAccessIssue] - stands in for it
    return lambda: asked


async def test_the_claim_of_a_process_that_is_gone_expires_and_that_of_a_living_one_does_not(
    server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.redis._LEASE", 0.6)
    living, dead, heir = (RedisStore(server.url(), clock=clock, timeout=10) for _ in range(3))
    assert await living.claim("living") is Claim.OURS
    assert await dead.claim("dead") is Claim.OURS
    await dead.close()  # it renews no more, as if it were dead
    give_up = time.monotonic() + PATIENCE
    while (claim := await heir.claim("dead")) is Claim.THEIRS:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)
    assert claim is Claim.OURS
    # As long again, by Redis's own clock: a lease that nobody renews, and expires after the other would have.
    server.ask("SET", "witness", "1", "PX", "1200")
    while b"$1" in server.ask("GET", "witness"):
        assert await heir.claim("living") is Claim.THEIRS
        await asyncio.sleep(0.05)
    await living.release("living")
    assert await heir.claim("living") is Claim.OURS
    for store in (living, heir):
        await store.close()


async def test_without_redis_nobody_waits(server: Server, clock: Clock) -> None:
    one = RedisStore(server.url(), clock=clock)
    server.kill()
    assert await one.claim("key") is Claim.UNKNOWN
    assert await one.claim("key") is Claim.UNKNOWN
    await one.release("key")
    await one.close()


async def test_hits_are_told_by_where_they_were_found(one_more: Made) -> None:
    one, two = one_more(), one_more()
    await one.set("key", b"answer", LONG)
    for store in (one, two, two):
        assert await store.get("key") == b"answer"
    assert await two.get("nothing") is None
    if isinstance(one, FolderStore):
        # Found in the folder once, and from then on in memory.
        assert (one.tiers(), two.tiers()) == ({"memory": 1, "folder": 0}, {"memory": 1, "folder": 1})
    else:
        assert (one.tiers(), two.tiers()) == ({"redis": 1}, {"redis": 2})
