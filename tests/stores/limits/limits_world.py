"""Backends for the limits' tests, several of which count in one place, on a clock that passes as it is told to."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from gateway.governance.limits.backend import Backend, Grant, Verdict
from gateway.governance.limits.folder import FolderBackend
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.redis import LEASE, RedisBackend
from gateway.governance.limits.window import Limiter, Need
from gateway.settings.limits import Rates

#: Seconds: these tests are about counts and not about slowness.
PATIENT = 10.0


def limiter(
    name: str = "alice", *, rpm: int | None = None, tpm: int | None = None, at_a_time: int | None = None
) -> Limiter:
    return Limiter.of("key", name, Rates(rpm=rpm, tpm=tpm, concurrency=at_a_time))


async def until_so(condition: Callable[[], bool]) -> None:
    """Poll until it is so; fail the test when it never is."""
    give_up = time.monotonic() + 2 * PATIENT
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        await asyncio.sleep(0.002)


class Counting(ABC):
    """One place in which several processes count."""

    #: Whether there can be more than one.
    together = True

    def __init__(self) -> None:
        self.processes: list[Backend] = [self.process()]

    @abstractmethod
    def process(self) -> Backend:
        """One more process that counts there."""

    @abstractmethod
    def pass_seconds(self, seconds: int) -> None:
        """Put its clock forward."""

    async def take(self, *limiters: Limiter, tokens: int = 0, process: int = 0) -> Verdict:
        while len(self.processes) <= process:
            self.processes.append(self.process())
        return await self.processes[process].take(Need(limiters, tokens))

    async def granted(self, *limiters: Limiter, tokens: int = 0, process: int = 0) -> Grant:
        verdict = await self.take(*limiters, tokens=tokens, process=process)
        assert verdict.refusal is None
        assert verdict.grant is not None
        return verdict.grant

    async def settle(self, grant: Grant, tokens: int = 0, *, process: int = 0) -> None:
        """The request has ended, and everybody can know."""
        self.processes[process].settle(grant, tokens)
        await self.told(process)

    async def told(self, process: int) -> None:  # noqa: B027 - most tell at once
        """Whatever this process has to tell has been told."""

    async def close(self) -> None:
        for one in self.processes:
            await one.close()


class PassingMemory(Counting):
    together = False

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def process(self) -> Backend:
        return MemoryBackend(clock=lambda: self.now)

    def pass_seconds(self, seconds: int) -> None:
        self.now += seconds


class PassingFolder(Counting):
    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.folder = folder
        super().__init__()

    def process(self) -> FolderBackend:
        return FolderBackend(self.folder, clock=lambda: self.now)

    def pass_seconds(self, seconds: int) -> None:
        self.now += seconds


class PassingRedis(Counting):
    def __init__(self, url: str, namespace: str, *, timeout: float = PATIENT, lease: float = LEASE) -> None:
        self.lease = lease
        self.url, self.namespace, self.timeout = url, namespace, timeout
        self.ahead = 0
        super().__init__()

    def process(self) -> RedisBackend:
        made = RedisBackend(
            self.url, clock=time.monotonic, timeout=self.timeout, namespace=self.namespace, lease=self.lease
        )
        made.ahead = self.ahead
        return made

    def pass_seconds(self, seconds: int) -> None:
        self.ahead += seconds
        for one in self.processes:
            assert isinstance(one, RedisBackend)
            one.ahead = self.ahead

    async def told(self, process: int) -> None:
        one = self.processes[process]
        assert isinstance(one, RedisBackend)
        await until_so(lambda: not one.busy)
