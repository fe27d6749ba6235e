"""Both directions against the official SDK: what we send is what it would send, what we answer it parses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import httpx2
import openai
import pytest
from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as Streaming
from openai_recorded import CONVERSATIONS, MODEL, TARGET, foreign, names, recorded, reencoded, sdk, sent
from typing_extensions import is_typeddict

from providers.chat import EmbeddingRequest
from providers.dialect import Profile
from providers.dialects.openai import OPENAI
from providers.simulator import openai_ask

_STREAMS = names("stream_*.sse")
_ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def _declared(value: Any, hint: Any) -> bool:
    """Whether the value has the SDK's type, down to the last field: pydantic reads its lazy iterables too late."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if is_typeddict(hint):
        fields = get_type_hints(hint, include_extras=True)
        required = {name for name, field in fields.items() if get_origin(field) is Required}
        return (
            isinstance(value, dict)
            and required <= value.keys() <= fields.keys()
            and all(_declared(inner, fields[name]) for name, inner in value.items())
        )
    if origin is Required:
        return _declared(value, args[0])
    if origin is Union:
        return any(_declared(value, member) for member in args)
    if origin is Literal:
        return value in args
    if origin is dict:
        return isinstance(value, dict) and all(_declared(inner, args[1]) for inner in value.values())
    if origin is not None:
        return isinstance(value, list) and all(_declared(inner, args[0]) for inner in value)
    if getattr(hint, "__name__", "") == "SequenceNotStr":
        return isinstance(value, list)
    return isinstance(value, (int, float) if hint is float else hint)


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_we_send_what_the_sdk_sends(case: str) -> None:
    body = json.loads(recorded(f"request_{case}.json"))
    asked: list[httpx2.Request] = []
    sdk(recorded("answer_text.json"), seen=asked).chat.completions.create(**body)
    call = OPENAI.encode(foreign(CONVERSATIONS[case]), TARGET, drop=False)
    assert asked[0].url == "https://api.example/v1" + call.path
    assert json.loads(call.body) == json.loads(asked[0].content) == body


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_the_sdk_declares_every_field_we_send(case: str) -> None:
    body = sent(CONVERSATIONS[case])
    assert _declared(body, CompletionCreateParamsNonStreaming)
    assert _declared(sent(CONVERSATIONS[case], stream=True), Streaming)
    assert not _declared({**body, "unheard_of": 1}, CompletionCreateParamsNonStreaming)
    assert not _declared({**body, "messages": [{"role": "user"}]}, CompletionCreateParamsNonStreaming)


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_the_simulator_understands_what_we_send(case: str) -> None:
    ask = openai_ask.chat(json.dumps(sent(CONVERSATIONS[case])).encode(), strict=True)
    assert ask.max_tokens == CONVERSATIONS[case].max_tokens


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_what_the_sdk_sends_is_parsed_and_means_the_same(case: str) -> None:
    body = recorded(f"request_{case}.json")
    request = OPENAI.parse(body)
    assert request.model == MODEL
    assert sent(request.conversation()) == json.loads(body)


def test_the_key_travels_as_the_sdk_sends_it() -> None:
    asked: list[httpx2.Request] = []
    sdk(recorded("answer_text.json"), seen=asked).chat.completions.create(**_ASKED)
    ((name, value),) = OPENAI.authorise("test-key", Profile())
    assert asked[0].headers[name] == value
    assert OPENAI.authorise(None, Profile()) == ()


@pytest.mark.parametrize("name", names("answer_*.json"))
def test_a_decoded_and_rendered_answer_is_the_same_to_the_sdk(name: str) -> None:
    original: Any = ChatCompletion.model_validate_json(recorded(name), strict=True).to_dict()
    rendered = ChatCompletion.model_validate_json(OPENAI.render(OPENAI.decode(recorded(name))), strict=True).to_dict()
    _same_usage(rendered.pop("usage"), original.pop("usage"))
    # What OpenAI says of its own machinery has no place between dialects.
    original.pop("system_fingerprint")
    for choice in original["choices"]:
        choice["message"].pop("annotations", None)
        choice["message"].setdefault("refusal", None)
    assert rendered == original


def _same_usage(one: Any, other: Any) -> None:
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert one[name] == other[name]
    assert one["prompt_tokens_details"]["cached_tokens"] == other["prompt_tokens_details"]["cached_tokens"]
    assert (
        one["completion_tokens_details"]["reasoning_tokens"] == other["completion_tokens_details"]["reasoning_tokens"]
    )


@pytest.mark.parametrize("name", names("answer_*.json"))
def test_the_sdk_reads_a_rendered_answer(name: str) -> None:
    rendered = OPENAI.render(OPENAI.decode(recorded(name)))
    assert sdk(rendered).chat.completions.create(**_ASKED) == ChatCompletion.model_validate_json(rendered)


def _final(stream: bytes) -> dict[str, Any]:
    with sdk(stream, stream=True).chat.completions.stream(**_ASKED) as events:
        for _ in events:
            pass
        try:
            return events.get_final_completion().to_dict()
        except openai.LengthFinishReasonError as exc:
            return exc.completion.to_dict()


@pytest.mark.parametrize("name", [name for name in _STREAMS if name != "stream_content_filter.sse"])
def test_a_decoded_and_encoded_stream_is_the_same_to_the_sdk(name: str) -> None:
    original, again = _final(recorded(name)), _final(reencoded(recorded(name)))
    _same_usage(again.pop("usage"), original.pop("usage"))
    for whole in (original, again):
        whole.pop("system_fingerprint", None)
        whole.pop("service_tier", None)
        for choice in whole["choices"]:
            # Ours opens every choice with an empty text, where some servers have none.
            choice["message"]["content"] = choice["message"].get("content") or None
            choice["message"].setdefault("refusal", None)
    assert again == original


@pytest.mark.parametrize("name", _STREAMS)
def test_the_sdk_reads_every_chunk_of_an_encoded_stream(name: str) -> None:
    seen = list(sdk(reencoded(recorded(name)), stream=True).chat.completions.create(**_ASKED, stream=True))
    ours = [line[6:] for line in reencoded(recorded(name)).decode().splitlines() if line.startswith("data: {")]
    assert seen == [ChatCompletionChunk.model_validate_json(line, strict=True) for line in ours]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in seen if chunk.choices)
    theirs = list(sdk(recorded(name), stream=True).chat.completions.create(**_ASKED, stream=True))
    assert text == "".join(chunk.choices[0].delta.content or "" for chunk in theirs if chunk.choices)
    assert _reasons(seen) == _reasons(theirs)


def _reasons(stream: list[ChatCompletionChunk]) -> list[tuple[int, str]]:
    choices = [choice for chunk in stream for choice in chunk.choices]
    return [(choice.index, choice.finish_reason) for choice in choices if choice.finish_reason]


@pytest.mark.parametrize("name", names("error_*.json"))
def test_the_sdk_and_we_agree_on_an_error(name: str) -> None:
    status = int(name.split("_")[1])
    with pytest.raises(openai.APIStatusError) as caught:
        sdk(recorded(name), status=status).chat.completions.create(**_ASKED)
    fault = OPENAI.fault(status, {}, recorded(name))
    assert (fault.code, fault.param) == (caught.value.code or caught.value.type, caught.value.param)


def test_we_send_the_embedding_request_that_the_sdk_sends() -> None:
    body = recorded("request_embeddings.json")
    asked: list[httpx2.Request] = []
    sdk(recorded("embeddings_float.json"), seen=asked).embeddings.create(**json.loads(body))
    request = OPENAI.parse_embedding(body)
    call = OPENAI.encode_embedding(request, TARGET, drop=False)
    assert asked[0].url == "https://api.example/v1" + call.path
    assert json.loads(asked[0].content) == json.loads(body)
    assert json.loads(call.body) == {**json.loads(body), "model": MODEL}
    other = EmbeddingRequest("gemini", b"{}", "m", request.inputs, request.dimensions, user=request.user)
    translated = json.loads(OPENAI.encode_embedding(other, TARGET, drop=False).body)
    hints: dict[str, Any] = get_type_hints(EmbeddingCreateParams, include_extras=True)
    assert translated.keys() <= hints.keys()
    assert translated == {"model": MODEL, "input": ["a", "b"], "dimensions": 3, "user": "user-7"}


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_sdk_reads_rendered_embeddings(encoding: str) -> None:
    reply = OPENAI.decode_embedding(recorded(f"embeddings_{encoding}.json"))
    rendered = OPENAI.render_embedding(reply, encoding)
    assert json.loads(rendered) == json.loads(recorded(f"embeddings_{encoding}.json"))
    # Without a format the SDK asks for base64 and unpacks it; with one it hands on what came.
    asked: Any = {} if encoding == "base64" else {"encoding_format": "float"}
    answer: CreateEmbeddingResponse = sdk(rendered).embeddings.create(model="m", input=["a", "b"], **asked)
    vectors: Iterable[list[float]] = [one.embedding for one in answer.data]
    assert list(vectors) == reply.vectors == [[0.25, -0.5, 1.0], [0.0, 0.125, -1.0]]
    assert answer.usage.prompt_tokens == reply.usage.input_tokens == 8
