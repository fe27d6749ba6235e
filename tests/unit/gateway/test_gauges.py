"""What is told of the moment: counts of other parts, names, tools, the event loop, and budgets of two periods."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gateway_world import deployment
from metric_samples import sampled
from msgspec.structs import replace
from paused_time import PausedLoop, paused

from gateway import vitals
from gateway.exchange import Attempt
from gateway.gauges import Gauges, introduce
from gateway.governance.budgets.claims import claim_of
from gateway.governance.budgets.purses import Purse
from gateway.governance.budgets.showing import Showing
from gateway.metrics import Metrics, Mirror
from gateway.settings import Settings
from gateway.settings.limits import Budget, Rates
from gateway.settings.limits import Limits as LimitSettings
from gateway.settings.secrets import Secret
from gateway.settings.shared import Key
from providers import PROVIDERS

TEN_A_DAY = Budget(usd=10.0, period="day")


def test_a_mirror_counts_what_is_new() -> None:
    metrics = Metrics()
    mirror = Mirror(metrics.log_counts)
    for total in (3, 3, 5):
        mirror("written", total=total)
    mirror("dropped", total=1)
    name = "steelyard_request_log_rows_total"
    others = {("spilled",): 0.0, ("replayed",): 0.0}  # from the beginning
    assert sampled(metrics, name, "state") == {("written",): 5.0, ("dropped",): 1.0, **others}
    # What it looks at has begun anew; and another one looks at something else, from its beginning.
    mirror("written", total=2)
    Mirror(metrics.log_counts)("written", total=4)
    assert sampled(metrics, name, "state")[("written",)] == 11.0


def test_whoever_ends_tells_what_it_has_counted_since_anybody_looked() -> None:
    counts = SimpleNamespace(written=3, spilled=0, replayed=0, dropped=0)
    events = SimpleNamespace(hits=2, misses=4, writes=4, evictions=0, errors=1)
    parts = SimpleNamespace(
        metrics=Metrics(),
        store=SimpleNamespace(tiers=lambda: {"memory": 2}, stats=lambda: events),
        records=SimpleNamespace(log=SimpleNamespace(stats=lambda: counts)),
        balancer=SimpleNamespace(stats=lambda: [SimpleNamespace(key="p/m", openings=1)]),
    )
    Gauges(cast("Any", parts)).count()
    assert sampled(parts.metrics, "steelyard_cache_hits_total", "tier") == {("memory",): 2.0}
    assert sampled(parts.metrics, "steelyard_cache_events_total", "event")[("errors",)] == 1.0
    assert sampled(parts.metrics, "steelyard_request_log_rows_total", "state")[("written",)] == 3.0
    assert sampled(parts.metrics, "steelyard_dwa_breaker_openings_total", "provider") == {("p",): 1.0}


def test_providers_are_called_as_opentelemetry_calls_them_and_tags_of_settings_come_first() -> None:
    metrics = Metrics()
    one = deployment("gemini/m")
    known = replace(one, target=replace(one.target, upstream="upstream-name"))
    key = Key(name="k", key=Secret("k" * 32), tags=("of-key",))
    settings = replace(Settings(), keys=(key,), limits=replace(LimitSettings(), tags={"of-limits": Rates()}))
    introduce(metrics, settings, [known, deployment("b/m")])
    for provider in ("gemini", "b"):
        metrics._attempt("chat", Attempt(provider, "m", 0.0, "ok", 1.0))
    names = ("gen_ai_provider_name", "gen_ai_request_model")
    assert set(sampled(metrics, "gen_ai_client_operation_duration_seconds_count", *names)) == {
        ("gcp.gemini", "upstream-name"),
        ("b", "m"),
    }
    for number in range(200):
        metrics._tags(f"tag-{number}")
    assert [metrics._tags(tag) for tag in ("of-key", "of-limits", "late")] == ["of-key", "of-limits", "other"]


def test_known_providers_have_the_names_of_the_conventions() -> None:
    told = {one.gen_ai or one.name for one in PROVIDERS}
    # Of the conventions' list; it has none for servers of one's own.
    assert told - {"openai", "anthropic", "gcp.gemini", "x_ai"} == {one.name for one in PROVIDERS if one.free}


def test_a_call_of_a_tool_is_told_by_both_names() -> None:
    metrics = Metrics()
    metrics.tool_called("server", "search", "ok", 0.5)
    metrics.tool_called("server", "search", "timed_out", 9.0)
    told = sampled(metrics, "gen_ai_execute_tool_duration_seconds_sum", "gen_ai_tool_name", "error_type")
    assert told == {("search", ""): 0.5, ("search", "timed_out"): 9.0}
    assert sum(sampled(metrics, "steelyard_mcp_calls_total").values()) == 2.0


@paused
async def test_a_late_event_loop_is_told_by_how_much() -> None:
    late: list[float] = []
    watching = asyncio.create_task(vitals.watch(late.append))
    await asyncio.sleep(2.5)
    assert late == [0.0, 0.0]
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PausedLoop)
    loop.now += 4.0  # something held it up
    await asyncio.sleep(1.0)
    watching.cancel()
    assert late[2] == pytest.approx(3.5)


def test_a_process_uses_time_and_memory() -> None:
    before = vitals.cpu_seconds()
    assert before > 0.0
    sum(range(10**6))
    assert vitals.cpu_seconds() > before
    held = vitals.resident_bytes()
    assert (held is None) == (not Path("/proc/self/statm").exists())
    assert held is None or held > 2**20


def purse(kind: Any, name: str, at: float, units: int | None) -> Purse:
    """As it was heard of at that time; None: it was not."""
    made = Purse(claim_of(kind, name, TEN_A_DAY, at), at)
    if units is not None:
        made.wanted, made.known = 0, units
    return made


def test_of_a_budget_the_present_period_is_told_and_of_keys_only_configured_ones() -> None:
    metrics, day = Metrics(), 86_400.0
    ten = claim_of("tag", "red", TEN_A_DAY, 0.0).limit
    purses = [
        purse("tag", "red", 20 * day, ten // 4),
        purse("tag", "red", 19 * day, ten),
        purse("tag", "unheard", 20 * day, None),
        purse("key", "configured", 20 * day, ten * 2),
        purse("key", "managed", 20 * day, ten),
    ]
    Showing(metrics, {"configured"}, lambda: 20.5 * day)(purses)
    left = sampled(metrics, "steelyard_budget_left_usd", "kind", "name")
    # An alert is for budgets that do not hold, and has to see by how much.
    assert left == {("tag", "red"): 7.5, ("key", "configured"): -10.0}
    assert sampled(metrics, "steelyard_budget_used_ratio", "kind", "name")[("tag", "red")] == 0.25
    assert set(sampled(metrics, "steelyard_budget_limit_usd").values()) == {20.0}


def test_a_budget_that_nobody_asks_of_any_more_begins_anew_all_the_same() -> None:
    metrics, day, now = Metrics(), 86_400.0, [20.5 * 86_400.0]
    show = Showing(metrics, (), lambda: now[0])
    spent = purse("tag", "red", now[0], claim_of("tag", "red", TEN_A_DAY, 0.0).limit)

    def left() -> float:
        return sampled(metrics, "steelyard_budget_left_usd")[()]

    show([spent])
    show([])
    assert left() == 0.0
    now[0] = 21 * day
    show([spent])  # it is not let go of at once
    assert left() == 10.0
    show([purse("tag", "red", now[0], 0), spent])
    assert left() == 10.0


def test_of_what_a_provider_allows_two_workers_tell_the_least_whoever_is_asked(tmp_path: Path) -> None:
    def asked(left: float) -> str:
        """What a worker tells that has heard this."""
        code = "m = Metrics(shared_dir=sys.argv[1]); m.quota_left('p', 'm', 'requests').set(float(sys.argv[2]))"
        script = f"import sys; from gateway.metrics import Metrics; {code}; print(m.render().decode())"
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        command = [sys.executable, "-c", script, str(tmp_path), str(left)]
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout

    told = [re.findall(r"^steelyard_quota_remaining{.*} (.*)$", asked(left), re.MULTILINE) for left in (3.0, 9.0)]
    assert told == [["3.0"], ["3.0"]]
