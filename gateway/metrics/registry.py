"""Counters, gauges and histograms in one registry, and their text. The only file that imports prometheus_client.

A child costs more to find than to count on, so those of the request path are kept by their label values.

With several workers the values live in files that every worker maps (`PROMETHEUS_MULTIPROC_DIR`), and any worker
answers for all of them.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, exposition
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import (
    MultiProcessCollector,
    mark_process_dead,  # pyright: ignore[reportUnknownVariableType] - untyped
)
from prometheus_client.registry import Collector

# When a series began is told by Prometheus itself; the series that tell it would be as many again.
disable_created_metrics()
CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4
#: What the values of several workers make together: their sum, the least or greatest of them, or the last one set.
Workers = Literal["livesum", "livemin", "livemax", "livemostrecent"]
M = TypeVar("M", bound=MetricWrapperBase)


class Described(Struct, frozen=True):
    """A metric as its document tells of it; `workers` of a gauge."""

    section: str
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str
    workers: Workers | None = None


class Children(Generic[M]):
    """The children of one metric, found once per combination of label values."""

    __slots__ = ("_known", "_metric")

    def __init__(self, metric: M) -> None:
        """Find children of `metric`."""
        self._metric = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *labels: str) -> M:
        """The child with these label values."""
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels) if labels else self._metric
        return child

    def clear(self) -> None:
        """Drop the children; a metric without labels has none, and stays."""
        self._metric.clear()
        self._known.clear()


def noting(histogram: Histogram) -> Callable[[float], None]:
    """As the histogram's `observe`, for the request path.

    That one asks each time whether it may, and goes through its bounds one by one: 3,000 to 6,000 instructions more.
    """
    inside: Any = histogram  # what it keeps to itself has no types
    total, bounds = inside._sum.inc, list(inside._upper_bounds)
    counts = [one.inc for one in inside._buckets]

    def note(amount: float) -> None:
        total(amount)
        counts[bisect_left(bounds, amount)](1)

    return note


class Mirror:
    """A counter of what another part counts by itself: told how much it is by now, it counts what is new."""

    __slots__ = ("_counter", "_seen")

    def __init__(self, counter: Children[Counter]) -> None:
        """Count on `counter`."""
        self._counter = counter
        self._seen: dict[tuple[str, ...], float] = {}

    def __call__(self, *labels: str, total: float) -> None:
        """It is so much by now. Less than before: it has begun anew."""
        before = self._seen.get(labels, 0.0)
        self._seen[labels] = total
        self._counter(*labels).inc(total - before if total >= before else total)


class _One(Collector):
    """A metric as a registry, so that its text can be made apart."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def _text(metric: Metric) -> bytes:
    return exposition.generate_latest(_One(metric))


def forget_worker(folder: str, pid: int) -> None:
    """A worker that is gone must not go on counting among the living; what it counted stays counted."""
    mark_process_dead(pid, folder)


class Registry:
    """Metrics, made by those who inherit from it, and their text."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """Count in this process, or with `shared_dir` in files shared by the workers of one machine."""
        self._shared_dir = shared_dir
        self.registry = CollectorRegistry()
        self._before_scrape: list[Callable[[], None]] = []
        self._gauges: list[Children[Gauge]] = []
        self._section = ""
        #: Every metric, in the order in which it was made.
        self.described: list[Described] = []

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` set the gauges whenever somebody looks."""
        self._before_scrape.append(refresh)

    def begin_gauges_anew(self, refresh: Callable[[], None]) -> None:
        """Another application speaks for this process: what only its predecessor had vanishes, and counters go on."""
        self._before_scrape[:] = [refresh]
        for gauge in self._gauges:
            gauge.clear()

    def render(self) -> bytes:
        """The exposition text, of all workers when they share."""
        return b"".join(map(_text, self._shown()))

    async def scraped(self) -> bytes:
        """The same, with a turn between two metrics for whoever waits."""
        shown, text = self._shown(), list[bytes]()
        if self.shared:
            # Before it tells of the first, it reads the files of all, of those that have ended too: there may be many.
            shown = await asyncio.to_thread(list, shown)
        for metric in shown:
            text.append(_text(metric))
            await asyncio.sleep(0)
        return b"".join(text)

    def _shown(self) -> Iterable[Metric]:
        for refresh in self._before_scrape:
            refresh()
        shown: CollectorRegistry = self.registry
        if self._shared_dir is not None:
            shown = CollectorRegistry()
            MultiProcessCollector(shown, path=self._shared_dir)  # pyright: ignore[reportUnknownMemberType] - untyped
        return shown.collect()

    @property
    def shared(self) -> bool:
        """The values of several workers are shown together."""
        return self._shared_dir is not None

    # For those who inherit

    def _about(self, section: str) -> None:
        """What the metrics are about that are made next."""
        self._section = section

    def _counter(self, name: str, text: str, *labels: str) -> Children[Counter]:
        self.described.append(Described(self._section, name, "counter", labels, text))
        return Children(Counter(name, text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str, workers: Workers = "livesum") -> Children[Gauge]:
        """A gauge; `workers` says what the values of several workers make together."""
        self.described.append(Described(self._section, name, "gauge", labels, text, workers))
        gauge = Children(Gauge(name, text, labels, registry=self.registry, multiprocess_mode=workers))
        self._gauges.append(gauge)
        return gauge

    def _histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Children[Histogram]:
        self.described.append(Described(self._section, name, "histogram", labels, text))
        return Children(Histogram(name, text, labels, registry=self.registry, buckets=tuple(buckets)))
