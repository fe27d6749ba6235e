"""The laws of host names: looked up once for all who ask, and what was known outlives the resolver."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from typing import Any

import pytest

from providers.http import names
from providers.http.names import Names

_REAL = socket.getaddrinfo


class Resolver:
    """The system's, as it is on bad days; knows every host at 127.0.0.1."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = False
        #: Hosts of which it says nothing until it is let go.
        self.hangs: set[str] = set()
        self.let_go = threading.Event()

    def __call__(self, host: str, port: int, *arguments: Any, flags: int = 0, **named: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return _REAL(host, port, *arguments, flags=flags, **named)
        self.asked.append(host)
        if host in self.hangs:
            self.let_go.wait(30)
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Generator[Resolver]:
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.let_go.set()


async def test_many_who_ask_at_once_look_up_once_and_it_is_kept(resolver: Resolver) -> None:
    known = Names()
    found = await asyncio.gather(*(known.addresses("a.test", 443) for _ in range(5)))
    assert {one[0][4] for one in found} == {("127.0.0.1", 443)}
    await known.addresses("a.test", 443)
    assert resolver.asked == ["a.test"]


async def test_a_number_is_not_looked_up(resolver: Resolver) -> None:
    known = Names()
    assert (await known.addresses("127.0.0.1", 80))[0][4] == ("127.0.0.1", 80)
    assert (await known.addresses("::1", 80))[0][4][:2] == ("::1", 80)
    assert resolver.asked == []


async def test_a_host_that_was_never_known_cannot_be_reached_and_is_asked_for_again(resolver: Resolver) -> None:
    known = Names()
    resolver.fails = True
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await known.addresses("a.test", 443)
    resolver.fails = False
    assert await known.addresses("a.test", 443)
    assert len(resolver.asked) == 3


async def test_what_was_known_outlives_a_resolver_that_fails(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "KEPT_S", 0.0)
    known = Names()
    before = await known.addresses("a.test", 443)
    resolver.fails = True
    for _ in range(4):
        assert await known.addresses("a.test", 443) == before
    # In trouble, it is not asked by every call.
    assert len(resolver.asked) == 2


async def test_what_was_known_outlives_a_resolver_that_hangs_and_one_call_in_a_while_waits_for_it(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "KEPT_S", 0.0)
    monkeypatch.setattr(names, "_PATIENCE_S", 0.01)
    known = Names()
    before = await known.addresses("a.test", 443)
    resolver.hangs.add("a.test")
    for _ in range(4):
        assert await known.addresses("a.test", 443) == before
    monkeypatch.setattr(names, "_AGAIN_S", 0.0)
    await known.addresses("a.test", 443)
    await known.addresses("a.test", 443)
    # However often it is asked for, one thread waits for it.
    assert len(resolver.asked) == 2


async def test_after_a_day_an_old_address_is_none(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "KEPT_S", 0.0)
    monkeypatch.setattr(names, "_STALE_S", 0.0)
    known = Names()
    await known.addresses("a.test", 443)
    resolver.fails = True
    with pytest.raises(socket.gaierror):
        await known.addresses("a.test", 443)


async def test_hosts_that_hang_hold_up_no_other(resolver: Resolver) -> None:
    known = Names()
    # More than any pool of the event loop's has threads.
    resolver.hangs = {f"slow{number}.test" for number in range(40)}
    waiting = [asyncio.create_task(known.addresses(host, 443)) for host in sorted(resolver.hangs)]
    await asyncio.sleep(0)
    assert await known.addresses("quick.test", 443)
    assert not any(one.done() for one in waiting)
    resolver.let_go.set()
    await asyncio.gather(*waiting)


async def test_whoever_gives_up_takes_nothing_from_the_others(resolver: Resolver) -> None:
    known = Names()
    resolver.hangs.add("a.test")
    first, second = (asyncio.create_task(known.addresses("a.test", 443)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    resolver.let_go.set()
    assert await second
    assert resolver.asked == ["a.test"]
