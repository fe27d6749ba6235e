"""The native form: events of a stream, dressed answers, and what a session remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from gateway_world import World, drain, exchange, finished, reply, said, streaming
from msgspec import Raw
from paused_time import paused

from gateway.api import native
from gateway.api.native import Native, NativeEncoder, closing, dress, metadata
from gateway.api.orchestrate import ORCHESTRATE
from gateway.caching import Kept
from gateway.exchange import Attempt, Exchange, Preferences
from gateway.metering import Meter
from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    Choice,
    Citation,
    Cited,
    Finish,
    Image,
    ImageDelta,
    Part,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.client import Piece
from providers.dialects import OPENAI
from providers.sse import Event, Parser

SOURCE = Citation("https://x/y", "Y", 1, 3)
SEALED = {"type": "reasoning.encrypted", "data": "anthropic:x"}
PROVEN = {"type": "reasoning.text", "text": "hmm", "signature": "anthropic:s"}
SIGNED = {"extra_content": {"google": {"thought_signature": "gemini:c2ln"}}}
USAGE = Usage(10, 5, cached_tokens=3, cache_write_tokens=1, reasoning_tokens=2)


def events(data: bytes) -> list[tuple[str, Any]]:
    return [(one.type, msgspec.json.decode(one.data)) for one in Parser().feed(data)]


def kept(*parts: Part, usage: Usage = USAGE) -> Kept:
    body = Native().render(ChatReply("c1", "m", [Choice(list(parts), "stop")], usage))
    return Kept("a", "m", [body], usage, "stop", simulated=False)


@pytest.mark.parametrize(
    ("chunk", "delta"),
    [
        (TextDelta("hel"), {"text": "hel"}),
        (ReasoningDelta("hm"), {"reasoning": "hm"}),
        (RefusalDelta("no"), {"refusal": "no"}),
        (
            ToolCallDelta(0, id="t1", name="find", arguments=""),
            {"tool_call": {"index": 0, "id": "t1", "name": "find", "arguments": ""}},
        ),
        (ToolCallDelta(1, '{"a"'), {"tool_call": {"index": 1, "arguments": '{"a"'}}),
        (
            ToolCallDelta(0, id="t1", name="find", signature="c2ln"),
            {"tool_call": {"index": 0, "id": "t1", "name": "find", "arguments": "", **SIGNED}},
        ),
        (ReasoningDelta(redacted="anthropic:x"), {"reasoning_details": [SEALED]}),
        (ImageDelta(Image(data="QUE=", media_type="image/png")), {"images": ["data:image/png;base64,QUE="]}),
        (TextDelta("a", logprobs=Raw(b'{"content":[]}')), {"text": "a", "logprobs": {"content": []}}),
        (Cited([SOURCE]), {"citations": [{"url": "https://x/y", "title": "Y", "start": 1, "end": 3}]}),
    ],
)
def test_content_is_a_delta(chunk: ChatChunk, delta: dict[str, object]) -> None:
    assert events(NativeEncoder().encode(chunk)) == [("result.delta", delta)]


def test_a_proof_of_thought_goes_out_with_all_that_it_proves() -> None:
    encoder = NativeEncoder()
    pieces = [ReasoningDelta("hm"), ReasoningDelta("m"), ReasoningDelta(signature="anthropic:s")]
    deltas = [delta for chunk in pieces for _, delta in events(encoder.encode(chunk))]
    assert deltas == [{"reasoning": "hm"}, {"reasoning": "m"}, {"reasoning_details": [PROVEN]}]


def test_the_end_tells_the_tier_and_where_it_was_stopped() -> None:
    encoder = NativeEncoder()
    for chunk in (Begin("c1", "m", service_tier="priority"), Finish("stop", stop_sequence="END")):
        encoder.encode(chunk)
    ((_, done),) = events(encoder.end())
    assert (done["service_tier"], done["stop_sequence"]) == ("priority", "END")


@pytest.mark.parametrize("chunk", [Begin("c1", "m"), Finish("stop"), UsageReport(USAGE)])
def test_what_is_no_content_is_no_event(chunk: ChatChunk) -> None:
    assert NativeEncoder().encode(chunk) == b""


def test_the_end_tells_why_and_how_much() -> None:
    encoder = NativeEncoder()
    for chunk in (Begin("c1", "m"), UsageReport(Usage(10, 1)), Finish("length"), UsageReport(USAGE)):
        encoder.encode(chunk)
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "cached_tokens": 3,
        "cache_write_tokens": 1,
        "reasoning_tokens": 2,
    }
    assert events(encoder.end()) == [("result.done", {"finish_reason": "length", "usage": usage})]


@pytest.mark.parametrize("text", ["a\n\nb", "a\r\nb", 'quote "', "ünïcode \u2028", "data: x"])
def test_text_never_breaks_an_event(text: str) -> None:
    assert events(NativeEncoder().encode(TextDelta(text))) == [("result.delta", {"text": text})]


def on_a_loop(test: Callable[[], None]) -> Callable[[], None]:
    @paused
    async def inside() -> None:
        test()

    inside.__name__ = test.__name__
    return inside


@on_a_loop
def test_an_answer_is_dressed_anew_for_each_exchange() -> None:
    answer = kept(Text("hel"), Text("lo"))
    for identity, cache in (("req_1", "miss"), ("req_2", "hit"), ("req_3", "coalesced")):
        one = exchange(id=identity, cache=cache, provider="a", model="m", cost=0.25, seconds=1.5, simulated=True)
        told = msgspec.json.decode(dress(one, answer))
        assert told["request_id"] == identity
        (result,) = told["results"]
        assert result["response"] == "hello"
        assert result["cached"] is (cache != "miss")
        assert told["metadata"]["cached_response"] is (cache != "miss")
        assert (result["tokens_used"], result["cost_usd"], result["response_time"]) == (15, 0.25, 1.5)
        assert (result["provider"], result["model"], result["finish_reason"]) == ("a", "m", "stop")
        assert result["simulated"] is True
        assert "tool_calls" not in result
        assert "refusal" not in result


@on_a_loop
def test_calls_and_refusals_are_told_apart_from_text() -> None:
    answer = kept(ToolCall("t1", "find", '{"a":1}'), RefusalText("no"))
    (result,) = msgspec.json.decode(dress(exchange(), answer))["results"]
    assert result["response"] == ""
    assert result["tool_calls"] == [{"id": "t1", "name": "find", "arguments": '{"a":1}'}]
    assert result["refusal"] == "no"


@on_a_loop
def test_whatever_an_answer_holds_is_told() -> None:
    parts = [
        Reasoning("hmm", "anthropic:s"),
        Reasoning(redacted="anthropic:x"),
        Text("It is so."),
        Image(url="https://x/z.png"),
        ToolCall("t1", "find", "{}", "c2ln"),
    ]
    choice = Choice(list(parts), "stop", "END", Raw(b'{"content":[]}'), [SOURCE])
    body = Native().render(ChatReply("c1", "m", [choice], USAGE, service_tier="priority"))
    (result,) = msgspec.json.decode(dress(exchange(), Kept("a", "m", [body], USAGE, "stop", simulated=False)))[
        "results"
    ]
    assert result["reasoning"] == "hmm"
    assert result["reasoning_details"] == [PROVEN, SEALED]
    assert result["tool_calls"] == [{"id": "t1", "name": "find", "arguments": "{}", **SIGNED}]
    assert result["citations"] == [{"url": "https://x/y", "title": "Y", "start": 1, "end": 3}]
    assert result["images"] == ["https://x/z.png"]
    assert result["logprobs"] == {"content": []}
    assert (result["stop_sequence"], result["service_tier"]) == ("END", "priority")


@on_a_loop
def test_a_session_keeps_what_proves_the_thoughts() -> None:
    message = {
        "role": "assistant",
        "content": "So.",
        "reasoning_details": [PROVEN, SEALED],
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}, **SIGNED}],
    }
    parts = [Reasoning("hmm", "anthropic:s"), Reasoning(redacted="anthropic:x"), Text("So.")]
    assert native.said(exchange(), kept(*parts, ToolCall("t1", "find", "{}", "c2ln"))) == message
    chunks: list[ChatChunk] = [
        *(ReasoningDelta("hm"), ReasoningDelta("m"), ReasoningDelta(signature="anthropic:s")),
        *(ReasoningDelta(redacted="anthropic:x"), TextDelta("S"), TextDelta("o.")),
        *(ToolCallDelta(0, id="t1", name="find", signature="c2ln"), ToolCallDelta(0, "{}")),
    ]
    assert native.said(exchange(said=chunks), None) == message
    assert OPENAI.parse(msgspec.json.encode({"model": "m", "messages": [message]})).conversation().turns[0].parts == [
        *parts,
        ToolCall("t1", "find", "{}", "c2ln"),
    ]


@on_a_loop
def test_a_session_keeps_words_of_refusal() -> None:
    told = {"role": "assistant", "content": "", "refusal": "no."}
    assert native.said(exchange(), kept(RefusalText("no."))) == told
    assert native.said(exchange(said=[RefusalDelta("n"), RefusalDelta("o.")]), None) == told


@on_a_loop
def test_metadata_tells_what_befell_the_exchange() -> None:
    one = exchange(
        strategy="priority",
        objective="balanced",
        reason="only_candidate",
        provider="a",
        model="m",
        cost=0.5,
        seconds=1.23456789,
        overhead=0.00123,
        logged=True,
        preferences=Preferences(session_id="s"),
    )
    one.attempts = [Attempt("b", "m", 0.0, "overloaded", 0.123456)]
    assert metadata(one) == {
        "total_response_time": 1.234568,
        "overhead_ms": 1.23,
        "cached_response": False,
        "dwa_selection_reason": "only_candidate",
        "strategy": "priority",
        "objective": "balanced",
        "provider": "a",
        "model": "m",
        "cost_usd": 0.5,
        "attempts": [{"provider": "b", "model": "m", "outcome": "overloaded", "seconds": 0.1235}],
        "session_id": "s",
        "database_logged": True,
    }
    ((name, told),) = events(closing(one))
    assert name == "metadata"
    assert told == {"request_id": "req_1", **metadata(one)}


@paused
async def test_a_whole_request_is_answered_in_the_native_form() -> None:
    world = World()
    world.upstreams.on("a", reply("bonjour"))
    ask = world.ask(surface=ORCHESTRATE, prompt="hi", messages=None)
    told = msgspec.json.decode(dress(ask.exchange, await world.pipeline.reply(ask)))
    assert told["results"][0]["response"] == "bonjour"
    assert told["results"][0]["dwa_score"] == 1.0
    again = world.ask(surface=ORCHESTRATE, prompt="hi", messages=None)
    told = msgspec.json.decode(dress(again.exchange, await world.pipeline.reply(again)))
    assert (told["metadata"]["cached_response"], told["results"][0]["dwa_score"]) == (True, None)
    assert told["metadata"]["cost_usd"] == 0.0


@paused
async def test_a_stream_is_deltas_then_done() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("hel"), said("lo"), finished()))
    ask = world.ask(surface=ORCHESTRATE, prompt="hi", messages=None, stream=True)
    pieces = await drain((await world.pipeline.stream(ask)).pieces())
    told = events(b"".join(pieces))
    assert [name for name, _ in told] == ["result.delta", "result.delta", "result.done"]
    assert [data["text"] for name, data in told if name == "result.delta"] == ["hel", "lo"]
    assert told[-1][1]["finish_reason"] == "stop"
    assert told[-1][1]["usage"]["total_tokens"] == 15


# ------------------------------------------------------------------------------------------------ what a session keeps


@on_a_loop
def test_a_cost_is_told_without_the_noise_of_its_sum() -> None:
    one = exchange()
    one.cost = 2 * 1e-6 + 60 * 2e-6
    assert one.cost != 0.000122, "or there is nothing to see"
    assert metadata(one)["cost_usd"] == 0.000122
    one.cost = 4e-9
    assert metadata(one)["cost_usd"] == 4e-9


@on_a_loop
def test_a_session_keeps_text_and_calls() -> None:
    answer = kept(Text("look"), ToolCall("t1", "find", "{}"))
    assert native.said(exchange(), answer) == {
        "role": "assistant",
        "content": "look",
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    }
    assert native.said(exchange(), kept(Text("hi"))) == {"role": "assistant", "content": "hi"}


def _streamed(*chunks: ChatChunk) -> Exchange:
    one = exchange(said=[])
    meter = Meter(10, 0, one.said)
    for chunk in chunks:
        meter.note([Piece(Event("", b"", b""), [chunk], usage_only=False)])
    return one


@on_a_loop
def test_a_session_keeps_the_text_of_a_stream_without_thoughts() -> None:
    one = _streamed(TextDelta("hel"), ReasoningDelta("hm"), TextDelta("lo"))
    assert native.said(one, None) == {"role": "assistant", "content": "hello"}


@paused
async def test_a_session_keeps_the_calls_of_a_stream() -> None:
    await asyncio.sleep(0)
    one = _streamed(ToolCallDelta(0, id="t1", name="find"), ToolCallDelta(0, "{}"))
    assert native.said(one, None)["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    ]
