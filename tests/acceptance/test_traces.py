"""Traces as a collector gets them: one of each request, whatever befell it, and nothing in it that must not be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.secrets import Secret
from tests.acceptance.driving import GEMINI, World, impatient, world_in
from tests.collector import Collector, Seen, a_collector, traced

#: A caller's, by the specification's own example.
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(autouse=True, scope="module")
def _soon() -> Iterator[None]:
    """Spans leave at once, and not within five seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with a_collector() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    headers = Secret("x-team=blue,authorization=Basic%20abc")
    told = traced(collector, headers=headers, resource="deployment.environment.name=test")
    with world_in(tmp_path_factory.mktemp("traced"), impatient, told) as made:
        yield made


def _recording(settings: Settings) -> Settings:
    return replace(settings, request_log=replace(settings.request_log, bodies=True))


@pytest.fixture
def world(gateway: World) -> Iterator[World]:
    gateway.forget()
    yield gateway
    gateway.forget()


def trace_of(collector: Collector, trace: str, count: int) -> list[Seen]:
    """The spans of a trace, once so many are there; those above first."""
    collector.eventually(lambda: len(collector.of(trace)) >= count)
    found = collector.of(trace)
    assert len(found) == count, [one.name for one in found]
    return found


def test_a_request_is_a_span_with_one_for_its_attempt(world: World, collector: Collector) -> None:
    answer = world.chat("Hello")
    trace = answer.headers["x-steelyard-trace-id"]
    server, attempt = trace_of(collector, trace, 2)
    assert (server.name, server.kind, server.parent, server.failed) == (
        "POST /v1/chat/completions",
        "server",
        "",
        False,
    )
    assert server.facts["steelyard.request_id"] == answer.headers["x-steelyard-request-id"]
    assert server.facts["http.response.status_code"] == 200
    assert server.facts["http.route"] == server.facts["url.path"] == "/v1/chat/completions"
    assert server.facts["steelyard.reason"] == answer.headers["x-steelyard-reason"]
    assert (attempt.name, attempt.kind, attempt.parent) == ("chat sim-chat", "client", server.span)
    assert attempt.facts["gen_ai.operation.name"] == "chat"
    assert attempt.facts["gen_ai.provider.name"] == "sim-openai"
    assert attempt.facts["gen_ai.request.model"] == "sim-chat"
    usage = answer.json["usage"]
    assert attempt.facts["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert attempt.facts["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert attempt.facts["gen_ai.response.finish_reasons"] == [answer.json["choices"][0]["finish_reason"]]
    assert attempt.facts["server.address"] == "127.0.0.1"
    assert isinstance(attempt.facts["server.port"], int)
    assert server.start <= attempt.start <= attempt.end <= server.end
    assert attempt.facts["steelyard.cost_usd"] == pytest.approx(float(answer.headers["x-steelyard-cost-usd"]))


def test_the_choice_is_told_with_its_candidates(world: World, collector: Collector) -> None:
    answer = world.orchestrate(prompt="Hello there", cache=False)
    server, attempt = trace_of(collector, answer.headers["x-steelyard-trace-id"], 2)
    (choice,) = [one for one in server.moments if one.name == "steelyard.choice"]
    chosen = f"{attempt.facts['steelyard.provider']}/{attempt.facts['gen_ai.request.model']}"
    assert choice.facts["steelyard.candidates"][0] == chosen
    assert len(choice.facts["steelyard.candidates"]) == len(choice.facts["steelyard.candidates.score"]) > 1
    assert choice.facts["steelyard.reason"] == answer.headers["x-steelyard-reason"]
    assert server.start <= choice.at <= attempt.start


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_fallback_is_a_sibling_of_the_attempt_that_failed(world: World, collector: Collector, streamed: bool) -> None:
    world.running.control("sim-openai", "down")
    order = ["sim-openai", "sim-anthropic"]
    asked = {"prompt": "Again", "model": "sim-chat", "mode": "fallback"}
    answer = world.orchestrate(**asked, providers=order, stream=streamed, cache=False)
    assert answer.status == 200
    server, failed, good = trace_of(collector, answer.headers["x-steelyard-trace-id"], 3)
    attempts = [failed, good]
    assert [one.parent for one in attempts] == [server.span] * 2
    assert failed.failed
    assert failed.facts["error.type"] == "overloaded"
    assert failed.facts["http.response.status_code"] == 500
    assert not good.failed
    assert "error.type" not in good.facts
    assert good.facts["steelyard.provider"] == "sim-anthropic"
    assert not server.failed
    assert server.facts["steelyard.attempts"] == 2
    if streamed:
        assert good.facts["gen_ai.request.stream"] is True
        assert good.facts["gen_ai.response.time_to_first_chunk"] > 0
        assert good.facts["gen_ai.usage.output_tokens"] > 0
        assert good.facts["gen_ai.response.finish_reasons"] == ["stop"]
        assert server.end >= good.end


def test_when_nobody_answers_the_request_has_failed(world: World, collector: Collector) -> None:
    for provider in world.running.state():
        world.running.control(provider, "down")
    answer = world.chat("Anybody?")
    assert answer.status == 503
    server, *attempts = trace_of(collector, answer.headers["x-steelyard-trace-id"], 2)
    assert server.failed
    assert server.facts["error.type"] == answer.json["error"]["code"]
    assert server.facts["steelyard.error.source"] == "provider"
    assert all(one.failed and one.said for one in attempts)


def test_a_caller_s_mistake_is_a_request_and_no_failure_of_ours(world: World, collector: Collector) -> None:
    for answer in (world.chat("Hi", model="no-such-model"), world.post("/v1/chat/completions", b"{")):
        assert 400 <= answer.status < 500
        (server,) = trace_of(collector, answer.headers["x-steelyard-trace-id"], 1)
        assert not server.failed
        assert server.facts["http.response.status_code"] == answer.status
        assert server.facts["error.type"]


def test_a_hit_in_the_cache_asks_nobody(world: World, collector: Collector) -> None:
    world.chat("Kept?", temperature=0)
    answer = world.chat("Kept?", temperature=0)
    assert answer.headers["x-steelyard-cache"] == "hit"
    (server,) = trace_of(collector, answer.headers["x-steelyard-trace-id"], 1)
    assert server.facts["steelyard.cache"] == "hit"
    assert [one.name for one in server.moments] == ["steelyard.cache.hit"]


def test_the_caller_s_trace_goes_on(world: World, collector: Collector) -> None:
    answer = world.chat("Go on", headers={"traceparent": PARENT, "tracestate": "vendor=a1"})
    assert answer.headers["x-steelyard-trace-id"] == TRACE
    server, attempt = trace_of(collector, TRACE, 2)
    assert server.parent == SPAN
    assert attempt.parent == server.span
    assert {server.state, attempt.state} == {"vendor=a1"}
    tags = world.record(answer.headers["x-steelyard-request-id"])["tags"]
    assert tags == {"steelyard_trace_id": TRACE}


def test_a_trace_that_the_caller_does_not_want_is_not_sent(world: World, collector: Collector) -> None:
    unwanted = "1" * 32
    answer = world.chat("Quietly", headers={"traceparent": f"00-{unwanted}-{SPAN}-00"})
    assert answer.headers["x-steelyard-trace-id"] == unwanted
    wanted = world.chat("Aloud").headers["x-steelyard-trace-id"]
    trace_of(collector, wanted, 2)
    assert not collector.of(unwanted)


@pytest.mark.parametrize("given", ["", "rubbish", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", PARENT + "-x"])
def test_what_is_no_context_begins_a_trace(world: World, collector: Collector, given: str) -> None:
    trace = world.chat("Hello", headers={"traceparent": given}).headers["x-steelyard-trace-id"]
    assert trace != TRACE
    server, _ = trace_of(collector, trace, 2)
    assert server.parent == ""


def test_gemini_s_addresses_have_one_name(world: World, collector: Collector) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    answer = world.post(f"/v1beta/models/{GEMINI}:generateContent?key=AIzaSecretSecretSecret", body)
    assert answer.status == 200, answer.body
    server, _ = trace_of(collector, answer.headers["x-steelyard-trace-id"], 2)
    assert server.name == "POST /v1beta/models/{model}:generateContent"
    assert "Secret" not in str(server.facts)


def test_an_ordinary_route_is_a_span_by_its_template_and_a_look_at_the_health_is_none(
    world: World, collector: Collector
) -> None:
    found = world.get("/api/db/requests/req_none")
    (span,) = trace_of(collector, found.headers["x-steelyard-trace-id"], 1)
    assert (span.name, span.facts["http.response.status_code"]) == ("GET /api/db/requests/{request_id}", 404)
    assert not span.failed
    for path in ("/health", "/api/health", "/metrics"):
        assert "x-steelyard-trace-id" not in world.get(path).headers


def test_a_comparison_has_all_its_parts_below_one_request(world: World, collector: Collector) -> None:
    answer = world.orchestrate(
        prompt="Compare", model="sim-chat", mode="compare", providers=["sim-openai", "sim-anthropic"], cache=False
    )
    spans = trace_of(collector, answer.headers["x-steelyard-trace-id"], 5)
    (server,) = [one for one in spans if one.kind == "server"]
    parts = [one for one in spans if one.kind == "internal"]
    attempts = [one for one in spans if one.kind == "client"]
    assert [one.parent for one in parts] == [server.span] * 2
    assert {one.parent for one in attempts} == {one.span for one in parts}


def test_nothing_that_was_said_is_in_a_span(world: World, collector: Collector) -> None:
    answer = world.chat("The password is xyzzy-plugh")
    said = answer.json["choices"][0]["message"]["content"]
    told = str(trace_of(collector, answer.headers["x-steelyard-trace-id"], 2))
    assert "xyzzy" not in told
    assert said not in told


def test_the_collector_is_told_who_sends_and_is_sent_its_headers(world: World, collector: Collector) -> None:
    trace_of(collector, world.chat("Who?").headers["x-steelyard-trace-id"], 2)
    assert collector.headers[-1]["x-team"] == "blue"
    assert collector.headers[-1]["authorization"] == "Basic abc"
    assert set(collector.paths) == {"/v1/traces"}
    about = collector.spans[-1].resource
    assert about["service.name"] == "steelyard"
    assert about["deployment.environment.name"] == "test"
    assert about["service.version"]


def test_bodies_are_in_spans_when_asked_for_and_masked(collector: Collector, tmp_path: Path) -> None:
    with world_in(tmp_path, traced(collector, bodies=True), _recording) as world:
        answer = world.chat("Mail ann@example.com, sk-abcdefghijklmnopqrstuv")
        server, _ = trace_of(collector, answer.headers["x-steelyard-trace-id"], 2)
    assert '"role":' in server.facts["steelyard.request_body"]
    assert "ann@example.com" not in server.facts["steelyard.request_body"]
    assert "sk-abc" not in server.facts["steelyard.request_body"]
    assert answer.json["id"] in server.facts["steelyard.response_body"]


def test_a_collector_that_never_answers_keeps_nobody_waiting(tmp_path: Path) -> None:
    with a_collector() as silent:
        silent.silent = threading.Event()
        with world_in(tmp_path, traced(silent)) as world:
            assert world.chat("First").status == 200
            silent.eventually(lambda: silent.asked)
            assert [world.chat(f"While it is silent {number}").status for number in range(3)] == [200] * 3
        # Nor does the end.
        assert not silent.spans
