"""Executions in traces: one from whoever begins it to the last prompt, whichever process runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.flows import Flows, Oracle, an_oracle, flows_in, prompts
from tests.acceptance.workflow_fleet import a_fleet
from tests.collector import Collector, Seen, a_collector

SPAN = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with a_collector() as made:
        yield made


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with an_oracle() as made:
        yield made


@pytest.fixture(scope="module")
def flows(oracle: Oracle, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flows]:
    told = {**environ(collector), "STEELYARD_TRACING_PROPAGATE": "oracle"}
    with flows_in(tmp_path_factory.mktemp("traced"), oracle, **told) as made:
        yield made


def environ(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}


def begin(flows: Flows, slug: str, parent: str) -> str:
    answer = flows.call("POST", f"/api/workflows/{slug}/execute", {"inputs": {}}, traceparent=parent)
    assert answer.status == 202, answer.body
    assert answer.headers["x-steelyard-trace-id"] == parent.split("-")[1]
    return answer.json["execution_id"]


def below(spans: list[Seen], span: Seen) -> list[Seen]:
    return [one for one in spans if one.parent == span.span]


def test_an_execution_that_another_worker_goes_on_with_is_one_trace(
    oracle: Oracle, collector: Collector, tmp_path: Path
) -> None:
    trace = "1" * 32
    database = f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
    with a_fleet(tmp_path, oracle, database, lease=2.0, **environ(collector)) as fleet:
        flows = fleet.flows
        flows.save(prompts("two-workers", "w-first", "w-second WAIT", "w-third"))
        first = fleet.worker(**environ(collector))
        oracle.hold("WAIT")
        begun = begin(flows, "two-workers", f"00-{trace}-{SPAN}-01")
        flows.eventually(lambda: oracle.times("w-second") == 1)
        collector.eventually(lambda: collector.named("step n0", trace))
        first.kill()
        oracle.go_on()
        fleet.worker(**environ(collector))
        assert flows.until(begun)["status"] == "completed"
        collector.eventually(lambda: collector.named("invoke_workflow two-workers", trace))
        collector.eventually(lambda: collector.named("POST /api/workflows/{slug}/execute", trace))
    spans = collector.of(trace)
    (server,) = collector.named("POST /api/workflows/{slug}/execute", trace)
    assert server.parent == SPAN
    (attempt,) = below(spans, server)
    assert attempt.name == "invoke_workflow two-workers"
    assert attempt.facts["gen_ai.operation.name"] == "invoke_workflow"
    assert attempt.facts["steelyard.execution_id"] == begun
    assert attempt.facts["steelyard.execution.status"] == "completed"
    steps = below(spans, attempt)
    assert [one.name for one in steps] == ["step n0", "step n1", "step n2"]
    workers = {one.name: one.resource["service.instance.id"] for one in (*steps, attempt)}
    assert workers["step n0"] != workers["step n1"] == workers["step n2"] == workers["invoke_workflow two-workers"]
    for step in steps:
        (prompt,) = below(spans, step)
        assert prompt.name == f"prompt {step.facts['steelyard.node']}"
        assert prompt.facts["steelyard.execution_id"] == begun
        (asked,) = below(spans, prompt)
        assert (asked.name, asked.kind) == ("chat sage", "client")
    # Nobody has said that it may be told.
    assert not any("w-first" in question for question in oracle.traceparents)


def test_an_execution_that_waits_goes_on_in_its_trace_and_its_provider_is_told_where_it_is_to_be(
    flows: Flows, oracle: Oracle, collector: Collector
) -> None:
    trace = "3" * 32
    definition = {
        "slug": "asks",
        "name": "Asks",
        "nodes": {
            "ok": {"type": "approval", "message": "Go?"},
            "each": {
                "type": "map",
                "over": "[1, 2]",
                "node": {"type": "prompt", "prompt": "w-item {{ item }}"},
            },
        },
        "edges": [{"source": "ok", "target": "each"}],
    }
    flows.save(definition)
    begun = begin(flows, "asks", f"00-{trace}-{SPAN}-01")
    flows.until(begun, "waiting")
    decision = {"node": "ok", "decision": "approve"}
    assert flows.call("POST", f"/api/executions/{begun}/approve", decision).status < 300
    assert flows.until(begun)["status"] == "completed"
    collector.eventually(lambda: len(collector.named("invoke_workflow asks", trace)) == 2)
    spans = collector.of(trace)
    waited, went_on = collector.named("invoke_workflow asks", trace)
    assert waited.facts["steelyard.execution.status"] == "waiting"
    assert went_on.facts["steelyard.execution.attempt"] == 2
    assert waited.parent == went_on.parent
    (each,) = [one for one in below(spans, went_on) if one.name == "step each"]
    items = below(spans, each)
    assert sorted(one.facts["steelyard.step.item"] for one in items) == [0, 1]
    assert all(below(spans, one)[0].name == "prompt each" for one in items)
    asked = [one for one in spans if one.kind == "client"]
    told = [oracle.traceparents[f"w-item {number}"] for number in (1, 2)]
    assert sorted(map(str, told)) == sorted(f"['00-{trace}-{one.span}-01']" for one in asked)


def test_a_failed_step_says_why_and_a_trace_that_is_not_wanted_stays_unsent(
    flows: Flows, oracle: Oracle, collector: Collector
) -> None:
    flows.save(prompts("refused", "w-refused"))
    oracle.fail("w-refused")
    unwanted = "2" * 32
    assert flows.until(begin(flows, "refused", f"00-{unwanted}-{SPAN}-00"))["status"] == "failed"
    answer = flows.call("POST", "/api/workflows/refused/execute", {"inputs": {}})
    assert flows.until(answer.json["execution_id"])["status"] == "failed"
    trace = answer.headers["x-steelyard-trace-id"]
    collector.eventually(lambda: collector.named("invoke_workflow refused", trace))
    assert not collector.of(unwanted)
    (attempt,) = collector.named("invoke_workflow refused", trace)
    (step,) = collector.named("step n0", trace)
    assert attempt.failed
    assert step.failed
    assert step.facts["error.type"] == "rude"
    assert "I will not say" in step.said
