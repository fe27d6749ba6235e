"""A leg of a run: one gateway, one upstream, some workloads; each closed at every concurrency, then open.

The most that the closed loops found is what the open ones take shares of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from bench.gateway import KEY, Gateway, authorized
from bench.orders import Order, Request, Summary, drive
from bench.processes import cost
from bench.upstreams import Upstream
from bench.workloads import Workload

#: Share of a measurement's length that is driven before it, and its bounds in seconds: connections are made, the
#: deployments' first answers weighed.
_WARM_UP, _SHORTEST, _LONGEST = 0.25, 0.1, 1.0
#: Seconds of it more for each caller: all begin at once, and for each a connection to the upstream is made. Were these
#: seconds counted, a second of 512 callers would be the time they took to arrive.
_ARRIVING = 1 / 256
#: What the Python upstream takes for paths that the dialects would add.
_STRAIGHT = "/v1/straight"


class Row(msgspec.Struct, kw_only=True):
    """A line of the table."""

    leg: str
    workload: str
    concurrency: int = 0
    #: Open loop: the share of the maximum, and the rate that it is, per second.
    share: float = 0.0
    rate: float = 0.0
    through: Summary
    straight: Summary
    cpu_us: float | None
    #: How much of its core the gateway had. Below nine tenths in a closed loop of many, somebody else was the limit.
    core: float
    rss_mb: float

    @property
    def load(self) -> str:
        """How it was driven."""
        return f"c={self.concurrency}" if self.concurrency else f"open {self.share:.0%}"

    def added(self, figure: str, which: str) -> float | None:
        """How many milliseconds longer it took through the gateway: `figure` is `latency` or `first`."""
        through, straight = (getattr(one, figure)[which] for one in (self.through, self.straight))
        return None if through is None or straight is None else through - straight


@dataclass(frozen=True)
class Leg:
    """What the measurements of one gateway have in common."""

    name: str
    gateway: Gateway
    upstream: Upstream
    seconds: float
    concurrency: Sequence[int]
    shares: Sequence[float]
    #: Of the callers, who take turns by chance.
    keys: Sequence[str] = (KEY,)

    def rows(self, workload: Workload, say: Callable[[str], None]) -> Iterator[Row]:
        """Measure a workload."""
        best = 0.0
        for concurrency in self.concurrency:
            say(f"{self.name}: {workload.name}, c={concurrency}")
            row = self.row(workload, concurrency=concurrency)
            best = max(best, row.through.per_second)
            yield row
        for share in self.shares if best else ():
            say(f"{self.name}: {workload.name}, open loop at {share:.0%} of {best:,.0f}/s")
            yield self.row(workload, share=share, rate=best * share)

    def row(self, workload: Workload, *, concurrency: int = 0, share: float = 0.0, rate: float = 0.0) -> Row:
        """One measurement: closed at a concurrency, or open at a rate (`share` of what was found)."""
        order = Order(
            port=self.upstream.port(workload.answer),
            requests=(Request(path=f"/{workload.answer}{_STRAIGHT}", body=workload.encoded),),
            seconds=self.seconds,
            warm_up=min(_LONGEST, max(_SHORTEST, self.seconds * _WARM_UP)) + concurrency * _ARRIVING,
            concurrency=concurrency,
            rate=rate,
        )
        straight = drive(order)
        requests = tuple(
            Request(path=workload.path, body=workload.encoded, headers=authorized(key), ends=workload.ends)
            for key in self.keys
        )
        before = cost(self.gateway.process.pid)
        through = drive(msgspec.structs.replace(order, port=self.gateway.port, requests=requests))
        after = cost(self.gateway.process.pid)
        return Row(
            leg=self.name,
            workload=workload.name,
            concurrency=concurrency,
            share=share,
            rate=rate,
            through=through,
            straight=straight,
            cpu_us=(after.cpu - before.cpu) / through.answered * 1e6 if through.answered else None,
            core=(after.cpu - before.cpu) / through.wall,
            rss_mb=after.rss / 2**20,
        )


def as_json(rows: Sequence[Row], about: dict[str, object]) -> str:
    """The run as a file."""
    return json.dumps({**about, "rows": msgspec.to_builtins(rows)}, indent=1)
