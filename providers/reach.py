"""Which addresses a call may lead to, where its URL is not the operator's own: public ones, and those he has named.

Law: it is the address that is connected to which is judged, not the name: a name may lead to a cloud's metadata service
or a database's console, and may lead elsewhere at each lookup (DNS rebinding). An IPv6 address that stands for an IPv4
one (mapped, 6to4, NAT64, Teredo) is judged by that one, too. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

#: Prefixes under which IPv4 addresses are reached over IPv6: RFC 6052, and RFC 8215's for local use.
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))

EVERYWHERE = ("0.0.0.0/0", "::/0")


class Reach:
    """The addresses that may be connected to."""

    def __init__(self, networks: Iterable[str] = (), hosts: Iterable[str] = ()) -> None:
        """Public ones, those of `networks`, and of `hosts` those that are addresses themselves, or `localhost`.

        A host may have a port, which is not judged here. Raises ValueError for what is no network.
        """
        self._networks = [ip_network(one) for one in networks]
        bare = map(_bare, hosts)
        self._named = frozenset(one for one in bare if one == "localhost" or _address(one) is not None)

    def may(self, host: str, address: str) -> bool:
        """Whether `host` may be reached at that address."""
        if host in self._named:
            return True
        known = _address(address)
        return known is not None and all(self._open(one) for one in (known, *_meant(known)))

    def _open(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in self._networks):
            return True
        if isinstance(address, IPv6Address) and any(_meant(address)):
            return True  # what it stands for is judged by itself
        return address.is_global and not address.is_multicast


def _bare(host: str) -> str:
    """A host without its port."""
    name, colon, port = host.rpartition(":")
    # An IPv6 address has colons of its own, unless it is in brackets.
    return name if colon and port.isdecimal() and (":" not in name or name.endswith("]")) else host


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in prefix for prefix in _NAT64) or int(address) >> 32 == 0:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
