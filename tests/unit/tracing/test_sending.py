"""The way to the collector: what is sampled, and that a collector that is silent or away costs nobody anything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.settings import SecretUrl
from gateway.settings.telling import Tracing
from gateway.tracing import sending
from gateway.tracing.places import Place
from gateway.tracing.sending import Sending
from gateway.tracing.spans import Moment, Span
from tests.collector import Collector, a_collector

#: More than the queue holds, at its own size.
MANY = 5_000
QUEUE = 2_048


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as made:
        yield made


def to(collector: Collector, **more: Any) -> Sending:
    return Sending(Tracing(endpoint=SecretUrl(collector.url), **more), "1.2.3")


def a_span(number: int = 1, **more: Any) -> Span:
    return Span("chat m", "client", 0xA, number, 0xB, 1_700_000_000.0, 1_700_000_001.5, {"a": 1, "b": ["x"]}, **more)


async def test_a_span_arrives_as_it_was_told(collector: Collector) -> None:
    sender = to(collector, service_name="edge", resource="team=blue")
    moment = Moment("steelyard.choice", 1_700_000_000.5, {"steelyard.candidates.score": [1.0, 0.5]})
    sender.send(a_span(7, state="v=1", moments=[moment], failed=True, error="too slow"))
    await sender.stop()
    (seen,) = collector.spans
    assert (seen.name, seen.kind, seen.trace, seen.span) == ("chat m", "client", f"{0xA:032x}", f"{7:016x}")
    assert (seen.parent, seen.state) == (f"{0xB:016x}", "v=1")
    assert seen.end - seen.start == 1_500_000_000
    assert seen.facts == {"a": 1, "b": ["x"]}
    assert (seen.failed, seen.said) == (True, "too slow")
    assert seen.moments[0].facts == {"steelyard.candidates.score": [1.0, 0.5]}
    expected = {"service.name": "edge", "service.version": "1.2.3", "team": "blue"}
    assert {name: seen.resource[name] for name in expected} == expected


async def test_a_silent_collector_holds_up_nobody_and_the_queue_stays_small(
    collector: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.silent = threading.Event()
    monkeypatch.setattr(sending, "_LEAVE_WITHIN", 0.1)
    sender = to(collector)
    sender.send(a_span())
    collector.eventually(lambda: collector.asked == 1)
    for number in range(MANY):
        sender.send(a_span(number + 1))
    queue: Any = sender._processor._batch_processor._queue  # type: ignore[attr-defined]
    assert len(queue) == QUEUE
    caplog.set_level(logging.WARNING, "steelyard.tracing")
    await sender.stop()
    assert [one.message for one in caplog.records] == ["the collector did not take the last spans in time"]


async def test_a_collector_that_refuses_is_told_of_once_and_so_is_its_recovery(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    collector.status = 400  # which is not tried again
    sender = to(collector)
    for number in range(3):
        sender.send(a_span(number + 1))
        collector.eventually(lambda wanted=number + 1: len(collector.paths) == wanted)
    collector.status = 200
    sender.send(a_span(9))
    collector.eventually(lambda: collector.spans)
    await sender.stop()
    told = [(one.levelname, one.message) for one in caplog.records if not one.name.startswith("asyncio")]
    assert told == [
        ("WARNING", "the collector does not take traces: they are lost"),
        ("INFO", "the collector takes traces again"),
    ]


def _place(*, sampled: bool) -> Place:
    return Place(1, 2, sampled)


@pytest.mark.parametrize(
    ("sampler", "alone", "wanted", "unwanted"),
    [
        ("parentbased_always_on", True, True, False),
        ("parentbased_always_off", False, True, False),
        ("always_on", True, True, True),
        ("always_off", False, False, False),
    ],
)
def test_samplers_do_what_their_names_say(
    collector: Collector, sampler: Any, alone: bool, wanted: bool, unwanted: bool
) -> None:
    sender = to(collector, sampler=sampler)
    assert sender.samples(1, None) == alone
    assert sender.samples(1, _place(sampled=True)) == wanted
    assert sender.samples(1, _place(sampled=False)) == unwanted
    sender._processor.shutdown()


def test_a_share_of_the_traces_is_the_same_share_everywhere(collector: Collector) -> None:
    one, another = (to(collector, sampler="parentbased_traceidratio", sampler_arg=0.25) for _ in range(2))
    traces = [number * 0x9E3779B97F4A7C15 % 2**128 for number in range(1, 2_001)]
    taken = [trace for trace in traces if one.samples(trace, None)]
    assert taken == [trace for trace in traces if another.samples(trace, None)]
    assert 0.2 < len(taken) / len(traces) < 0.3
    assert one.samples(traces[0], _place(sampled=True))
    for sender in (one, another):
        sender._processor.shutdown()
