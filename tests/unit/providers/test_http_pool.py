"""The pool: what is kept, how many there may be, and who is next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from providers.http.connection import Connection
from providers.http.pool import Pool
from providers.http.target import Peer, head_of, target_of
from tests.unit.providers.test_http_fuzz import Wire, head

A, B = Peer("http", "a", 80, None), Peer("http", "b", 80, None)
OK = head(200, [], "content-length: 0")


class Ending(Wire):
    """One whose end is told, as a loop tells it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)


class Far:
    """Dials nothing: hands out connections on wires that go nowhere, when it is let."""

    def __init__(self) -> None:
        self.dialled: list[Peer] = []
        self.fails: Exception | None = None
        self.let = asyncio.Event()
        self.let.set()

    async def dial(self, peer: Peer, made: Callable[[], Connection]) -> Connection:
        self.dialled.append(peer)
        await self.let.wait()
        if self.fails is not None:
            raise self.fails
        connection = made()
        connection.connection_made(Ending(connection))
        return connection


def pool_of(far: Far, *, most: int = 10, most_per_peer: int = 10, keep_s: float = 60.0) -> Pool:
    return Pool(far.dial, most=most, most_per_peer=most_per_peer, keep_s=keep_s)


def answer(connection: Connection) -> None:
    connection.ask(b"POST / HTTP/1.1\r\n\r\n", b"")
    connection.data_received(OK)


async def soon(work: asyncio.Task[tuple[Connection, bool]]) -> Connection:
    return (await asyncio.wait_for(work, 10))[0]


async def test_the_last_one_used_is_used_next() -> None:
    far = Far()
    pool = pool_of(far)
    one, two = (await pool.fresh(A))[0], (await pool.fresh(A))[0]
    answer(one)
    answer(two)
    assert pool.busy == 0
    assert pool.idle(A) is two
    assert pool.idle(A) is one
    assert (pool.idle(A), pool.idle(B), pool.busy) == (None, None, 2)


async def test_whoever_finds_no_room_waits_in_order_and_gets_what_is_freed() -> None:
    far = Far()
    pool = pool_of(far, most_per_peer=1)
    held, _ = await pool.fresh(A)
    first, second = (asyncio.create_task(pool.fresh(A)) for _ in range(2))
    await asyncio.sleep(0)
    answer(held)
    assert await asyncio.wait_for(first, 10) == (held, True)
    assert not second.done()
    answer(held)
    assert await asyncio.wait_for(second, 10) == (held, True)
    assert far.dialled == [A]


async def test_a_connection_that_ends_makes_room() -> None:
    far = Far()
    pool = pool_of(far, most=1)
    held, _ = await pool.fresh(A)
    waiting = asyncio.create_task(pool.fresh(B))
    await asyncio.sleep(0)
    held.abort()
    assert await soon(waiting) is not held
    assert far.dialled == [A, B]
    assert pool.busy == 1


async def test_an_idle_one_is_closed_for_another_peer() -> None:
    far = Far()
    pool = pool_of(far, most=1)
    held, _ = await pool.fresh(A)
    answer(held)
    other, _ = await asyncio.wait_for(pool.fresh(B), 10)
    assert held.closed
    assert not other.closed
    await asyncio.sleep(0)
    assert pool.idle(A) is None
    assert pool.busy == 1


async def test_a_waiter_who_leaves_gives_its_turn_to_the_next() -> None:
    far = Far()
    pool = pool_of(far, most_per_peer=1)
    held, _ = await pool.fresh(A)
    leaver, stayer = (asyncio.create_task(pool.fresh(A)) for _ in range(2))
    await asyncio.sleep(0)
    answer(held)  # the leaver's turn has come, and it has not noticed
    leaver.cancel()
    assert await soon(stayer) is held
    with pytest.raises(asyncio.CancelledError):
        await leaver
    gone = asyncio.create_task(pool.fresh(A))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    answer(held)
    assert pool.busy == 0


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_dial_that_fails_leaves_no_place_taken(cancelled: bool) -> None:
    far = Far()
    pool = pool_of(far, most_per_peer=1)
    far.let.clear()
    dialling = asyncio.create_task(pool.fresh(A))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(pool.fresh(A))
    await asyncio.sleep(0)
    if cancelled:
        dialling.cancel()
    else:
        far.fails = OSError("no")
        far.let.set()
    with pytest.raises((asyncio.CancelledError, OSError)):
        await dialling
    far.fails = None
    far.let.set()
    if cancelled:
        await soon(waiting)
    else:
        await asyncio.gather(waiting, return_exceptions=True)
    assert pool.busy == (1 if cancelled or waiting.exception() is None else 0)
    assert len(far.dialled) == 2


async def test_what_nobody_needs_is_closed_in_time_and_what_is_used_stays() -> None:
    far = Far()
    pool = pool_of(far, keep_s=0.05)
    old, _ = await pool.fresh(A)
    answer(old)
    async with asyncio.timeout(10):
        while not old.closed:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(0.005)
    assert pool.idle(A) is None
    fresh, _ = await pool.fresh(A)
    answer(fresh)
    assert pool.idle(A) is fresh
    await asyncio.sleep(0.12)
    assert not fresh.closed


async def test_closing_ends_all_and_those_who_come_later() -> None:
    far = Far()
    pool = pool_of(far)
    used, idle = (await pool.fresh(A))[0], (await pool.fresh(A))[0]
    answer(idle)
    far.let.clear()
    dialling = asyncio.create_task(pool.fresh(A))
    await asyncio.sleep(0)
    pool.close()
    far.let.set()
    late = await soon(dialling)
    assert (used.closed, idle.closed, late.closed) == (True, True, True)
    await asyncio.sleep(0)
    assert pool.busy == 0


@pytest.mark.parametrize(
    ("url", "proxy", "path", "host"),
    [
        ("http://a", None, "/", "a"),
        ("http://a:8080/v1?x=1", None, "/v1?x=1", "a:8080"),
        ("https://a:443/v1/é b", None, "/v1/%C3%A9%20b", "a"),
        ("http://[::1]:81/x%20y", None, "/x%20y", "[::1]:81"),
        ("http://münchen.example/", None, "/", "xn--mnchen-3ya.example"),
        ("http://a/v1#part", "http://p:3128", "http://a/v1", "a"),
        ("https://a/v1", "http://p:3128", "/v1", "a"),
    ],
)
def test_what_is_asked_for(url: str, proxy: str | None, path: str, host: str) -> None:
    target = target_of(url, proxy)
    assert (target.path, target.host, target.peer.proxy) == (path, host, proxy)


def test_credentials_of_a_url_are_a_header_unless_the_call_has_one() -> None:
    target = target_of("http://user:p%40ss@a/", None)
    assert b"authorization: Basic dXNlcjpwQHNz" in head_of("POST", target, ())
    own = head_of("POST", target, (("Authorization", "Bearer x"),))
    assert own.lower().count(b"authorization") == 1
    assert b"Bearer x" in own


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", "a\nb"), ("x", "a\r\nb: c"), ("x", "a\0"), ("x y", "a"), ("x:", "a"), ("", "a"), ("x\r\ny", "a")],
)
def test_no_header_ends_early(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        head_of("POST", target_of("http://a/", None), ((name, value),))


async def test_those_who_wait_for_a_connection_are_counted() -> None:
    pool = pool_of(Far(), most_per_peer=1)
    connection = (await pool.fresh(A))[0]
    waiting = [asyncio.create_task(pool.fresh(A)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (pool.busy, pool.waiting) == (1, 2)
    answer(connection)
    assert await soon(waiting[0]) is connection
    assert pool.waiting == 1
    waiting[1].cancel()
    await asyncio.wait([waiting[1]])
    assert pool.waiting == 0
