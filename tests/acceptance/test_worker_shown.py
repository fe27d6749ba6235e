"""`steelyard worker --metrics-port`: it shows its metrics and its health, and serves nobody."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest
from msgspec.structs import replace

from providers import simulator
from tests.acceptance.bad_days import eventually, four
from tests.acceptance.bad_processes import configuration, free_port
from tests.acceptance.workflow_fleet import Worker
from tests.serving import Serving, settings_in, simulated, until
from tests.unit.gateway.metric_samples import told


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


def seen(port: int, path: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", body, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


async def test_a_worker_shows_how_it_is_and_nothing_else(running: simulator.Running, tmp_path: Path) -> None:
    port = free_port()
    database = f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
    worker = Worker(
        tmp_path / "one", configuration(running, four()), "--metrics-port", str(port), DATABASE_URL=database
    )
    worker.begin()
    try:
        await eventually(lambda: worker.is_ready)
        status, text = seen(port, "/metrics")
        assert status == 200
        assert sum(told(text, "steelyard_workers").values()) == 1.0
        assert told(text, "steelyard_dependency_up", "dependency") == {("database",): 1.0}
        assert seen(port, "/health")[0] == 200
        assert json.loads(seen(port, "/health/ready")[1])["ready"] is True
        for path, body in (("/v1/models", None), ("/v1/chat/completions", b"{}"), ("/docs", None)):
            assert seen(port, path, body)[0] == 404
        worker.terminate()
        assert await worker.ended() == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    finally:
        worker.kill()


async def test_a_port_that_is_taken_is_told_at_once(running: simulator.Running, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        worker = Worker(tmp_path / "one", configuration(running, four()), STEELYARD_WORKER_METRICS_PORT=port)
        worker.begin()
        assert await worker.ended() != 0
    assert "STEELYARD_WORKER_METRICS_PORT" in worker.said.read_text()


def test_a_gateway_tells_of_the_queue_when_nobody_runs_it(running: simulator.Running, tmp_path: Path) -> None:
    """As when all workers are gone: SteelyardWorkflowsStuck is asked of it."""
    settings = settings_in(tmp_path)
    settings = replace(settings, workflows=replace(settings.workflows, monitoring=0.05))
    with Serving(simulated(settings, running, four())) as serving:

        def post(path: str, body: object) -> None:
            request = urllib.request.Request(
                f"{serving.url}/api/workflows{path}", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.status in (201, 202)

        def waits() -> bool:
            text = seen(serving.port, "/metrics")[1]
            live = told(text, "steelyard_workflow_live_executions", "status")
            oldest = told(text, "steelyard_workflow_oldest_seconds", "status")
            return live.get(("pending",)) == 1.0 and oldest[("pending",)] > 0.0

        post("", {"slug": "f", "name": "f", "nodes": {"a": {"type": "template", "template": "x"}}})
        post("/f/execute", {})
        until(waits)
