"""Wrong keys counted by all workers of a machine, or by all replicas: the same law as `guessing`, once for all.

    folder    a table in a file of all workers, behind a lock that each has for some 20 µs; 128 kB
    Redis     a program that Redis runs; a key per address, gone when its level would be 0

A table of so many places knows only so many addresses. Who comes when its places are taken by others takes the place of
the lowest level, and that level with it: so no number of addresses makes anybody's guesses be forgotten, and at worst a
mistake is taken for a guess. Where an address belongs is drawn with a secret of the file's, which nobody outside knows.

Only a wrong key comes here; a right one costs nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import struct
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from cache import RedisProgram

_NAME = 16
_PLACE = struct.Struct(f"={_NAME}sdd")
#: Places where an address may be, and groups of those. Twice as many groups: twice the file, and half as often does
#: anybody meet a group that is full of guessers.
_GROUP, _GROUPS = 8, 512
_SECRET = 16
#: Seconds between two tries of the lock that another has, and tries: the wait for one who is stopped.
_PAUSE, _TRIES = 0.001, 50

_PROGRAM = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local most = tonumber(ARGV[1])
local rate = most / 60
local found = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = 0
if found[1] then level = math.max(0, tonumber(found[1]) - (now - tonumber(found[2])) * rate) end
if level > most - 1 then return {tostring((level - most + 1) / rate)} end
redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level + 1), 'at', string.format('%.17g', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((level + 1) / rate * 1000) + 1000)
return {''}
"""


class Away(Exception):
    """The others cannot be counted with now."""


class Together(Protocol):
    """Where wrong keys are counted by several processes."""

    async def wrong(self, network: str, most: int) -> float:
        """Count one from there; 0 for what may be a mistake, else seconds until the next may be. Raises `Away`."""
        ...

    async def close(self) -> None:
        """Nobody counts any more."""
        ...


class FolderGuesses:
    """Among the workers of one machine."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        """In a file of `folder`, which must exist; `clock` is that of all its processes, in seconds."""
        self._clock = clock
        self._file = os.open(folder / "wrong-keys", os.O_RDWR | os.O_CREAT, 0o600)

    async def wrong(self, network: str, most: int) -> float:
        """See `Together`."""
        for _ in range(_TRIES):
            if self._file < 0:
                break  # closed, and its number may be another file's by now
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_PAUSE)
                continue
            try:
                return self._judge(network, most)
            except OSError as exc:
                raise Away from exc  # the disk is full
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        raise Away

    def _judge(self, network: str, most: int) -> float:
        name = blake2b(network.encode(), digest_size=_NAME, key=self._secret()).digest()
        now, rate = self._clock(), most / 60
        begin = _SECRET + int.from_bytes(name[:4]) % _GROUPS * _GROUP * _PLACE.size
        known = os.pread(self._file, _GROUP * _PLACE.size, begin).ljust(_GROUP * _PLACE.size, b"\0")
        levels: list[float] = []
        place: int | None = None
        for number, (whose, level, at) in enumerate(_PLACE.iter_unpack(known)):
            levels.append(max(0.0, level - (now - at) * rate))
            place = number if whose == name else place
        if place is None:
            place = min(range(_GROUP), key=levels.__getitem__)
        level = levels[place]
        if level > most - 1:
            return (level - most + 1) / rate
        os.pwrite(self._file, _PLACE.pack(name, level + 1, now), begin + place * _PLACE.size)
        return 0.0

    def _secret(self) -> bytes:
        """The file's, made by whoever comes first."""
        secret = os.pread(self._file, _SECRET, 0)
        if not any(secret):
            secret = secrets.token_bytes(_SECRET)
            os.pwrite(self._file, secret, 0)
        return secret

    async def close(self) -> None:
        """See `Together`."""
        file, self._file = self._file, -1
        os.close(file)


class RedisGuesses:
    """Among all replicas."""

    def __init__(
        self, url: str, *, clock: Callable[[], float], db: int | None = None, namespace: str = "steelyard:wrong-key:"
    ) -> None:
        """In the Redis at `url`."""
        self._program = RedisProgram(url, _PROGRAM, clock=clock, db=db)
        self._namespace = namespace

    async def wrong(self, network: str, most: int) -> float:
        """See `Together`."""
        told = await self._program.run([self._namespace + network], [most])
        if told is None:
            raise Away
        return float(told[0] or 0)

    async def close(self) -> None:
        """See `Together`."""
        await self._program.close()
