"""Whoever may name a host must not thereby reach what only this machine reaches, whatever the name leads to."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from providers.errors import Misconfigured
from providers.reach import Reach
from providers.transport import Timeouts, Transport

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
PRIVATE = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    # IPv4 within IPv6: mapped, compatible, NAT64, 6to4, Teredo
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::a00:1", "2002:7f00:1::1", "2002:a00:1::", "2001:0:7f00:1::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert Reach().may("api.example.org", address)


@pytest.mark.parametrize("address", [*PRIVATE, "", "nonsense", "127.1", "0x7f000001"])
def test_others_are_not(address: str) -> None:
    assert not Reach(hosts=["api.example.org", "*"]).may("api.example.org", address)


def test_networks_that_are_named_are_reached() -> None:
    reach = Reach(["10.1.0.0/16", "fd00::/8"])
    assert reach.may("a", "10.1.255.1")
    assert reach.may("a", "::ffff:10.1.255.1")
    assert reach.may("a", "fd00:ec2::254")
    assert not reach.may("a", "10.2.0.1")
    with pytest.raises(ValueError, match=r"10\.1\.0\.1"):
        Reach(["10.1.0.1/16"])


def test_an_address_that_is_named_itself_is_reached_and_no_name_that_leads_there() -> None:
    reach = Reach(hosts=["127.0.0.1:8080", "localhost", "intranet.example.org", "10.*"])
    assert reach.may("127.0.0.1", "127.0.0.1")
    assert reach.may("localhost", "::1")
    for host, address in (("127.0.0.2", "127.0.0.2"), ("intranet.example.org", "127.0.0.1"), ("10.0.0.1", "10.0.0.1")):
        assert not reach.may(host, address)


class Resolver:
    """Leads a name to one address after the other."""

    def __init__(self, *addresses: str) -> None:
        self.known = addresses
        self.asked = 0

    async def addresses(self, _host: str, port: int) -> list[Any]:
        self.asked += 1
        found = self.known[min(self.asked, len(self.known)) - 1]
        family = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (found, port))]


async def opened(monkeypatch: pytest.MonkeyPatch, url: str, *addresses: str, **given: Any) -> list[str]:
    """To which addresses a request to `url` connected. Raises what the transport raises."""
    resolver, connected = Resolver(*addresses), list[str]()

    async def connect(infos: list[Any], **_: object) -> socket.socket:
        connected.extend(info[4][0] for info in infos)
        raise ConnectionRefusedError

    monkeypatch.setattr("providers.http.dialing.start_connection", connect)
    monkeypatch.setattr("providers.http.dialing.Names", lambda: resolver)
    transport = Transport(trust_env=False, **given)
    try:
        async with transport.open("GET", url, {}, None, Timeouts(), deadline=None):
            pass
    except Misconfigured:
        raise
    except Exception:  # noqa: BLE001 - nobody listens there
        return connected
    finally:
        await transport.close()
    return connected


@pytest.mark.parametrize("url", ["http://api.example.org/", "https://api.example.org/", "http://2130706433/"])
def test_a_name_that_leads_inside_is_not_connected_to(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for address in ("127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"):
        with pytest.raises(Misconfigured, match="may not be reached"):
            asyncio.run(opened(monkeypatch, url, address, reach=Reach()))


def test_what_is_connected_to_is_what_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    # DNS rebinding: the second answer leads inside. There is no second question.
    found = asyncio.run(opened(monkeypatch, "http://api.example.org/", "8.8.8.8", "127.0.0.1", reach=Reach()))
    assert found == ["8.8.8.8"]


def test_providers_are_the_operators_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(opened(monkeypatch, "http://ollama.internal/", "10.0.0.1")) == ["10.0.0.1"]
