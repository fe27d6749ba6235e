"""The service: it launches its engine over a database that answers, and over no other."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.records import StoreUnavailable
from gateway.settings import load
from gateway.workflows.engine import Engine
from gateway.workflows.means import Means
from gateway.workflows.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    settings = load({"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'some.db'}"})
    elsewhere: Any = cast("Any", None)
    means = Means(settings, elsewhere, elsewhere, elsewhere, elsewhere, elsewhere, elsewhere)
    return Service(means, wall=time.time, monotonic=time.monotonic, rng=random.Random(1))


async def test_no_engine_is_launched_while_the_database_is_silent(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    course: list[str] = []

    async def ping(within: float = 2.0) -> None:
        course.append("ping")
        if len(course) < 3:
            raise StoreUnavailable("silent")

    async def launch(_engine: Engine) -> None:
        course.append("launch")

    async def hand_over(_engine: Engine) -> None:
        course.append("hand over")

    async def stop(_engine: Engine, *, silent: bool) -> None:
        assert not silent
        course.append("stop")

    monkeypatch.setattr("gateway.workflows.service._AGAIN", 0.0)
    monkeypatch.setattr(service.database, "ping", ping)
    monkeypatch.setattr(Engine, "launch", launch)
    monkeypatch.setattr(Engine, "hand_over", hand_over)
    monkeypatch.setattr(Engine, "stop", stop)
    await service.start()
    await service.running.wait()
    await service.stop()
    assert course == ["ping", "ping", "ping", "launch", "ping", "hand over", "stop"]


async def test_work_that_dies_is_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    async def dies() -> None:
        raise ZeroDivisionError("a defect")

    service._spawn(dies())
    await asyncio.wait(service._tasks)
    await service.stop()
    assert "a background task ended" in caplog.text
