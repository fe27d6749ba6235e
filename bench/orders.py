"""What is told to a load process, and what it tells back: JSON on its standard input and output."""

from __future__ import annotations

import subprocess
import sys

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request, sent as often as its share says. `UNIQUE` in the body is replaced by a number."""

    path: str
    body: str
    headers: dict[str, str] = {}
    ends: str = ""
    share: float = 1.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A run: closed with `concurrency` callers, or open with `rate` requests a second."""

    port: int
    requests: tuple[Request, ...]
    seconds: float
    #: Seconds at the beginning that are driven but not counted.
    warm_up: float = 0.0
    concurrency: int = 0
    rate: float = 0.0
    #: Share of the callers who hang up at the first byte of the body.
    hang_up: float = 0.0
    seed: int = 1


class Summary(msgspec.Struct, kw_only=True):
    """What came of it. Times in milliseconds; None where the sample is too small to say."""

    #: Answered well, after the warm-up; and in all, which is what CPU time is shared among.
    requests: int
    answered: int
    per_second: float
    #: Seconds from the first connection to the last answer.
    wall: float
    errors: dict[str, int]
    hung_up: int
    latency: dict[str, float | None]
    #: To the first byte of the body.
    first: dict[str, float | None]
    #: Open loop: how late the generator itself was, counted in `latency` too.
    late: dict[str, float | None]

    @property
    def failed(self) -> int:
        """Errors of all kinds."""
        return sum(self.errors.values())


def drive(order: Order, *, patience: float = 60.0) -> Summary:
    """Carry it out in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=msgspec.json.encode(order),
        capture_output=True,
        check=False,
        timeout=order.seconds + order.warm_up + patience,
    )
    if done.returncode:
        raise RuntimeError(f"The load generator failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Summary)
