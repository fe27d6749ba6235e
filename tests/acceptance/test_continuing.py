"""A broken stream, continued by another provider when the caller asks for it: real SDKs, every pair of dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.tree import RouteSettings
from tests.acceptance.driving import Answer, World, impatient, world_in

DIALECTS = ("sim-openai", "sim-anthropic", "sim-gemini")
PAIRS = [(first, then) for first in DIALECTS for then in (*DIALECTS, "sim-local") if first != then]
ASKED = {"X-Steelyard-Continue": "true"}
QUESTION = "Tell me of balances."
pairs = pytest.mark.parametrize(("first", "then"), PAIRS, ids=lambda name: name.removeprefix("sim-"))


def routed(settings: Settings) -> Settings:
    """A route for every pair, in this order, one that continues unasked, and one with everybody in turn."""
    made = [
        RouteSettings(name=route(first, then), targets=(f"{first}/sim-chat",), fallback=(f"{then}/sim-chat",))
        for first, then in PAIRS
    ]
    made.append(replace(made[0], name="mended", continue_streams=True))
    first, *rest = (f"{name}/sim-chat" for name in (*DIALECTS, "sim-local"))
    made.append(RouteSettings(name="everyone", targets=(first,), fallback=tuple(rest)))
    return replace(settings, routes={one.name: one for one in made})


def route(first: str, then: str) -> str:
    return f"{first}-{then}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("continuing"), impatient, routed) as made:
        yield made


@pytest.fixture
def mending(gateway: World) -> Iterator[World]:
    gateway.forget()
    yield gateway
    gateway.forget()


def whole(world: World, provider: str) -> str:
    """What this provider says when nothing breaks."""
    answer = world.chat(QUESTION, f"{provider}/sim-chat")
    assert answer.status == 200, answer.body
    return answer.json["choices"][0]["message"]["content"]


def seamed(world: World, first: str, text: str) -> str:
    """The text behind the seam: what came before it is the beginning of what the first would have said."""
    full = whole(world, first)
    size = next(n for n in range(len(full), 0, -1) if text.startswith(full[:n]))
    assert 0 < size < len(full), "the first said all of it, or nothing"
    return text[size:]


def chat(world: World, model: str, said: str = QUESTION, *, ask: bool = True, **more: Any) -> Answer:
    return world.chat(said, model, stream=True, headers=ASKED if ask else {}, **more)


def told(answer: Answer) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for _, data in answer.events
        if data != "[DONE]"
        for choice in data.get("choices", ())
    )


def attempts(world: World, answer: Answer) -> list[tuple[str, str]]:
    found = world.record(answer.headers["x-steelyard-request-id"])
    return [(one["provider"], one["outcome"]) for one in found["attempts"]]


@pairs
def test_the_openai_sdk_reads_one_answer_over_the_seam(mending: World, first: str, then: str) -> None:
    mending.running.control(first, "cut", requests=1)
    with openai.OpenAI(base_url=f"{mending.url}/v1", api_key="any", max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(
                model=route(first, then),
                messages=[{"role": "user", "content": QUESTION}],
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=ASKED,
            )
        )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert seamed(mending, first, text).startswith("[simulated] sim-chat read: The connection broke")
    (mark,) = [more["steelyard"] for chunk in chunks if "steelyard" in (more := chunk.model_extra or {})]
    assert (mark["continued"]["provider"], mark["continued"]["model"]) == (then, "sim-chat")
    assert len({chunk.id for chunk in chunks}) == 1, "one answer, one id"
    finished = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert finished == ["stop"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens > len(whole(mending, then)) // 4, "the tokens of both"


def test_the_openai_helper_that_puts_chunks_together_takes_the_mark(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    with (
        openai.OpenAI(base_url=f"{mending.url}/v1", api_key="any", max_retries=0) as client,
        client.chat.completions.stream(
            model=route("sim-openai", "sim-gemini"),
            messages=[{"role": "user", "content": QUESTION}],
            extra_headers=ASKED,
        ) as stream,
    ):
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "stop"
    assert "The connection broke" in seamed(mending, "sim-openai", choice.message.content or "")


@pairs
def test_the_anthropic_sdk_reads_one_message_over_the_seam(mending: World, first: str, then: str) -> None:
    mending.running.control(first, "cut", requests=1)
    with (
        anthropic.Anthropic(base_url=mending.url, api_key="any", max_retries=0) as client,
        client.messages.stream(
            model=route(first, then),
            max_tokens=500,
            messages=[{"role": "user", "content": QUESTION}],
            extra_headers=ASKED,
        ) as stream,
    ):
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert (kinds.count("message_start"), kinds.count("message_stop")) == (1, 1)
    assert message.stop_reason == "end_turn"
    (block,) = message.content
    assert block.type == "text"
    assert seamed(mending, first, block.text).startswith("[simulated] sim-chat read: The connection broke")
    assert message.usage.output_tokens > len(whole(mending, then)) // 4


@pairs
def test_the_google_sdk_reads_one_answer_over_the_seam(mending: World, first: str, then: str) -> None:
    mending.running.control(first, "cut", requests=1)
    options: Any = {"base_url": mending.url, "headers": ASKED, "retry_options": {"attempts": 1}}
    with genai.Client(api_key="any", http_options=options) as client:
        chunks = list(client.models.generate_content_stream(model=route(first, then), contents=QUESTION))
    text = "".join(chunk.text or "" for chunk in chunks)
    assert seamed(mending, first, text).startswith("[simulated] sim-chat read: The connection broke")
    reasons = [one.finish_reason for chunk in chunks for one in chunk.candidates or [] if one.finish_reason]
    assert reasons == [types.FinishReason.STOP]
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.candidates_token_count or 0) > len(whole(mending, then)) // 4


def test_the_mark_for_gemini_callers_is_a_field_in_an_empty_event(mending: World) -> None:
    mending.running.control("sim-gemini", "cut", requests=1)
    path = "/v1beta/models/sim-gemini-sim-openai:streamGenerateContent?alt=sse"
    body = {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]}
    answer = mending.call("POST", path, body, **ASKED)
    told = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    marks = [data["steelyard"]["continued"] for data in told if "steelyard" in data]
    assert [one["provider"] for one in marks] == ["sim-openai"]


def test_the_mark_for_anthropic_callers_is_a_ping(mending: World) -> None:
    mending.running.control("sim-anthropic", "cut", requests=1)
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": "sim-anthropic-sim-openai", "max_tokens": 300, "stream": True, "messages": messages}
    answer = mending.call("POST", "/v1/messages", body, **ASKED)
    marks = [data["steelyard"]["continued"] for name, data in answer.events if name == "ping" and "steelyard" in data]
    assert [one["provider"] for one in marks] == ["sim-openai"]


@pairs
def test_orchestrate_tells_of_the_seam(mending: World, first: str, then: str) -> None:
    mending.running.control(first, "cut", requests=1)
    body = {"prompt": QUESTION, "model": "sim-chat", "mode": "fallback", "providers": [first, then], "stream": True}
    answer = mending.post("/api/llm/orchestrate", body, **ASKED)
    names = [name for name, _ in answer.events]
    assert (names.count("continued"), names[-2:]) == (1, ["result.done", "metadata"])
    assert next(data for name, data in answer.events if name == "continued")["provider"] == then
    metadata = answer.events[-1][1]
    assert metadata["continued"] == 1
    assert [(one["provider"], one["outcome"]) for one in metadata["attempts"]] == [(first, "cut"), (then, "ok")]
    text = "".join(data["text"] for name, data in answer.events if name == "result.delta")
    assert "The connection broke" in seamed(mending, first, text)


def test_both_are_billed_and_recorded(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    answer = chat(mending, "sim-openai-sim-anthropic")
    found = mending.record(answer.headers["x-steelyard-request-id"])
    assert (found["status"], found["outcome"], found["finish_reason"]) == (200, "ok", "stop")
    broke, went_on = found["attempts"]
    assert (broke["outcome"], went_on["outcome"]) == ("cut", "ok")
    assert min(broke["cost_usd"], went_on["cost_usd"]) > 0
    assert found["cost_usd"] == pytest.approx(broke["cost_usd"] + went_on["cost_usd"])
    for tokens in ("input_tokens", "output_tokens"):
        assert found[tokens] == broke[tokens] + went_on[tokens]
    story = mending.get(f"/api/llm/dwa/explain/{found['id']}").json["summary"]
    assert "sim-openai/sim-chat broke off its answer" in story
    assert "then sim-anthropic/sim-chat began to answer" in story


def test_nobody_continues_unless_asked_to(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    before = mending.asked()
    answer = chat(mending, "sim-openai-sim-anthropic", ask=False)
    assert answer.events[-1][1]["error"]["code"] == "stream_broken"
    assert mending.asked() == before + 1


def test_a_route_may_ask_for_it_and_the_request_goes_before_the_route(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    assert chat(mending, "mended", ask=False).events[-1][1] == "[DONE]"
    mending.running.control("sim-openai", "cut", requests=1)
    refused = mending.chat(QUESTION, "mended", stream=True, headers={"X-Steelyard-Continue": "false"})
    assert refused.events[-1][1]["error"]["code"] == "stream_broken"


def test_a_continuation_that_breaks_is_continued_once_more_and_no_further(mending: World) -> None:
    for name in ("sim-openai", "sim-anthropic"):
        mending.running.control(name, "cut", requests=1)
    answer = chat(mending, "everyone")
    assert answer.events[-1][1] == "[DONE]"
    assert attempts(mending, answer) == [("sim-openai", "cut"), ("sim-anthropic", "cut"), ("sim-gemini", "ok")]
    mending.forget()
    for name in DIALECTS:
        mending.running.control(name, "cut", requests=1)
    answer = chat(mending, "everyone")
    assert answer.events[-1][1]["error"]["code"] == "stream_broken"
    assert attempts(mending, answer) == [(name, "cut") for name in DIALECTS]


def test_with_nobody_else_left_it_stays_an_error(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    answer = chat(mending, "sim-openai/sim-chat")
    assert answer.events[-1][1]["error"]["code"] == "stream_broken"
    mending.running.control("sim-openai", "cut", requests=1)
    mending.running.control("sim-anthropic", "down", requests=1)
    answer = chat(mending, "sim-openai-sim-anthropic")
    assert answer.events[-1][1]["error"]["code"] == "stream_broken"
    assert attempts(mending, answer) == [("sim-openai", "cut"), ("sim-anthropic", "overloaded")]


TOOL = {"type": "function", "function": {"name": "weigh", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"tools": [TOOL], "tool_choice": "required"}, id="tool calls"),
        pytest.param({"said": "Say it in JSON.", "response_format": {"type": "json_object"}}, id="JSON"),
        pytest.param(
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
                }
            },
            id="a schema",
        ),
        pytest.param({"n": 2}, id="several choices"),
        pytest.param({"logit_bias": {"7": 1}}, id="what no other format can say"),
    ],
)
def test_what_cannot_be_spliced_is_not_continued(mending: World, more: dict[str, Any]) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    # The next speaks the same format, and could say all of it.
    before = mending.asked("sim-local")
    answer = chat(mending, "sim-openai-sim-local", **more)
    assert answer.status == 200
    assert answer.events[-1][1]["error"]["code"] == "stream_broken"
    assert mending.asked("sim-local") == before


def test_tools_on_offer_do_no_harm_while_none_is_called(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    answer = chat(mending, "sim-openai-sim-anthropic", tools=[TOOL])
    assert answer.events[-1][1] == "[DONE]"
    assert attempts(mending, answer) == [("sim-openai", "cut"), ("sim-anthropic", "ok")]


def test_a_continued_answer_is_not_kept(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    first, second = (chat(mending, "sim-openai-sim-local", temperature=0) for _ in range(2))
    assert (first.events[-1][1], second.events[-1][1]) == ("[DONE]", "[DONE]")
    assert (second.headers["x-steelyard-cache"], "The connection broke" in told(second)) == ("miss", False)
    assert chat(mending, "sim-openai-sim-local", temperature=0).headers["x-steelyard-cache"] == "hit"


def test_a_session_remembers_both_parts(mending: World) -> None:
    mending.running.control("sim-openai", "cut", requests=1)
    body = {"prompt": QUESTION, "model": "sim-openai-sim-anthropic", "stream": True, "session_id": "seam"}
    answer = mending.post("/api/llm/orchestrate", body, **ASKED)
    text = "".join(data["text"] for name, data in answer.events if name == "result.delta")
    assert mending.get("/api/sessions/seam").json["messages"][-1]["content"] == text
    assert "The connection broke" in text


def test_a_header_that_is_neither_true_nor_false_is_refused(mending: World) -> None:
    answer = mending.chat(QUESTION, headers={"X-Steelyard-Continue": "perhaps"})
    assert (answer.status, answer.json["error"]["param"]) == (400, "X-Steelyard-Continue")
