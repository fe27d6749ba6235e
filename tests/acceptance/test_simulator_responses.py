"""The simulator's Responses API, held to the official SDK: it understands us and we it."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent, response_create_params
from pydantic import BaseModel, TypeAdapter

from providers.simulator import Model, Provider, Running, Simulation, start
from providers.simulator.openai_responses_ask import SEAL, ResponsesRequest

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": None,
}
EVENTS: Any = TypeAdapter(ResponseStreamEvent)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def stage() -> Iterator[Running]:
    models = (Model(name="chat", context_window=500, max_output=200),)
    with start(Simulation(providers=(Provider(name="open", dialect="openai", models=models),))) as running:
        yield running


@pytest.fixture
def client(stage: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stage.url}/open/v1", api_key="any", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, said: Any, *, streamed: bool, **more: Any) -> Any:
    """An answer, whichever way it came; of a stream the SDK itself checks that its events fit each other."""
    if not streamed:
        return client.responses.create(model="chat", input=said, **more)
    with client.responses.stream(model="chat", input=said, **more) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


@both_ways
def test_text_is_marked_and_counted(client: openai.OpenAI, streamed: bool) -> None:
    answer = ask(client, "Hello", streamed=streamed, instructions="Be brief.", store=False)
    assert answer.output_text.startswith("[simulated] chat read: Hello")
    assert (answer.status, answer.store, answer.instructions) == ("completed", False, "Be brief.")
    assert answer.usage.output_tokens == -(-len(answer.output_text) // 4)


@both_ways
def test_a_stream_ends_as_the_whole_answer_is(client: openai.OpenAI, streamed: bool) -> None:
    more: dict[str, Any] = {"reasoning": {"effort": "low", "summary": "auto"}, "tools": [{"type": "web_search"}]}
    more |= {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}
    answer = ask(client, "Hello", streamed=streamed, **more)
    kinds = [item.type for item in answer.output]
    assert kinds == ["reasoning", "web_search_call", "message"]
    assert answer.output[0].encrypted_content.startswith(SEAL)
    assert answer.output[0].summary[0].text
    part = answer.output[2].content[0]
    assert part.annotations[0].url == "https://example.org/steelyard"
    assert "".join(row.token for row in part.logprobs) == part.text
    assert answer.usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("said", ["Hello", "#sim refuse", "#sim filter", "#sim tool=weather", "#sim tokens=0"])
def test_every_event_is_one_of_the_apis(client: openai.OpenAI, said: str) -> None:
    reasoning: Any = {"effort": "low", "summary": "auto"}
    tools: list[Any] = [WEATHER, {"type": "web_search"}]
    more: dict[str, Any] = {"tools": tools, "reasoning": reasoning, "stream": True}
    events: list[Any] = list(client.responses.create(model="chat", input=said, **more))
    for event in events:
        EVENTS.validate_python(event.to_dict())
    assert [event.sequence_number for event in events] == list(range(len(events)))


@both_ways
def test_a_tool_is_called_and_its_output_read(client: openai.OpenAI, streamed: bool) -> None:
    answer = ask(client, "Weather?", streamed=streamed, tools=[WEATHER], tool_choice="required")
    (call,) = answer.output
    assert (call.type, call.name, call.status) == ("function_call", "weather", "completed")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Snow"}
    # What the SDK parsed for us is no parameter of the API's.
    called = {name: one for name, one in call.to_dict().items() if name != "parsed_arguments"}
    given: list[Any] = [{"role": "user", "content": "Weather?"}, called, output]
    assert "The tool said: Snow" in ask(client, given, streamed=streamed, tools=[WEATHER]).output_text


@both_ways
@pytest.mark.parametrize(
    ("said", "more", "reason"),
    [("Hello", {"max_output_tokens": 3}, "max_output_tokens"), ("#sim filter", {}, "content_filter")],
)
def test_an_answer_may_be_incomplete(
    client: openai.OpenAI, streamed: bool, said: str, more: dict[str, Any], reason: str
) -> None:
    if streamed:
        last: Any = list(client.responses.create(model="chat", input=said, stream=True, **more))[-1]
        assert last.type == "response.incomplete"
        answer = last.response
    else:
        answer = ask(client, said, streamed=False, **more)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", reason)


@both_ways
def test_a_refusal_is_a_part_of_its_own(client: openai.OpenAI, streamed: bool) -> None:
    answer = ask(client, "#sim refuse", streamed=streamed)
    assert answer.output[0].content[0].refusal == "[simulated] I cannot help with that."


def test_an_answer_bound_to_a_schema_parses(client: openai.OpenAI) -> None:
    class Weight(BaseModel):
        grams: int

    answer = client.responses.parse(model="chat", input="Weigh.", text_format=Weight)
    assert isinstance(answer.output_parsed, Weight)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": "Hi", "surprise": 1}, 400, "Unknown parameter: 'surprise'"),
        ({}, 400, "Missing required parameter: 'input'"),
        ({"input": "Hi", "previous_response_id": "resp_1"}, 400, "not found"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "not persisted"),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, 404, "not persisted"),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, 400, "could not be verified"),
        ({"input": [{"type": "function_call_output", "call_id": "a", "output": "x"}]}, 400, "No tool call found"),
        ({"input": [{"type": "riddle"}]}, 400, "riddle"),
        ({"input": [{"role": "user", "content": "Hi", "extra_content": {}}]}, 400, "extra_content"),
    ],
    ids=str,
)
def test_what_the_real_one_refuses_is_refused(
    client: openai.OpenAI, body: dict[str, Any], status: int, said: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.post("/responses", body={"model": "chat", **body}, cast_to=object)
    assert caught.value.status_code == status
    assert said in caught.value.message


def test_a_provider_that_fails_at_once_says_so_in_its_first_event(client: openai.OpenAI, stage: Running) -> None:
    stage.control("open", "first_event_error", requests=1)
    events = list(client.responses.create(model="chat", input="Hi", stream=True))
    assert [event.type for event in events] == ["error"]


def test_it_knows_every_parameter_that_the_sdk_knows() -> None:
    theirs = set(typing.get_type_hints(response_create_params.ResponseCreateParamsStreaming))
    assert theirs - set(ResponsesRequest.__struct_fields__) == set()
