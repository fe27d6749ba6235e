"""The simulator's Gemini dialect, held to the official SDK: it understands us and we it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from providers.simulator import Limits, Model, Provider, Running, Simulation, start

WEATHER = {
    "name": "weather",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}
CLOCK = {"name": "clock", "parametersJsonSchema": {"type": "object", "properties": {"zone": {"const": "UTC"}}}}
TOOLS: Any = [{"functionDeclarations": [WEATHER, CLOCK]}]


@pytest.fixture(scope="module")
def stage() -> Iterator[Running]:
    models = (Model(name="chat", context_window=500, max_output=400), Model(name="embed", kind="embedding"))
    cast = Simulation(
        providers=(
            Provider(name="open", dialect="gemini", models=models),
            Provider(name="locked", dialect="gemini", models=models, api_key="right"),
            Provider(name="tight", dialect="gemini", models=models, limits=Limits(requests_per_min=1)),
        )
    )
    with start(cast) as running:
        yield running


def connect(stage: Running, provider: str, key: str = "any", version: str = "v1beta") -> genai.Client:
    options: Any = {"base_url": f"{stage.url}/{provider}", "api_version": version, "retry_options": {"attempts": 1}}
    return genai.Client(api_key=key, http_options=options)


@pytest.fixture
def client(stage: Running) -> Iterator[genai.Client]:
    with connect(stage, "open") as client:
        yield client


def ask(client: genai.Client, said: Any, **config: Any) -> types.GenerateContentResponse:
    config.setdefault("automatic_function_calling", {"disable": True})
    return client.models.generate_content(model="chat", contents=said, config=types.GenerateContentConfig(**config))


def candidate(reply: types.GenerateContentResponse) -> Any:
    assert reply.candidates
    return reply.candidates[0]


@pytest.mark.parametrize("version", ["v1beta", "v1"])
def test_text_is_marked_names_the_model_and_echoes(stage: Running, version: str) -> None:
    with connect(stage, "open", version=version) as client:
        reply = ask(client, "What is a steelyard?", system_instruction="Be brief.")
    assert reply.text is not None
    assert reply.text.startswith("[simulated] chat read: What is a steelyard?")
    assert candidate(reply).finish_reason == "STOP"
    usage: Any = reply.usage_metadata
    assert usage.prompt_token_count == math.ceil(len("Be brief.\nWhat is a steelyard?") / 4)
    assert usage.candidates_token_count == math.ceil(len(reply.text) / 4)
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count


def test_stream_adds_up_to_the_whole_answer(client: genai.Client) -> None:
    whole = ask(client, "hello")
    chunks = list(client.models.generate_content_stream(model="chat", contents="hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert len(chunks) > 2
    assert [candidate(chunk).finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert candidate(chunks[-1]).finish_reason == "STOP"
    counts = [chunk.usage_metadata.candidates_token_count or 0 for chunk in chunks if chunk.usage_metadata]
    assert counts == sorted(set(counts))  # each chunk tells the sum so far
    assert chunks[-1].usage_metadata == whole.usage_metadata


# The SDK subclasses an aiohttp class that aiohttp does not want subclassed; not ours to mend.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
async def test_the_async_client_streams_too(stage: Running) -> None:
    client = connect(stage, "open")
    try:
        stream = await client.aio.models.generate_content_stream(model="chat", contents="hello")
        text = "".join([chunk.text or "" async for chunk in stream])
    finally:
        await client.aio.aclose()
        client.close()
    assert text.startswith("[simulated] ")


def test_without_alt_sse_a_stream_is_one_json_array(client: genai.Client) -> None:
    raw: Any = client._api_client.request(  # pyright: ignore[reportPrivateUsage] - the SDK always asks for sse
        "post", "models/chat:streamGenerateContent", {"contents": [{"parts": [{"text": "hello"}]}]}
    )
    chunks = json.loads(raw.body)
    assert "".join(part["text"] for c in chunks for part in c["candidates"][0]["content"]["parts"]).startswith("[simu")


def test_limit_stop_and_alternatives(client: genai.Client) -> None:
    short = ask(client, "hello", max_output_tokens=5)
    usage: Any = short.usage_metadata
    assert (candidate(short).finish_reason, usage.candidates_token_count) == ("MAX_TOKENS", 5)
    assert (ask(client, "one two three", stop_sequences=["two"]).text or "").endswith("one ")
    assert len(ask(client, "hello", candidate_count=2).candidates or []) == 2


def test_parallel_calls_and_their_results(client: genai.Client) -> None:
    called = ask(client, "#sim tools=weather,clock", tools=TOOLS)
    calls = called.function_calls or []
    assert [(call.name, call.args) for call in calls] == [
        ("weather", {"city": "simulated"}),
        ("clock", {"zone": "UTC"}),
    ]
    (question,) = [types.Content(role="user", parts=[types.Part(text="hello")])]
    parts = [types.Part.from_function_response(name=call.name or "", response={"n": 7}) for call in calls]
    turns: list[Any] = [question, candidate(called).content, types.Content(role="user", parts=parts)]
    assert "The tool said: {" in (ask(client, turns, tools=TOOLS).text or "")
    turns[-1] = types.Content(role="user", parts=parts[:1])
    with pytest.raises(errors.ClientError, match="number of function response parts"):
        ask(client, turns, tools=TOOLS)
    config = types.GenerateContentConfig(tools=TOOLS, automatic_function_calling={"disable": True})  # pyright: ignore[reportArgumentType] - plain data
    stream = client.models.generate_content_stream(model="chat", contents="#sim tools=weather,clock", config=config)
    assert [call.name for chunk in stream for call in chunk.function_calls or []] == ["weather", "clock"]


def test_choice_of_tools_is_obeyed(client: genai.Client) -> None:
    def choose(**calling: Any) -> Any:
        return ask(client, "hi", tools=TOOLS, tool_config={"function_calling_config": calling}).function_calls

    assert choose(mode="ANY")[0].name == "weather"
    assert choose(mode="ANY", allowed_function_names=["clock"])[0].name == "clock"
    assert choose(mode="AUTO") is None
    assert choose(mode="NONE") is None


class Parcel(BaseModel):
    weight: float
    labels: list[str]
    sender: str | None


@pytest.mark.parametrize("schema", [{"response_schema": Parcel}, {"response_json_schema": Parcel.model_json_schema()}])
def test_json_answers_fit_their_schema(client: genai.Client, schema: dict[str, Any]) -> None:
    reply = ask(client, "weigh it", response_mime_type="application/json", **schema)
    assert Parcel.model_validate_json(reply.text or "")


def test_images_are_taken_and_counted(client: genai.Client) -> None:
    contents: Any = [types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"), "what is it"]
    usage: Any = ask(client, contents).usage_metadata
    assert usage.prompt_token_count == 3 + 85
    assert client.models.count_tokens(model="chat", contents=contents).total_tokens == 3 + 85


def test_thoughts_are_counted_and_shown_on_demand(client: genai.Client) -> None:
    shown = ask(client, "hm", thinking_config={"include_thoughts": True})
    thought, text = candidate(shown).content.parts
    usage: Any = shown.usage_metadata
    assert thought.thought is True
    assert usage.thoughts_token_count == math.ceil(len(thought.text) / 4)
    assert text.text == shown.text
    hidden = ask(client, "hm", thinking_config={"thinking_budget": 100})
    assert len(candidate(hidden).content.parts) == 1
    assert ask(client, "hm", thinking_config={"thinking_budget": 0}).usage_metadata.thoughts_token_count is None  # pyright: ignore[reportOptionalMemberAccess] - always sent


def test_filters_and_refusals(client: genai.Client) -> None:
    blocked = ask(client, "#sim filter")
    assert blocked.candidates is None
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason == "SAFETY"
    assert candidate(ask(client, "#sim refuse")).finish_reason == "SAFETY"


def test_a_long_beginning_seen_before_counts_as_cached(client: genai.Client) -> None:
    long = "steelyard " * 110
    first: Any = ask(client, long + "a").usage_metadata
    again: Any = ask(client, long + "b").usage_metadata
    assert (first.cached_content_token_count, again.cached_content_token_count) == (None, 256)


def test_embeddings_are_unit_vectors(client: genai.Client) -> None:
    many = client.models.embed_content(model="embed", contents=["a balance", "a balance"]).embeddings or []
    small = client.models.embed_content(model="embed", contents="a balance", config={"output_dimensionality": 64})
    assert many[0].values == many[1].values
    values = (small.embeddings or [])[0].values or []
    assert len(values) == 64
    assert math.isclose(sum(x * x for x in values), 1, rel_tol=1e-5)
    raw: Any = client._api_client.request(  # pyright: ignore[reportPrivateUsage] - the SDK only sends batches
        "post", "models/embed:embedContent", {"content": {"parts": [{"text": "a balance"}]}}
    )
    assert json.loads(raw.body)["embedding"]["values"] == many[0].values


def test_models_are_listed(client: genai.Client) -> None:
    assert [model.name for model in client.models.list()] == ["models/chat", "models/embed"]
    assert client.models.get(model="chat").output_token_limit == 400


@pytest.mark.parametrize(
    ("said", "config", "message"),
    [
        ("hi", {"max_output_tokens": 500}, "maxOutputTokens value of 500"),
        ("hi", {"temperature": 3}, "temperature"),
        ("hi", {"response_schema": Parcel}, "response_mime_type"),
        ("x" * 2004, {}, "exceeds the maximum number of tokens"),
    ],
)
def test_wrong_requests_get_googles_errors(
    client: genai.Client, said: str, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.ClientError, match=message) as caught:
        ask(client, said, **config)
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"parts": [{"text": "hi"}]}], "messages": []}, 'Unknown name "messages"'),
    ],
)
def test_what_the_sdk_would_not_send_is_refused(client: genai.Client, body: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ClientError, match=message) as caught:
        client._api_client.request("post", "models/chat:generateContent", body)  # pyright: ignore[reportPrivateUsage] - raw body
    assert caught.value.code == 400


def test_an_unknown_model_is_not_found(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="nobody", contents="hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_a_wrong_key_is_googles_400(stage: Running) -> None:
    with connect(stage, "locked", "wrong") as client, pytest.raises(errors.ClientError) as caught:
        ask(client, "hi")
    details: Any = caught.value.details
    assert (caught.value.code, details["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    with connect(stage, "locked", "right") as client:
        assert ask(client, "hi").text


def test_the_quota_says_when_to_come_back(stage: Running) -> None:
    with connect(stage, "tight") as client:
        assert ask(client, "hi").text
        with pytest.raises(errors.ClientError) as caught:
            ask(client, "hi")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    details: Any = caught.value.details
    (retry,) = [d for d in details["error"]["details"] if d["@type"].endswith("RetryInfo")]
    assert 0 < int(retry["retryDelay"].removesuffix("s")) <= 60


@pytest.mark.parametrize(("trouble", "status"), [("500", 500), ("overloaded", 503), ("429", 429)])
def test_failures_on_demand(client: genai.Client, trouble: str, status: int) -> None:
    with pytest.raises(errors.APIError) as caught:
        ask(client, f"#sim fail={trouble}")
    assert caught.value.code == status


def test_a_stream_may_open_with_an_error_or_break(client: genai.Client) -> None:
    with pytest.raises(errors.APIError, match="overloaded"):
        list(client.models.generate_content_stream(model="chat", contents="#sim fail=first_event_error"))
    with pytest.raises(Exception, match="closed"):
        list(client.models.generate_content_stream(model="chat", contents="#sim fail=cut"))
