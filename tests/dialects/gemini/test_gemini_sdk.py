"""Both directions against the official SDK: what we send is what it would send, what we answer it parses."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from gemini_recorded import CONVERSATIONS, MODEL, TARGET, call, chunks, config_of, foreign, names, recorded, sdk, sent
from google.genai import types

from providers.chat import ChatReply, Choice, Conversation, EmbeddingRequest, Text, ToolCall, Turn, Usage
from providers.dialect import Profile
from providers.dialects.gemini import GEMINI, parse_call
from providers.dialects.gemini.names import spelled
from providers.simulator import gemini_ask
from providers.simulator.wire import Operation
from providers.sse import Parser

_PLAIN = Conversation([Turn("user", [Text("Hi")])])
_ANSWERS = [name for name in names("answer_*.json") if "blocked" not in name and "embeddings" not in name]
_STREAMS = [name for name in names("stream_*.sse") if "error" not in name and "blocked" not in name]


def _one_spelling(body: bytes) -> Any:
    """The SDK writes some nested names in snake_case."""
    found = spelled(body)
    return json.loads(found.body) | {"_rest": {name: json.loads(bytes(raw)) for name, raw in found.strangers.items()}}


def _stated(body: dict[str, Any]) -> dict[str, Any]:
    """An empty configuration is none."""
    return {name: value for name, value in body.items() if name != "generationConfig" or value}


def _parts(content: types.Content | None) -> list[dict[str, Any]]:
    parts = (content.parts if content else None) or []
    told = [part.model_dump(mode="json", exclude_none=True) for part in parts]
    return [part for part in told if part != {"text": ""}]


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_we_send_what_the_sdk_sends(case: str) -> None:
    ours = call(CONVERSATIONS[case])
    body = json.loads(recorded(f"request_{case}.json"))
    asked: list[httpx2.Request] = []
    contents = [types.Content.model_validate(content) for content in body["contents"]]
    sdk(recorded("answer_text.json"), seen=asked).models.generate_content(
        model=MODEL, contents=contents, config=config_of(body)
    )
    assert asked[0].url.raw_path.decode() == ours.path
    theirs = _one_spelling(asked[0].content)
    # The SDK calls the instruction's author a user; the API ignores the role there.
    theirs.get("systemInstruction", {}).pop("role", None)
    assert json.loads(ours.body) == body
    assert _stated(_one_spelling(ours.body)) == _stated(theirs)


def test_we_stream_and_authorise_as_the_sdk_does() -> None:
    asked: list[httpx2.Request] = []
    client = sdk(recorded("stream_text.sse"), seen=asked)
    assert [told.text for told in client.models.generate_content_stream(model=MODEL, contents="Hi")]
    path = GEMINI.encode(foreign(_PLAIN, stream=True), TARGET, drop=False).path
    assert asked[0].url.raw_path.decode() == path
    for name, value in GEMINI.authorise("test-key", Profile()):
        assert asked[0].headers[name] == value
    assert "test-key" not in path


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_the_sdk_declares_every_field_we_send(case: str) -> None:
    body = sent(CONVERSATIONS[case])
    for content in body.pop("contents"):
        types.Content.model_validate(content)
    assert types.GenerateContentConfig.model_config.get("extra") == "forbid"
    config_of(body)


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_the_simulator_understands_what_we_send(case: str) -> None:
    body = json.dumps(sent(CONVERSATIONS[case])).encode()
    assert gemini_ask.generate(body, Operation("chat", MODEL)).max_tokens == CONVERSATIONS[case].max_tokens


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_what_the_sdk_sends_is_understood(case: str) -> None:
    body = json.loads(recorded(f"request_{case}.json"))
    asked: list[httpx2.Request] = []
    contents = [types.Content.model_validate(content) for content in body["contents"]]
    sdk(recorded("answer_text.json"), seen=asked).models.generate_content(
        model=MODEL, contents=contents, config=config_of(body)
    )
    ours = parse_call(json.dumps(body).encode(), MODEL, stream=False)
    theirs = parse_call(asked[0].content, MODEL, stream=False)
    assert theirs.conversation() == ours.conversation()
    assert (theirs.needs, theirs.max_tokens, theirs.n) == (ours.needs, ours.max_tokens, ours.n)


@pytest.mark.parametrize("name", _ANSWERS)
def test_the_sdk_reads_our_answers_as_it_reads_the_originals(name: str) -> None:
    rendered = GEMINI.render(GEMINI.decode(recorded(name)))
    assert types.GenerateContentResponse.model_config.get("extra") == "forbid"
    original, ours = (
        sdk(body).models.generate_content(model=MODEL, contents="Hi") for body in (recorded(name), rendered)
    )
    assert (ours.response_id, ours.model_version) == (original.response_id, original.model_version)
    assert original.usage_metadata is not None
    assert ours.usage_metadata is not None
    assert ours.usage_metadata.total_token_count == original.usage_metadata.total_token_count
    assert ours.usage_metadata.cached_content_token_count == original.usage_metadata.cached_content_token_count
    assert ours.usage_metadata.thoughts_token_count == original.usage_metadata.thoughts_token_count
    for said, told in zip(original.candidates or [], ours.candidates or [], strict=True):
        assert (told.finish_reason, told.index) == (said.finish_reason, said.index)
        assert _content(told) == _content(said)


def _content(candidate: types.Candidate) -> Any:
    """What a candidate says: ids that were made up and signatures that stand alone are set aside."""
    parts = _parts(candidate.content)
    texts = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    thoughts = "".join(part.get("text", "") for part in parts if part.get("thought"))
    calls = [
        (part["function_call"]["name"], part["function_call"]["args"]) for part in parts if "function_call" in part
    ]
    media = [part["inline_data"] for part in parts if "inline_data" in part]
    signatures = [part["thought_signature"] for part in parts if "thought_signature" in part]
    logprobs = candidate.logprobs_result
    tokens = [
        (token.token, token.log_probability) for token in (logprobs.chosen_candidates if logprobs else None) or []
    ]
    return texts, thoughts, calls, media, signatures, tokens


@pytest.mark.parametrize("name", _STREAMS)
def test_the_sdk_reads_our_streams_as_it_reads_the_originals(name: str) -> None:
    encoder = GEMINI.stream_encoder(foreign(_PLAIN, stream=True))
    ours = b"".join([*(encoder.encode(chunk) for chunk in chunks(recorded(name))), encoder.end()])
    said, told = (
        list(sdk(body).models.generate_content_stream(model=MODEL, contents="Hi")) for body in (recorded(name), ours)
    )
    assert _joined(told) == _joined(said)
    last, before = told[-1].usage_metadata, said[-1].usage_metadata
    assert last is not None
    assert before is not None
    assert last.total_token_count == before.total_token_count
    assert {chunk.model_version for chunk in told} == {"gemini-3-flash"}
    assert {chunk.response_id for chunk in told} == {"Kx3_aN-q"}


def _joined(chunks: list[types.GenerateContentResponse]) -> dict[int, Any]:
    joined: dict[int, Any] = {}
    for chunk in chunks:
        for candidate in chunk.candidates or []:
            found = joined.setdefault(candidate.index or 0, ["", "", [], [], [], [], None])
            for place, piece in enumerate(_content(candidate)):
                found[place] += piece
            found[6] = candidate.finish_reason or found[6]
    return joined


def test_our_own_stream_is_decoded_to_what_was_encoded() -> None:
    for name in _STREAMS:
        encoder = GEMINI.stream_encoder(foreign(_PLAIN, stream=True))
        ours = b"".join([*(encoder.encode(chunk) for chunk in chunks(recorded(name))), encoder.end()])
        decoder = GEMINI.stream_decoder()
        for event in Parser().feed(ours):
            assert not decoder.complete
            decoder.feed(event)
        assert decoder.complete


def test_a_foreign_call_comes_back_from_the_sdk_ready_for_gemini() -> None:
    reply = ChatReply("id", "m", [Choice([ToolCall("toolu_1", "f", '{"a": 1}')], "tool_calls")], Usage())
    asked: list[httpx2.Request] = []
    client = sdk(GEMINI.render(reply), seen=asked)
    answer = client.models.generate_content(model=MODEL, contents="Hi")
    assert answer.candidates
    assert answer.function_calls
    content = answer.candidates[0].content
    assert content
    client.models.generate_content(model=MODEL, contents=[types.UserContent("Hi"), content])
    part = json.loads(asked[1].content)["contents"][1]["parts"][0]
    assert part["thoughtSignature"] == "skip_thought_signature_validator"


def test_embeddings_are_asked_for_as_the_sdk_does() -> None:
    asked: list[httpx2.Request] = []
    sdk(recorded("answer_embeddings.json"), seen=asked).models.embed_content(
        model="gemini-embedding-001", contents=["a", "b"], config=types.EmbedContentConfig(output_dimensionality=3)
    )
    request = EmbeddingRequest("openai", b"{}", "m", ["a", "b"], dimensions=3)
    ours = GEMINI.encode_embedding(request, type(TARGET)("g", "gemini-embedding-001", Profile()), drop=False)
    assert (ours.path, json.loads(ours.body)) == (asked[0].url.raw_path.decode(), json.loads(asked[0].content))
