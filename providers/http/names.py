"""Host names looked up: kept for half a minute, shared by those who ask meanwhile, and trusted for longer when need be.

Law: a resolver that fails or says nothing takes no host away that was known: what was found last is used (RFC 8767),
for as long as a day. (Whom a connection then reaches must still prove its name by TLS.) Nor does it hold up anybody
else: each lookup has a thread to itself, of which there is one at a time for a host, since those of the event loop are
few, and two hosts that hang would keep all others waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import Any

#: Seconds for which an answer is not asked for again.
KEPT_S = 30.0
#: Seconds that a lookup gets before an older answer is used instead. Doubled: calls wait as much longer when a resolver
#: begins to hang; halved: one that is merely far away is overruled.
_PATIENCE_S = 1.0
#: Seconds after which a resolver in trouble is asked again. Doubled: a host that has moved is found so much later;
#: halved: while it hangs, twice as many calls wait for it.
_AGAIN_S = 5.0
#: Seconds for which an old answer is better than none: providers' addresses outlive an outage of one's own resolver.
_STALE_S = 86_400.0
Addresses = list[tuple[Any, Any, int, str, Any]]


@dataclass
class _Found:
    """What was found, when, and until when that is enough."""

    addresses: Addresses
    at: float
    until: float


class Names:
    """What is known of host names."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[tuple[str, int], _Found] = {}
        self._looking: dict[tuple[str, int], asyncio.Future[Addresses]] = {}

    async def addresses(self, host: str, port: int) -> Addresses:
        """Those of a host. Raises OSError."""
        # A number needs no resolver, and no thread.
        with contextlib.suppress(socket.gaierror):
            return _look_up(host, port, socket.AI_NUMERICHOST)
        now = asyncio.get_running_loop().time()
        known = self._known.get((host, port))
        if known is not None and now < known.until:
            return known.addresses
        stale = known is not None and now < known.at + _STALE_S
        looking = self._looking.get((host, port)) or self._look(host, port)
        try:
            # Shielded: it is everybody's who waits for it.
            async with asyncio.timeout(_PATIENCE_S if stale else None):
                return await asyncio.shield(looking)
        except OSError:  # TimeoutError is one
            if known is None or not stale:
                raise
            known.until = asyncio.get_running_loop().time() + _AGAIN_S
            return known.addresses

    def _look(self, host: str, port: int) -> asyncio.Future[Addresses]:
        loop = asyncio.get_running_loop()
        looking: asyncio.Future[Addresses] = loop.create_future()
        self._looking[host, port] = looking

        def told(found: Addresses | BaseException) -> None:
            del self._looking[host, port]
            if looking.cancelled():
                return
            if isinstance(found, BaseException):
                looking.set_exception(found)
                looking.exception()  # seen, even if whoever asked has gone away
            else:
                self._known[host, port] = _Found(found, loop.time(), loop.time() + KEPT_S)
                looking.set_result(found)

        def ask() -> None:
            found: Addresses | BaseException
            try:
                found = _look_up(host, port)
            except Exception as exc:  # noqa: BLE001 - raised where it is waited for
                found = exc
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(told, found)

        # Not of a pool: at exit, those are waited for, however long a resolver keeps them.
        threading.Thread(target=ask, name=f"names-{host}", daemon=True).start()
        return looking


def _look_up(host: str, port: int, flags: int = 0) -> Addresses:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags)
