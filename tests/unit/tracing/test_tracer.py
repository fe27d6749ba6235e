"""What the gateway asks of traces: begun, gone on with, and told; or none at all."""

from __future__ import annotations

from tracing_world import Kept, a_tracer

from gateway.tracing.places import Here, enter

PARENT = {b"traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"tracestate": b"v=1"}


def test_without_a_sender_only_what_callers_begin_is_passed_on() -> None:
    tracer = a_tracer(None)
    assert tracer.begin({}, "/v1") is None
    trace = tracer.begin(PARENT, "/v1")
    assert trace is not None
    assert (trace.traceparent.encode(), trace.state, trace.relayed) == (PARENT[b"traceparent"], "v=1", True)
    assert trace.tells("mine")
    enter(Here("req_1", "", trace))
    tracer.tool_called("s", "t", "ok", 1.0)
    assert tracer.resumed(1, 2, 0, None) is None


def test_a_call_of_a_tool_is_below_what_calls_it() -> None:
    sender = Kept()
    tracer = a_tracer(sender)
    tracer.tool_called("clock", "now", "ok", 1.5)
    assert not sender.spans, "nobody is known who would have called it"
    trace = tracer.begin(PARENT, "/api/mcp-tools/clock/now")
    enter(Here("req_1", "", trace))
    tracer.tool_called("clock", "now", "ok", 1.5)
    tracer.tool_called("clock", "now", "timeout", 0.5)
    good, bad = sender.spans
    assert trace is not None
    assert (good.name, good.kind, good.parent, good.trace) == ("tools/call now", "client", trace.span, trace.trace)
    assert (good.start, good.end, good.failed) == (98.5, 100.0, False)
    assert good.facts["gen_ai.operation.name"] == "execute_tool"
    assert good.facts["mcp.method.name"] == "tools/call"
    assert "error.type" not in good.facts
    assert (bad.failed, bad.facts["error.type"]) == (True, "timeout")


def test_what_is_not_sampled_is_not_sent() -> None:
    sender = Kept(wanted=False)
    tracer = a_tracer(sender)
    trace = tracer.begin({}, "/v1")
    assert trace is not None
    enter(Here("req_1", "", trace))
    tracer.tool_called("clock", "now", "ok", 1.5)
    tracer.served(trace, "GET", "/v1", 200)
    assert not sender.spans


def test_of_an_execution_the_same_spans_follow_in_every_process() -> None:
    one, another = a_tracer(Kept()).resumed(1, 2, 3, None), a_tracer(Kept()).resumed(1, 2, 3, None)
    assert one is not None
    assert another is not None
    assert (one.traceparent, one.parent) == (another.traceparent, another.parent) == (one.traceparent, 3)
