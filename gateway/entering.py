"""The entrance as the settings want it. What verifies tokens is loaded where tokens are taken, and nowhere else.

PyJWT and the cryptography it brings are 12 MB of a process and a tenth of a second of its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from gateway.governance.entrance import Entrance, Keys, Tokens
from gateway.governance.guessing import Guesses
from gateway.governance.guessing_together import FolderGuesses, RedisGuesses, Together
from gateway.settings.tokens import is_address
from gateway.settings.tree import Settings
from providers.transport import Timeouts, Transport

#: Bytes of a set of published keys; those of the largest publishers are some 10 kB.
_LARGEST = 1024 * 1024
#: Seconds for an answer with it: callers whose token names an unknown key wait for it.
_CLOCKS = Timeouts(connect=5.0, first_byte=5.0, idle=5.0, total=10.0)


def entrance_of(
    settings: Settings,
    keys: Keys,
    transport: Transport,
    *,
    wall: Callable[[], float],
    monotonic: Callable[[], float],
    salt: bytes,
    shared_dir: str | None,
    counted: Callable[[str], None],
) -> Entrance:
    """Keys, tokens where they are taken, and what is held against wrong ones."""

    async def read(source: str) -> bytes:
        if not is_address(source):
            return await asyncio.to_thread(Path(source).read_bytes)
        return await _fetched(transport, source)

    tokens: Tokens | None = None
    if settings.jwt.used:
        module = import_module("gateway.governance.tokens")
        tokens = module.Tokens(settings.jwt, read, wall=wall, monotonic=monotonic, salt=salt)
    together: list[Together] = []
    if settings.redis.url is not None:
        together.append(RedisGuesses(settings.redis.url.reveal(), clock=monotonic, db=settings.redis.db))
    if shared_dir is not None:
        together.append(FolderGuesses(Path(shared_dir), clock=monotonic))
    guesses = Guesses(settings.auth.wrong_keys, monotonic=monotonic, counted=counted, together=together)
    return Entrance(keys, tokens, guesses)


async def _fetched(transport: Transport, address: str) -> bytes:
    """What is at the address. Raises `ValueError` for anything but an answer of a bearable size, and `Fault`."""
    body = bytearray()
    async with transport.open("GET", address, {"accept": "application/json"}, None, _CLOCKS, deadline=None) as answer:
        if answer.status != 200:
            raise ValueError(f"the answer's status is {answer.status}")
        while piece := await answer.more():
            body += piece
            if len(body) > _LARGEST:
                raise ValueError(f"the answer is larger than {_LARGEST} bytes")
    return bytes(body)
