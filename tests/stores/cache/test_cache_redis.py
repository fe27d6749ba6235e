"""The laws of the store in Redis: a slow, absent or hostile server slows nobody and fails nobody."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from cache_world import PATIENCE, Clock, Server

from cache import RedisStore

LONG = 3600.0


async def test_a_killed_server_is_a_counted_miss(server: Server, redis_store: RedisStore) -> None:
    await redis_store.set("key", b"x", LONG)
    server.kill()
    assert await redis_store.get("key") is None
    stats = redis_store.stats()
    assert (stats.misses, stats.errors, stats.healthy) == (1, 1, False)
    assert stats.last_error


async def test_a_server_that_never_was_is_a_counted_miss(server: Server, redis_store: RedisStore) -> None:
    server.kill()
    await redis_store.set("key", b"x", LONG)
    assert await redis_store.get("key") is None
    assert not await redis_store.ping()
    stats = redis_store.stats()
    assert (stats.misses, stats.writes, stats.errors) == (1, 0, 3)


async def test_during_the_pause_nobody_asks_the_server(server: Server, redis_store: RedisStore) -> None:
    server.kill()
    await redis_store.get("key")
    server.start()
    before = server.commands()
    for _ in range(10):
        assert await redis_store.get("key") is None
        await redis_store.set("key", b"x", LONG)
    # The operator's own question is the one command more.
    assert server.commands() == before + 1
    assert redis_store.stats().errors == 21


async def test_a_restarted_server_is_used_again_after_the_pause(
    server: Server, redis_store: RedisStore, clock: Clock
) -> None:
    server.kill()
    await redis_store.get("key")
    server.start()
    clock.now += 0.5
    await redis_store.set("key", b"x", LONG)
    assert await redis_store.get("key") == b"x"
    stats = redis_store.stats()
    assert (stats.healthy, stats.last_error) == (True, None)


async def test_a_restart_between_two_commands_costs_at_most_a_miss(
    server: Server, redis_store: RedisStore, clock: Clock
) -> None:
    await redis_store.set("key", b"x", LONG)
    server.kill()
    server.start()
    # Its pooled connection is dead: one command may be lost on noticing.
    await redis_store.set("key", b"y", LONG)
    clock.now += 0.5
    await redis_store.set("key", b"z", LONG)
    assert await redis_store.get("key") == b"z"
    assert redis_store.stats().errors <= 1


async def test_the_pause_doubles_up_to_ten_seconds_and_starts_small_again(
    server: Server, redis_store: RedisStore, clock: Clock
) -> None:
    server.kill()
    await redis_store.get("key")
    for pause in (0.5, 1, 2, 4, 8, 10, 10):
        server.start()
        before = server.commands()
        clock.now += pause - 0.001
        await redis_store.get("key")
        assert server.commands() == before + 1, f"it was asked before {pause} s had passed"
        server.kill()
        clock.now += 0.001
        await redis_store.get("key")
    server.start()
    assert await redis_store.ping()
    server.kill()
    await redis_store.get("key")
    server.start()
    clock.now += 0.5
    await redis_store.set("key", b"x", LONG)
    assert await redis_store.get("key") == b"x"


async def test_ping_asks_pause_or_not_and_ends_it(server: Server, redis_store: RedisStore) -> None:
    server.kill()
    await redis_store.get("key")
    server.start()
    assert await redis_store.ping()
    await redis_store.set("key", b"x", LONG)
    assert await redis_store.get("key") == b"x"


async def test_a_frozen_server_is_a_counted_miss(server: Server, redis_store: RedisStore) -> None:
    await redis_store.set("key", b"x", LONG)
    server.freeze()
    # The server stays frozen: an answer at all is proof of a timeout.
    async with asyncio.timeout(PATIENCE):
        assert await redis_store.get("key") is None
    assert redis_store.stats().errors == 1
    assert redis_store.stats().misses == 1


async def test_one_probes_a_frozen_server_while_the_others_are_answered_at_once(
    server: Server, redis_store: RedisStore, clock: Clock
) -> None:
    await redis_store.set("key", b"x", LONG)
    server.freeze()
    await redis_store.get("key")
    clock.now += 0.5
    order: list[str] = []

    async def ask(name: str) -> None:
        assert await redis_store.get("key") is None
        order.append(name)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for name in ("probe", "second", "third"):
            group.create_task(ask(name))
    assert order == ["second", "third", "probe"]


async def test_a_thawed_server_is_used_again_and_answers_the_right_question(
    server: Server, redis_store: RedisStore, clock: Clock
) -> None:
    await redis_store.set("one", b"1", LONG)
    await redis_store.set("two", b"2", LONG)
    server.freeze()
    assert await redis_store.get("one") is None
    server.thaw()
    clock.now += 0.5
    # The answer to the abandoned question must not be taken for this one's.
    assert await redis_store.get("two") == b"2"
    assert await redis_store.get("one") == b"1"


async def test_a_cancelled_get_leaves_its_answer_to_nobody(server: Server, clock: Clock) -> None:
    store = RedisStore(server.url(), clock=clock, timeout=PATIENCE, max_connections=1)
    await store.set("one", b"1", LONG)
    await store.set("two", b"2", LONG)
    server.freeze()
    asking = asyncio.create_task(store.get("one"))
    for _ in range(20):
        await asyncio.sleep(0)  # the command is on its way
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    server.thaw()
    assert await store.get("two") == b"2"
    assert await store.get("one") == b"1"
    assert store.stats().errors == 0
    await store.close()


async def test_waiting_for_a_connection_counts_towards_the_timeout(server: Server, clock: Clock) -> None:
    timeout = 0.8
    store = RedisStore(server.url(), clock=clock, timeout=timeout, max_connections=1)
    await store.set("key", b"x", LONG)
    server.freeze()
    loop = asyncio.get_running_loop()
    order: list[str] = []
    first = asyncio.create_task(store.get("key"))
    arrived = loop.create_future()
    loop.call_later(0.3 * timeout, arrived.set_result, None)
    await arrived
    second = asyncio.create_task(store.get("key"))
    second.add_done_callback(lambda _: order.append("answer"))
    # Set at the same moment as the question, half a timeout later than its answer is due.
    late = loop.create_future()
    loop.call_later(1.5 * timeout, late.set_result, None)
    late.add_done_callback(lambda _: order.append("half a timeout too late"))
    await asyncio.gather(first, second, late)
    assert order[0] == "answer"
    await store.close()


async def test_a_wrong_password_is_a_counted_miss_and_appears_nowhere(guarded_server: Server, clock: Clock) -> None:
    store = RedisStore(guarded_server.url("hunter2-secret"), clock=clock)
    assert await store.get("key") is None
    assert not await store.ping()
    with pytest.raises(ConnectionError) as caught:
        await store.clear()
    stats = store.stats()
    assert stats.errors == 2
    assert "hunter2" not in f"{stats} {stats.last_error} {caught.value} {caught.value.__cause__!r}"
    await store.close()


async def test_an_unreachable_server_with_a_password_tells_nobody_the_password(server: Server, clock: Clock) -> None:
    server.kill()
    store = RedisStore(server.url("hunter2-secret"), clock=clock)
    await store.get("key")
    assert "hunter2" not in str(store.stats())
    with pytest.raises(ConnectionError) as caught:
        await store.clear()
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}"
    await store.close()


async def test_the_right_password_opens(guarded_server: Server, clock: Clock) -> None:
    store = RedisStore(guarded_server.url("correct-horse"), clock=clock)
    await store.set("key", b"x", LONG)
    assert await store.get("key") == b"x"
    await store.close()


async def test_clearing_an_absent_server_is_an_error_of_ours(server: Server, redis_store: RedisStore) -> None:
    server.kill()
    with pytest.raises(ConnectionError, match="could not be cleared"):
        await redis_store.clear()


async def test_a_server_that_refuses_writes_is_still_read(server: Server, redis_store: RedisStore) -> None:
    await redis_store.set("key", b"x", LONG)
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    await redis_store.set("other", b"y", LONG)
    assert redis_store.stats().errors == 1
    assert await redis_store.get("key") == b"x"


async def test_another_program_s_value_under_our_key_is_a_miss_for_that_key_only(
    server: Server, redis_store: RedisStore
) -> None:
    await redis_store.set("mine", b"x", LONG)
    server.ask("RPUSH", "steelyard:cache:theirs", "x")
    assert await redis_store.get("theirs") is None
    assert redis_store.stats().errors == 1
    assert await redis_store.get("mine") == b"x"


async def test_what_is_asked_for_at_once_is_one_command(server: Server, redis_store: RedisStore) -> None:
    keys = [str(number) for number in range(20)]
    for key in keys[:-1]:
        await redis_store.set(key, key.encode(), LONG)
    server.ask("RPUSH", "steelyard:cache:theirs", "x")
    before = server.commands()
    found = await asyncio.gather(*map(redis_store.get, [*keys, "theirs", "0"]))
    assert found == [*(key.encode() for key in keys[:-1]), None, None, b"0"]
    # The operator's own question is the one command more.
    assert server.commands() == before + 2
    stats = redis_store.stats()
    assert (stats.hits, stats.misses, stats.errors) == (20, 2, 0)


async def test_during_the_pause_those_who_ask_at_once_are_counted_each(server: Server, redis_store: RedisStore) -> None:
    server.kill()
    assert await asyncio.gather(*map(redis_store.get, "abc")) == [None] * 3
    assert (redis_store.stats().misses, redis_store.stats().errors) == (3, 1)
    assert await asyncio.gather(*map(redis_store.get, "abc")) == [None] * 3
    assert (redis_store.stats().misses, redis_store.stats().errors) == (6, 4)


async def test_namespaces_are_apart(server: Server, clock: Clock) -> None:
    ours = RedisStore(server.url(), clock=clock, namespace="ours:")
    theirs = RedisStore(server.url(), clock=clock, namespace="theirs:")
    await ours.set("key", b"ours", LONG)
    await theirs.set("key", b"theirs", LONG)
    assert await ours.clear() == 1
    assert await theirs.get("key") == b"theirs"
    await ours.close()
    await theirs.close()


@pytest.mark.parametrize(("path", "database"), [("", 3), ("/5", 5)])
async def test_the_database_given_counts_where_the_url_names_none(
    server: Server, clock: Clock, path: str, database: int
) -> None:
    store = RedisStore(server.url().removesuffix("/0") + path, clock=clock, db=3)
    await store.set("key", b"x", LONG)
    assert f"db{database}:keys=1".encode() in server.ask("INFO", "keyspace")
    await store.close()


async def test_a_unix_socket_serves_as_well(server: Server, clock: Clock) -> None:
    store = RedisStore(f"unix://{server.socket}", clock=clock)
    await store.set("key", b"x", LONG)
    assert await store.get("key") == b"x"
    await store.close()
