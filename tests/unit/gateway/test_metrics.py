"""Metrics: few labels, bounded by the configuration; everything is counted once."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from gateway_world import COST, Answer, Asked, World, deployment, drain, finished, reply, said, streaming
from paused_time import paused, settle
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from gateway.errors import GatewayError
from gateway.exchange import Preferences
from gateway.failover import RetryPolicy
from gateway.metrics import Metrics, registry
from gateway.metrics.registry import noting
from providers.errors import Overloaded

ROOT = Path(__file__).parents[3]
UNITS = ("_total", "_seconds", "_bytes", "_usd_total")
#: Plain counts and shares of now.
GAUGES = {"weight", "score", "available", "in_flight", "cache_bytes", "log_rows", "log_queue"} | {
    "limit_queue",
    "limits_alone",
    "mcp_server_state",
    "budget_used_ratio",
    "workflow_live_executions",
    "requests_in_flight",
    "single_flight_waiters",
    "breaker_state",
    "quota_remaining",
    "quota_limit",
    "budget_left_usd",
    "budget_limit_usd",
    "log_queue_capacity",
    "database_pool_connections",
    "database_pool_limit",
    "database_pool_waiting",
    "upstream_connections",
    "dependency_up",
    "workers",
}
#: OpenTelemetry's, in Prometheus' spelling.
GENAI = {
    "gen_ai_client_operation_duration_seconds",
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "gen_ai_client_token_usage",
    "gen_ai_workflow_duration_seconds",
    "gen_ai_execute_tool_duration_seconds",
}


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Label values, in the alphabetical order of the labels' names → value."""
    found: dict[tuple[str, ...], float] = {}
    for line in metrics.render().decode().splitlines():
        if match := re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line):
            found[tuple(re.findall(r'"([^"]*)"', match[1] or ""))] = float(match[2])
    return found


def labels(metrics: Metrics) -> set[str]:
    return set(re.findall(r'="([^"]*)"', metrics.render().decode()))


async def reads(world: World, **fields: Any) -> None:
    ask = world.ask(**fields)
    if ask.exchange.stream:
        await drain((await world.pipeline.stream(ask)).pieces())
    else:
        await world.pipeline.reply(ask)


@paused
async def test_an_answer_is_counted_once_everywhere() -> None:
    metrics = Metrics()
    world = World([deployment("a/m")], sink=metrics.observe)

    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(2.0)
        return reply(cached=4)

    world.upstreams.on("a", play)
    await reads(world)
    assert samples(metrics, "steelyard_requests_total") == {("bypass", "ok", "200", "chat"): 1.0}
    assert list(samples(metrics, "steelyard_attempts_total").values()) == [1.0]
    assert list(samples(metrics, "steelyard_cost_usd_total").values()) == [pytest.approx(COST)]
    assert sorted(samples(metrics, "steelyard_tokens_total").values()) == [4.0, 5.0, 10.0]
    assert list(samples(metrics, "steelyard_request_duration_seconds_sum").values()) == [2.0]
    assert list(samples(metrics, "steelyard_attempt_duration_seconds_sum").values()) == [2.0]
    assert list(samples(metrics, "steelyard_overhead_seconds_sum").values()) == [0.0]
    assert list(samples(metrics, "steelyard_dwa_choices_total").values()) == [1.0]
    assert samples(metrics, "steelyard_time_to_first_token_seconds_sum") == {}
    assert world.sink_failures == []


@paused
async def test_a_stream_tells_its_first_token() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe)

    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(3.0)
        return streaming(said("hello"), finished())

    world.upstreams.on("a", play)
    await reads(world, stream=True)
    assert list(samples(metrics, "steelyard_time_to_first_token_seconds_sum").values()) == [3.0]


@paused
async def test_a_failed_attempt_is_counted_but_not_timed() -> None:
    metrics = Metrics()
    world = World([deployment("a/m"), deployment("b/m", priority=1)], sink=metrics.observe)
    world.upstreams.on("a", Overloaded())
    world.upstreams.on("b", reply())
    await reads(world)
    assert sum(samples(metrics, "steelyard_attempts_total").values()) == 2.0
    assert list(samples(metrics, "steelyard_attempt_duration_seconds_count").values()) == [1.0]


@paused
async def test_a_hit_costs_nothing_and_chooses_nobody() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe)
    world.upstreams.on("a", reply())
    for _ in range(3):
        await reads(world, temperature=0)
    assert sum(samples(metrics, "steelyard_requests_total").values()) == 3.0
    assert sum(samples(metrics, "steelyard_attempts_total").values()) == 1.0
    assert sum(samples(metrics, "steelyard_dwa_choices_total").values()) == 1.0
    assert sum(samples(metrics, "steelyard_cost_usd_total").values()) == pytest.approx(COST)


@paused
async def test_the_coalesced_are_not_counted_twice() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe)
    world.upstreams.on("a", reply())
    await asyncio.gather(*(reads(world, temperature=0) for _ in range(4)))
    assert sum(samples(metrics, "steelyard_requests_total").values()) == 4.0
    assert sum(samples(metrics, "steelyard_attempts_total").values()) == 1.0
    assert sum(samples(metrics, "steelyard_dwa_choices_total").values()) == 1.0
    assert sum(samples(metrics, "steelyard_cost_usd_total").values()) == pytest.approx(COST)
    assert sum(samples(metrics, "steelyard_tokens_total").values()) == 15.0


async def _inherited() -> Metrics:
    """A leader whose first attempt failed has gone amid its second, which its follower takes over."""
    metrics = Metrics()
    world = World([deployment("a/m"), deployment("b/m", priority=1)], sink=metrics.observe)
    go = asyncio.Event()

    async def play(_asked: Asked) -> Answer:
        await go.wait()
        return reply()

    world.upstreams.on("a", Overloaded())
    world.upstreams.on("b", play)
    leader = asyncio.create_task(reads(world, temperature=0))
    await settle()
    follower = asyncio.create_task(reads(world, temperature=0))
    await settle()
    leader.cancel()
    await asyncio.wait([leader])
    go.set()
    await follower
    return metrics


@paused
async def test_what_a_leader_left_behind_is_counted_once() -> None:
    metrics = await _inherited()
    assert sum(samples(metrics, "steelyard_cost_usd_total").values()) == pytest.approx(COST)
    assert sum(samples(metrics, "steelyard_attempts_total").values()) == 2.0


@paused
async def test_the_choice_of_a_leader_that_left_is_counted_once() -> None:
    assert sum(samples(await _inherited(), "steelyard_dwa_choices_total").values()) == 1.0


@paused
async def test_nothing_a_caller_sends_becomes_a_label() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe, policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", reply(), Overloaded("told", code="odd-code"))
    mark = "callers-own-word"
    none = Preferences()
    cases: tuple[tuple[Preferences, dict[str, Any]], ...] = (
        (Preferences(session_id=mark), {"user": mark, "metadata": {mark: mark}}),
        (none, {"model": mark}),
        (Preferences(strategy=mark), {}),
        (Preferences(objective=mark), {}),
        (Preferences(providers=(mark,)), {}),
        (none, {}),
    )
    for wishes, fields in cases:
        ask = world.ask(wishes=wishes, **fields)
        ask.exchange.principal = mark
        with suppress(GatewayError):
            await world.pipeline.reply(ask)
    assert [one.status for one in world.closed] == [200, 404, 400, 400, 400, 503]
    assert not [one for one in labels(metrics) if mark in one or "odd" in one or "told" in one or "req_" in one]


@paused
async def test_the_number_of_series_does_not_grow_with_requests() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe)
    world.upstreams.on("a", reply())
    await reads(world)
    before = metrics.render().count(b"\n")
    for number in range(20):
        await reads(world, user=f"user-{number}", seed=number, max_tokens=number + 1)
    assert metrics.render().count(b"\n") == before


def test_every_metric_has_a_name_of_ours_a_unit_and_an_explanation() -> None:
    text = Metrics().render().decode()
    told = re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE)
    assert len(told) >= 19
    assert {name for name, _ in told} >= GENAI
    for name, explanation in told:
        assert len(explanation) >= 10
        assert explanation.endswith(".")
        if name in GENAI:
            continue
        assert name.startswith("steelyard_")
        assert name.endswith(UNITS) or name.removeprefix("steelyard_").removeprefix("dwa_") in GAUGES, name


def test_every_metric_that_documents_and_dashboards_name_exists() -> None:
    ours = set(re.findall(r"^# HELP (\S+)", Metrics().render().decode(), re.MULTILINE))
    ours |= {name.removesuffix("_total") for name in ours}
    ours |= {f"{name}_{part}" for name in ours for part in ("bucket", "count", "sum")}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("grafana/**/*.json")]
    for page in pages:
        for name in re.findall(r"\bsteelyard_[a-z_]+(?:_total|_seconds|_bucket|_count|_sum)\b", page.read_text()):
            assert name in ours, f"{page.name} names {name}"


def test_gauges_are_refreshed_when_somebody_looks() -> None:
    metrics = Metrics()
    looks: list[int] = []
    metrics.before_scrape(lambda: looks.append(1))
    metrics.before_scrape(lambda: metrics.log_queue().set(7))
    assert samples(metrics, "steelyard_log_queue") == {(): 7.0}
    assert looks == [1]


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.turned_away("chat", "401").inc()
    assert samples(one, "steelyard_rejected_total") == {("401", "chat"): 1.0}
    assert samples(other, "steelyard_rejected_total") == {}


@pytest.mark.parametrize("name", ["weight", "score", "available", "live_executions"])
def test_a_share_of_several_workers_is_not_their_sum(name: str) -> None:
    metric = getattr(Metrics(), name)._metric
    assert "sum" not in metric._multiprocess_mode


def test_an_application_in_anothers_place_counts_on_and_begins_its_gauges_anew() -> None:
    metrics = Metrics()
    metrics.before_scrape(lambda: metrics.in_flight("gone", "m").set(3))
    metrics.choices("gone", "m", "best").inc()
    metrics.log_queue().set(5)
    assert b'steelyard_in_flight{model="m",provider="gone"} 3.0' in metrics.render()
    metrics.begin_gauges_anew(lambda: metrics.in_flight("here", "m").set(1))
    text = metrics.render()
    assert b'steelyard_in_flight{model="m",provider="here"} 1.0' in text
    assert b'steelyard_in_flight{model="m",provider="gone"}' not in text
    assert b'steelyard_dwa_choices_total{model="m",provider="gone",reason="best"} 1.0' in text


@paused
async def test_whoever_waits_has_a_turn_while_the_metrics_are_told() -> None:
    metrics = Metrics()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    text = await metrics.scraped()
    waiting.cancel()
    assert text == metrics.render()
    assert turns >= text.count(b"# HELP")


def test_what_is_noted_on_the_request_path_is_what_the_library_observes() -> None:
    one, other = Metrics(), Metrics()
    note = noting(one.duration("chat", "miss"))
    for amount in (0.0, 0.0005, 0.001, 0.0011, 0.5, 299.0, 300.0, 301.0, 1e9, float("inf")):
        note(amount)
        other.duration("chat", "miss").observe(amount)
        assert one.render() == other.render()
    assert samples(one, "steelyard_request_duration_seconds_count") == {("miss", "chat"): 10.0}


async def test_the_files_of_workers_are_read_while_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by: list[threading.Thread] = []

    class Files:
        def __init__(self, shown: CollectorRegistry, path: str) -> None:
            assert path == str(tmp_path)
            shown.register(self)  # pyright: ignore[reportArgumentType] - it collects

        def collect(self) -> list[Metric]:
            by.append(threading.current_thread())
            return [Metric("read", "From files.", "gauge")]

    monkeypatch.setattr(registry, "MultiProcessCollector", Files)
    text = await Metrics(shared_dir=str(tmp_path)).scraped()
    assert text.startswith(b"# HELP read From files.")
    assert by
    assert by[0] is not threading.main_thread()
