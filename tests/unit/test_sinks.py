"""The laws of sinks: none may fail the request, and none may starve another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from gateway import logs
from gateway.exchange import Exchange, Preferences
from gateway.metrics import Metrics
from gateway.sinks import Sinks

NAMES = ("request_log", "metrics", "log_line")


def exchange(number: int = 1) -> Exchange:
    return Exchange(
        id=f"req_{number}",
        created=1.0,
        began=1.0,
        surface="chat",
        dialect="openai",
        principal="ann",
        requested_model="m",
        stream=False,
        preferences=Preferences(),
    )


class World:
    """Three sinks, of which those named in `broken` raise; what each was fed, and what was counted."""

    def __init__(self, *broken: str, error: BaseException | None = None) -> None:
        self.error = error or RuntimeError("a defect of ours")
        self.broken = set(broken)
        self.fed: list[tuple[str, str]] = []
        self.counted: list[str] = []
        self.sinks = Sinks([(name, self._sink(name)) for name in NAMES], failed=self.counted.append)

    def _sink(self, name: str) -> Callable[[Exchange], None]:
        def sink(one: Exchange) -> None:
            self.fed.append((name, one.id))
            if name in self.broken:
                raise self.error

        return sink


def test_every_sink_is_fed_once_and_in_order() -> None:
    world = World()
    world.sinks.feed(exchange())
    assert world.fed == [(name, "req_1") for name in NAMES]
    assert world.counted == []


@pytest.mark.parametrize("broken", NAMES)
def test_whichever_sink_raises_the_others_are_still_fed(broken: str) -> None:
    world = World(broken)
    for number in range(3):
        world.sinks.feed(exchange(number))
    assert world.fed == [(name, f"req_{number}") for number in range(3) for name in NAMES]
    assert world.counted == [broken] * 3


def test_all_sinks_may_raise_and_the_request_goes_on() -> None:
    world = World(*NAMES)
    world.sinks.feed(exchange())
    assert world.counted == list(NAMES)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), MemoryError(), RecursionError(), AssertionError()])
def test_any_error_is_ours_to_bear(error: Exception) -> None:
    world = World("metrics", error=error)
    world.sinks.feed(exchange())
    assert world.counted == ["metrics"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
def test_what_ends_a_task_or_the_process_is_no_failure_of_a_sink(error: BaseException) -> None:
    world = World("metrics", error=error)
    with pytest.raises(type(error)):
        world.sinks.feed(exchange())
    assert world.counted == []


def test_a_sink_that_fails_is_told_of_once_with_its_name_request_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    world = World("metrics", "log_line")
    for number in range(1, 4):
        world.sinks.feed(exchange(number))
    told: list[Any] = caplog.records
    assert [(one.sink, one.request_id, one.levelno) for one in told] == [
        ("metrics", "req_1", logging.ERROR),
        ("log_line", "req_1", logging.ERROR),
    ]
    assert all("a defect of ours" in str(one.exc_info) for one in told)


@pytest.mark.parametrize("broken", NAMES)
def test_the_gateway_s_own_sinks_are_counted_by_name_when_they_raise(broken: str) -> None:
    metrics = Metrics()
    taken: list[str] = []

    def take(one: Exchange) -> None:
        taken.append(one.id)

    def defect(_: Exchange) -> None:
        raise RuntimeError

    real: dict[str, Callable[[Exchange], None]] = {
        "request_log": take,
        "metrics": metrics.observe,
        "log_line": logs.teller(),
    }
    sinks = Sinks(
        [(name, defect if name == broken else sink) for name, sink in real.items()],
        failed=lambda name: metrics.sink_failures(name).inc(),
    )
    sinks.feed(exchange())
    sinks.feed(exchange())
    text = metrics.render().decode()
    assert f'steelyard_sink_failures_total{{sink="{broken}"}} 2.0' in text
    assert text.count("steelyard_sink_failures_total{") == 1
    assert ("steelyard_requests_total{" in text) == (broken != "metrics")
    assert len(taken) == (0 if broken == "request_log" else 2)
