"""When workers die: who is replaced at once, and who after a pause."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import supervisor
from gateway.supervisor import Next, Supervisor, _Worker


class Time:
    """That of the supervisor alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(supervisor, "time", made)
    return made


@pytest.fixture
def some() -> Generator[Supervisor]:
    """Of workers that only seem to be."""

    def job(link: object, slot: int) -> None:
        raise NotImplementedError

    made = Supervisor(2, job, renewed=lambda _wish: Next(None), gone=lambda _pid: None, leaving=lambda: None, grace=1.0)
    made._served = True
    yield made
    made._alarm.close()
    made._bell.close()


class Life:
    """A worker from its start to its end."""

    def __init__(self, some: Supervisor, time: Time) -> None:
        self._some, self._time = some, time

    def __call__(self, *, starting: float, serving: float | None) -> float:
        """After so many seconds of each it dies: the pause before the next is started in its place."""
        process = SimpleNamespace(pid=1, join=lambda: None, exitcode=-9)
        worker = _Worker(0, cast("Any", process), cast("Any", SimpleNamespace(close=lambda: None)))
        self._some._workers.append(worker)
        self._time.now += starting
        if serving is not None:
            self._some._on_ready(worker)
            self._time.now += serving
        self._some._on_end(worker, -9)
        return self._some._due.pop(0) - self._time.now


@pytest.fixture
def life(some: Supervisor, time: Time) -> Life:
    return Life(some, time)


def test_who_dies_young_is_replaced_after_pauses_that_double_and_end(life: Life) -> None:
    pauses = [life(starting=1.0, serving=1.0) for _ in range(10)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_who_served_for_a_while_is_replaced_at_once_and_all_is_forgotten(life: Life) -> None:
    assert [life(starting=1.0, serving=1.0) for _ in range(3)] == [0.0, 0.5, 1.0]
    assert life(starting=1.0, serving=15.0) == 0.0
    assert [life(starting=1.0, serving=1.0) for _ in range(2)] == [0.0, 0.5]


@pytest.mark.parametrize("serving", [None, 1.0])
def test_a_long_start_is_no_long_life(life: Life, serving: float | None) -> None:
    """Or one that dies whenever it has loaded all it needs would be started again and again without a pause."""
    assert [life(starting=40.0, serving=serving) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_settings_that_cannot_even_be_read_end_nobody(some: Supervisor) -> None:
    def fails(_wish: bytes) -> Next:
        raise RecursionError

    some._renewed = fails
    said: list[bytes] = []
    asker = _Worker(0, cast("Any", None), cast("Any", SimpleNamespace(send_bytes=said.append)))
    some._wished(asker, b"{}")
    some._renew()
    assert said == [b"unstarted 0 2"]
    assert some._renewing is None
