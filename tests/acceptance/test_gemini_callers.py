"""The official Google SDK reaches every provider dialect through the gateway, whole and streamed."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.acceptance.driving import ANTHROPIC, CHAT_MODELS, GEMINI, OPENAI, PIXEL, World

WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}
CLOCK: dict[str, Any] = {
    "name": "clock",
    "parametersJsonSchema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}
TOOLS = [{"functionDeclarations": [WEATHER, CLOCK]}]
IMAGE_TOKENS = 85
CHATS = ["generateContent", "streamGenerateContent", "countTokens"]
every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def connect(world: World, key: str = "any", version: str = "v1beta") -> genai.Client:
    options: Any = {"base_url": world.url, "api_version": version, "retry_options": {"attempts": 1}}
    return genai.Client(api_key=key, http_options=options)


@pytest.fixture(scope="module")
def gemini(world: World) -> Iterator[genai.Client]:
    with connect(world) as client:
        yield client


@pytest.fixture
async def async_gemini(world: World) -> AsyncIterator[genai.Client]:
    client = connect(world)
    yield client
    await client.aio.aclose()
    client.close()


def tokens(*texts: str) -> int:
    return -(-len("\n".join(texts)) // 4)


def ask(client: genai.Client, said: Any, *, model: str, streamed: bool, **config: Any) -> list[Any]:
    """The answer's chunks; of a whole answer the only one."""
    config.setdefault("automatic_function_calling", {"disable": True})
    call: dict[str, Any] = {"model": model, "contents": said, "config": types.GenerateContentConfig(**config)}
    if streamed:
        return list(client.models.generate_content_stream(**call))
    return [client.models.generate_content(**call)]


def parts_of(chunks: list[Any]) -> list[Any]:
    found = [chunk.candidates[0].content for chunk in chunks if chunk.candidates]
    return [part for content in found if content for part in content.parts or ()]


def text_of(chunks: list[Any]) -> str:
    return "".join(part.text or "" for part in parts_of(chunks) if not part.thought)


def calls_of(chunks: list[Any]) -> list[Any]:
    return [part.function_call for part in parts_of(chunks) if part.function_call]


def finish_of(chunks: list[Any]) -> Any:
    reasons = [one.finish_reason for chunk in chunks for one in chunk.candidates or () if one.finish_reason]
    assert len(reasons) == 1
    return reasons[0]


@every_dialect
@both_ways
def test_text_arrives(gemini: genai.Client, model: str, streamed: bool) -> None:
    chunks = ask(gemini, "What is a steelyard?", model=model, streamed=streamed)
    text = text_of(chunks)
    assert text.startswith("[simulated] sim-chat read: What is a steelyard?")
    assert finish_of(chunks) == "STOP"
    usage = chunks[-1].usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (tokens("What is a steelyard?"), tokens(text))
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert {chunk.model_version for chunk in chunks} == {"sim-chat"}
    assert len({chunk.response_id for chunk in chunks} - {None, ""}) == 1
    assert (len(chunks) > 2) == streamed


# The SDK subclasses an aiohttp class that aiohttp does not want subclassed; not ours to mend.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@every_dialect
async def test_an_async_stream_says_what_the_whole_answer_says(async_gemini: genai.Client, model: str) -> None:
    models = async_gemini.aio.models
    whole = await models.generate_content(model=model, contents="Weigh this.")
    stream = await models.generate_content_stream(model=model, contents="Weigh this.")
    chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == whole.text
    assert finish_of(chunks) == finish_of([whole])


@pytest.mark.parametrize("version", ["v1beta", "v1"])
@pytest.mark.parametrize("name", ["auto", "sim-chat", "models/sim-chat", OPENAI, f"models/{ANTHROPIC}"])
@both_ways
def test_every_kind_of_name_is_understood(world: World, version: str, name: str, streamed: bool) -> None:
    with connect(world, version=version) as client:
        assert text_of(ask(client, "Hello", model=name, streamed=streamed)).startswith("[simulated] ")


@every_dialect
@both_ways
def test_the_system_instruction_and_all_turns_reach_the_provider(
    gemini: genai.Client, model: str, streamed: bool
) -> None:
    words = "Answer like a merchant."
    turns = [
        types.Content(role="user", parts=[types.Part(text="I have a sack.")]),
        types.Content(role="model", parts=[types.Part(text="Hang it up.")]),
        types.Content(role="user", parts=[types.Part(text="How heavy?")]),
    ]
    chunks = ask(gemini, turns, model=model, streamed=streamed, system_instruction=words)
    expected = tokens(words, "I have a sack.", "Hang it up.", "How heavy?")
    assert chunks[-1].usage_metadata.prompt_token_count == expected


@every_dialect
@both_ways
def test_tools_are_called_in_parallel_and_their_results_go_back(
    gemini: genai.Client, model: str, streamed: bool
) -> None:
    question = types.Content(role="user", parts=[types.Part(text="#sim tools=weather,clock")])
    first = ask(gemini, question, model=model, streamed=streamed, tools=TOOLS)
    calls = calls_of(first)
    assert [call.name for call in calls] == ["weather", "clock"]
    assert isinstance(calls[0].args["city"], str)
    assert finish_of(first) == "STOP"
    said = types.Content(role="model", parts=[part for part in parts_of(first) if part.function_call])
    results = [
        types.Part(
            function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": f"seen {number}"})
        )
        for number, call in enumerate(calls)
    ]
    turns = [question, said, types.Content(role="user", parts=results)]
    never = {"function_calling_config": {"mode": "NONE"}}
    # Whoever made the calls: each dialect can be given the conversation.
    for other in CHAT_MODELS:
        chunks = ask(gemini, turns, model=other, streamed=streamed, tools=TOOLS, tool_config=never)
        assert "seen 1" in text_of(chunks)


@every_dialect
@both_ways
@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"mode": "ANY"}, ["weather"]),
        ({"mode": "ANY", "allowed_function_names": ["clock"]}, ["clock"]),
        ({"mode": "NONE"}, []),
        ({"mode": "AUTO"}, []),
    ],
    ids=["any", "named", "none", "auto"],
)
def test_the_choice_of_tools_is_obeyed(
    gemini: genai.Client, model: str, streamed: bool, choice: dict[str, Any], called: list[str]
) -> None:
    wanted = {"function_calling_config": choice}
    chunks = ask(gemini, "Hello", model=model, streamed=streamed, tools=TOOLS, tool_config=wanted)
    assert [call.name for call in calls_of(chunks)] == called


@every_dialect
def test_the_sdk_calls_functions_by_itself(gemini: genai.Client, model: str) -> None:
    asked: list[str] = []

    def weather(city: str) -> str:
        asked.append(city)
        return "rain"

    config = types.GenerateContentConfig(tools=[weather], automatic_function_calling={"maximum_remote_calls": 2})  # pyright: ignore[reportArgumentType] - plain data
    reply = gemini.models.generate_content(model=model, contents="#sim tool=weather", config=config)
    assert len(asked) == 1
    said = [part for content in reply.automatic_function_calling_history or [] for part in content.parts or []]
    answers = [part.function_response.response for part in said if part.function_response]
    assert answers == [{"result": "rain"}]
    assert reply.function_calls is None
    assert "rain" in (reply.text or "")


@every_dialect
@both_ways
def test_a_picture_reaches_the_provider(gemini: genai.Client, model: str, streamed: bool) -> None:
    picture = types.Part.from_bytes(data=b64decode(PIXEL), mime_type="image/png")
    chunks = ask(gemini, [picture, "What is this?"], model=model, streamed=streamed)
    assert chunks[-1].usage_metadata.prompt_token_count == tokens("What is this?") + IMAGE_TOKENS


class Parcel(BaseModel):
    kilograms: float
    labels: list[str]


@every_dialect
@both_ways
@pytest.mark.parametrize("field", ["response_schema", "response_json_schema"])
def test_an_answer_bound_to_a_schema_follows_it(gemini: genai.Client, model: str, streamed: bool, field: str) -> None:
    closed = {**Parcel.model_json_schema(), "additionalProperties": False}
    schema: Any = Parcel if field == "response_schema" else closed
    shape: dict[str, Any] = {"response_mime_type": "application/json", field: schema}
    assert Parcel.model_validate_json(text_of(ask(gemini, "A parcel.", model=model, streamed=streamed, **shape)))


@pytest.mark.parametrize("model", [ANTHROPIC, GEMINI])
@both_ways
def test_thoughts_are_shown_and_counted_apart(gemini: genai.Client, model: str, streamed: bool) -> None:
    wanted = {"thinking_budget": 2000, "include_thoughts": True}
    chunks = ask(gemini, "Hello", model=model, streamed=streamed, max_output_tokens=4000, thinking_config=wanted)
    thoughts = "".join(part.text for part in parts_of(chunks) if part.thought)
    assert "I weigh what I was told" in thoughts
    usage = chunks[-1].usage_metadata
    assert usage.candidates_token_count == tokens(text_of(chunks))
    if model == GEMINI:
        assert usage.thoughts_token_count == tokens(thoughts)


@every_dialect
@both_ways
def test_a_bound_and_a_stop_sequence_end_the_answer(gemini: genai.Client, model: str, streamed: bool) -> None:
    short = ask(gemini, "Hello", model=model, streamed=streamed, max_output_tokens=5)
    assert finish_of(short) == "MAX_TOKENS"
    assert short[-1].usage_metadata.candidates_token_count == 5
    stopped = ask(gemini, "Hello", model=model, streamed=streamed, stop_sequences=["read"])
    assert (text_of(stopped), finish_of(stopped)) == ("[simulated] sim-chat ", "STOP")


@pytest.mark.parametrize("model", [OPENAI, GEMINI])
def test_candidates_are_counted_out(gemini: genai.Client, model: str) -> None:
    (reply,) = ask(gemini, "Hello", model=model, streamed=False, candidate_count=2)
    assert [one.index or 0 for one in reply.candidates] == [0, 1]


@every_dialect
@both_ways
def test_a_refusal_is_told_as_one(gemini: genai.Client, model: str, streamed: bool) -> None:
    assert finish_of(ask(gemini, "#sim refuse", model=model, streamed=streamed)) == "SAFETY"


def test_what_the_provider_reads_from_its_cache_is_told(gemini: genai.Client) -> None:
    long = "The same beginning of a Gemini caller. " * 100
    ask(gemini, long + "one", model=OPENAI, streamed=False)
    (again,) = ask(gemini, long + "two", model=OPENAI, streamed=False)
    assert again.usage_metadata.cached_content_token_count > 0


@pytest.mark.parametrize("version", ["v1beta", "v1"])
def test_models_are_listed_in_googles_shape(world: World, version: str) -> None:
    with connect(world, version=version) as client:
        listed = {model.name: model.supported_actions for model in client.models.list()}
        assert listed["models/sim-chat"] == listed["models/auto"] == CHATS
        assert listed["models/sim-embed"] == ["embedContent", "batchEmbedContents"]
        assert client.models.get(model=OPENAI).name == f"models/{OPENAI}"
        with pytest.raises(errors.ClientError) as caught:
            client.models.get(model="gemini-nobody")
        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
        assert "'gemini-nobody' does not exist" in str(caught.value.message)
