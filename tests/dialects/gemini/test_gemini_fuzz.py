"""Whatever a Gemini caller sends: understood or refused by name, and what is understood survives a translation."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest
from gemini_recorded import CONVERSATIONS, PNG, TARGET, chunks, foreign, names, recorded
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.api.gemini import as_array
from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    ChatRequest,
    Choice,
    Finish,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialect import Inexpressible, InvalidRequest, Profile, Target
from providers.dialects import ANTHROPIC, DIALECTS, GEMINI
from providers.dialects.gemini import parse_call
from providers.errors import Fault, Garbled
from providers.sse import Event, Parser

#: Deterministic, and without clocks: a loaded machine is no failure.
_fuzz = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_json = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_word = st.text(max_size=5)


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


def _needing(required: dict[str, Any], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=more)


_name = st.sampled_from(["f", "g", "some_name"])
_blob = _needing(
    {"mimeType": st.sampled_from(["image/png", "audio/wav", "application/pdf", "video/mp4", "x"]), "data": st.just(PNG)}
)
_file = _needing({"fileUri": st.sampled_from(["https://example.com/a.png", "gs://a/b", "http://example.com/a"])})
_part = st.one_of(
    _needing({"text": _word}, thought=st.booleans(), thoughtSignature=st.just("YQ=="), videoMetadata=_json),
    _needing({"inlineData": _blob}),
    _needing({"inline_data": _blob}),
    _needing({"fileData": _file}),
    _needing({"functionCall": _needing({"name": _name}, args=st.dictionaries(_word, _scalar, max_size=2), id=_word)}),
    _needing(
        {"functionResponse": _needing({"name": _name}, response=st.dictionaries(_word, _scalar, max_size=2), id=_word)}
    ),
)
_content = _needing({"parts": st.lists(_part, min_size=1, max_size=3)}, role=st.sampled_from(["user", "model"]))
_schema = _object(type=st.sampled_from(["OBJECT", "string"]), properties=st.just({"a": {"type": "NUMBER"}}))
_declared = _needing(
    {"name": _name},
    description=_word,
    parameters=_schema,
    parametersJsonSchema=_schema,
    response=_schema,
    responseJsonSchema=_json,
)
_config = _object(
    temperature=st.floats(0, 2),
    topP=st.floats(0, 1),
    topK=st.integers(0, 40) | st.floats(0, 40),
    maxOutputTokens=st.integers(1, 9000),
    stopSequences=st.lists(_word, max_size=5),
    candidateCount=st.integers(1, 8),
    seed=st.integers(-(2**31), 2**31 - 1),
    presencePenalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    responseMimeType=st.sampled_from(["application/json", "text/plain", "text/x.enum"]),
    responseSchema=_schema,
    responseJsonSchema=_json,
    responseLogprobs=st.booleans(),
    logprobs=st.integers(0, 20),
    thinkingConfig=_object(
        includeThoughts=st.booleans(),
        thinkingBudget=st.integers(-1, 9000),
        thinkingLevel=st.sampled_from(["LOW", "HIGH", "NEW"]),
    ),
    responseModalities=st.lists(st.sampled_from(["TEXT", "IMAGE"]), max_size=2),
    mediaResolution=_word,
)
_calling = _object(
    mode=st.sampled_from(["AUTO", "ANY", "NONE", "VALIDATED", "NEW"]),
    allowedFunctionNames=st.lists(_name, max_size=2),
)
_request = _needing(
    {"contents": st.lists(_content, min_size=1, max_size=4)},
    systemInstruction=_needing({"parts": st.lists(_part, max_size=2)}),
    generationConfig=_config,
    tools=st.lists(_object(functionDeclarations=st.lists(_declared, max_size=2), googleSearch=st.just({})), max_size=2),
    toolConfig=_object(functionCallingConfig=_calling),
    safetySettings=st.lists(_object(category=_word), max_size=1),
    cachedContent=_word,
    labels=st.dictionaries(_word, _word, max_size=2),
    serviceTier=_word,
    brandNew=_json,
)
_target = {
    "openai": Target("openai", "gpt", Profile()),
    "anthropic": Target("anthropic", "claude", Profile(), 8192),
    "gemini": TARGET,
}


def _body(request: Any) -> bytes:
    return json.dumps(request).encode()


_ANSWERED_BY_ITSELF = [{"functionCall": {"name": "f"}}, {"functionResponse": {"name": "f"}}]


@_fuzz
@given(_request)
@example({"contents": [{"role": "model", "parts": _ANSWERED_BY_ITSELF}, {"parts": _ANSWERED_BY_ITSELF[1:]}]})
def test_what_is_understood_survives_a_translation(request: Any) -> None:
    """A conversation that can be said in full is the same conversation to whoever reads it."""
    try:
        said = parse_call(_body(request), "m", stream=False).conversation()
        body = GEMINI.encode(foreign(said), TARGET, drop=False).body
    except (InvalidRequest, Inexpressible):
        return
    if not json.loads(body)["contents"]:
        return  # empty text says nothing, and a prompt of nothing else is none
    again = parse_call(body, "m", stream=False).conversation()
    assert json.loads(GEMINI.encode(foreign(again), TARGET, drop=False).body) == json.loads(body)


@pytest.mark.parametrize("dialect", DIALECTS)
@_fuzz
@given(request=_request)
def test_every_dialect_can_be_told_or_says_what_it_lacks(dialect: str, request: Any) -> None:
    other, target = DIALECTS[dialect], _target[dialect]
    try:
        said = parse_call(_body(request), "m", stream=False).conversation()
    except InvalidRequest:
        return
    request = ChatRequest("openai" if dialect == "gemini" else "gemini", b"{}", "m", lambda: said)
    dropped = other.encode(request, target, drop=True)
    assert isinstance(json.loads(dropped.body), dict)
    if dropped.dropped:
        with pytest.raises(Inexpressible) as caught:
            other.encode(request, target, drop=False)
        assert caught.value.fields == dropped.dropped
    else:
        assert other.encode(request, target, drop=False).body == dropped.body
    # What stands in no conversation is never lost without a word.
    assert set(said.extra) <= set(dropped.dropped)


@_fuzz
@given(_request)
def test_its_own_bytes_go_through_untouched(request: Any) -> None:
    body = _body(request)
    try:
        parsed = parse_call(body, "m", stream=True)
    except InvalidRequest:
        return
    assert GEMINI.encode(parsed, TARGET, drop=False).body == body


@_fuzz
@given(_request | _json, st.booleans())
def test_a_count_is_understood_or_refused_as_invalid(request: Any, whole: bool) -> None:
    body = _body({"generateContentRequest": request} if whole else request)
    with contextlib.suppress(InvalidRequest):
        parsed = GEMINI.parse_count(body, "m")
        assert GEMINI.encode_count(parsed, TARGET, drop=False).body == body
        assert parsed.conversation().turns
        asked = json.loads(GEMINI.encode_count(foreign(parsed.conversation()), TARGET, drop=True).body)
        assert asked["generateContentRequest"]["model"] == f"models/{TARGET.upstream}"
        told = ANTHROPIC.encode_count(foreign(parsed.conversation()), _target["anthropic"], drop=True)
        assert set(json.loads(told.body)) <= {
            "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config",
        }  # fmt: skip


@_fuzz
@given(st.binary(max_size=40) | _json.map(_body))
def test_a_told_count_is_a_number_or_garbled(body: bytes) -> None:
    for dialect in (GEMINI, ANTHROPIC):
        with contextlib.suppress(Garbled):
            assert isinstance(dialect.decode_count(body), int)


@given(st.integers(0, 2**40))
def test_counts_survive_the_way_there_and_back(tokens: int) -> None:
    for dialect in (GEMINI, ANTHROPIC):
        assert dialect.decode_count(dialect.render_count(tokens)) == tokens


def test_the_model_in_a_count_is_the_one_it_goes_to() -> None:
    asked = b'{"generateContentRequest": {"model": "models/m", "contents": [{"parts": [{"text": "a"}]}], "x": 1.0}}'
    sent = GEMINI.encode_count(GEMINI.parse_count(asked, "m"), TARGET, drop=False)
    assert sent.path == f"/v1beta/models/{TARGET.upstream}:countTokens"
    assert sent.body == (
        b'{"generateContentRequest":{"model":"models/%s","contents":[{"parts": [{"text": "a"}]}],"x":1.0}}'
        % TARGET.upstream.encode()
    )


# Answers

#: As JSON has them, which knows no infinity.
_args = st.dictionaries(st.text(max_size=4), _scalar.filter(lambda one: one not in (inf, -inf)), max_size=3)


def _call_of(number: int, args: Any) -> ToolCall:
    return ToolCall(f"c{number}", "f", json.dumps(args), "c2ln")


def _usage_of(prompt: int, said: int, thought: int, cached: int) -> Usage:
    return Usage(prompt, said + thought, min(cached, prompt), 0, thought)


_said = st.one_of(
    st.builds(Text, st.text(min_size=1, max_size=8)),
    st.builds(Reasoning, st.text(min_size=1, max_size=8)),
    st.builds(_call_of, st.integers(0, 99), _args),
)
_usage = st.builds(_usage_of, *[st.integers(0, 999)] * 4)


@_fuzz
@given(st.lists(st.lists(_said, max_size=4), min_size=1, max_size=3), _usage)
def test_a_reply_survives_rendering_and_decoding(said: list[list[Any]], usage: Usage) -> None:
    choices = [
        Choice(parts, "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop") for parts in said
    ]
    again = GEMINI.decode(GEMINI.render(ChatReply("i", "m", choices, usage)))
    assert (again.id, again.model, again.usage) == ("i", "m", usage)
    assert [_plainly(choice) for choice in again.choices] == [_plainly(choice) for choice in choices]


def _plainly(choice: Choice) -> Any:
    """Arguments by their meaning, not by their blanks."""
    parts: list[Any] = [
        (part.id, part.name, json.loads(part.arguments), part.signature) if isinstance(part, ToolCall) else part
        for part in choice.parts
    ]
    return parts, choice.finish_reason


def _encoded(found: list[ChatChunk]) -> bytes:
    encoder = GEMINI.stream_encoder(foreign(CONVERSATIONS["text"], stream=True))
    return b"".join([encoder.encode(Begin("i", "m")), *(encoder.encode(chunk) for chunk in found), encoder.end()])


@_fuzz
@given(st.lists(st.text(max_size=8) | st.integers(1, 3).map(str).map(ReasoningDelta), max_size=6), _usage)
def test_text_and_thoughts_survive_a_stream(said: list[Any], usage: Usage) -> None:
    sent: list[ChatChunk] = [TextDelta(one) if isinstance(one, str) else one for one in said]
    found = chunks(_encoded([*sent, Finish("stop"), UsageReport(usage)]))
    for kind in (TextDelta, ReasoningDelta):
        told = ["".join(one.text for one in many if isinstance(one, kind)) for many in (found, sent)]
        assert told[0] == told[1]
    assert found[-2:] == [Finish("stop"), UsageReport(usage)]


@_fuzz
@given(st.lists(_args, min_size=1, max_size=3), st.integers(1, 9), st.randoms(use_true_random=False))
def test_tool_calls_survive_however_their_arguments_are_split(arguments: list[Any], size: int, rng: Any) -> None:
    sent: list[ToolCallDelta] = [ToolCallDelta(n, "", f"c{n}", "f") for n in range(len(arguments))]
    queues = [
        [ToolCallDelta(n, text[at : at + size]) for at in range(0, len(text), size)]
        for n, text in enumerate(map(json.dumps, arguments))
    ]
    while queues := [queue for queue in queues if queue]:
        sent.append(rng.choice(queues).pop(0))
    found = [chunk for chunk in chunks(_encoded([*sent, Finish("tool_calls")])) if isinstance(chunk, ToolCallDelta)]
    assert [(one.index, one.id, json.loads(one.arguments)) for one in found] == [
        (n, f"c{n}", args) for n, args in enumerate(arguments)
    ]


_STREAMS = [name for name in names("stream_*.sse") if "error" not in name and "blocked" not in name]


@pytest.mark.parametrize("name", _STREAMS)
@pytest.mark.parametrize("size", [1, 7, 1_000_000])
async def test_events_become_one_array_however_they_come(name: str, size: int) -> None:
    data = recorded(name)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), size):
            yield data[at : at + size]

    told = [piece async for piece in as_array(pieces())]
    events = [event.data for event in Parser().feed(data)]
    assert json.loads(b"".join(told)) == [json.loads(event) for event in events]
    # Each chunk leaves as soon as it is there.
    assert len(told) == len(events) + 1


async def test_no_events_are_an_empty_array() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for piece in (b"", b": a comment\n\n"):
            yield piece

    assert json.loads(b"".join([piece async for piece in as_array(nothing())])) == []


@_fuzz
@given(st.lists(_json, max_size=4))
def test_a_stream_is_understood_or_a_fault_and_what_is_told_of_it_is_json(said: list[Any]) -> None:
    decoder = GEMINI.stream_decoder()
    found: list[ChatChunk] = []
    with contextlib.suppress(Fault):
        for data in said:
            found += decoder.feed(Event("", _body({"candidates": [{"content": {"parts": [data]}}]}), b""))
    assert all(json.loads(event.data) for event in Parser().feed(_encoded(found)))
