"""What a caller of this dialect says."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from gemini_recorded import CONVERSATIONS, PNG, recorded
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import (
    Audio,
    ChatRequest,
    Conversation,
    Document,
    Effort,
    Image,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from providers.dialect import InvalidRequest
from providers.dialects.gemini import GEMINI, parse_call
from providers.searching import WebSearch

_HI = {"role": "user", "parts": [{"text": "Hi"}]}
_BLOB = {"mimeType": "image/png", "data": PNG}


def _parsed(**fields: Any) -> ChatRequest:
    return parse_call(json.dumps({"contents": [_HI], **fields}).encode(), "m", stream=False)


def _said(**fields: Any) -> Conversation:
    return _parsed(**fields).conversation()


def _config(**fields: Any) -> Conversation:
    return _said(generationConfig=fields)


def _extra(said: Conversation) -> dict[str, Any]:
    return {name: json.loads(bytes(raw)) for name, raw in said.extra.items()}


@pytest.mark.parametrize("case", ["text", "json_object", "effort", "budget", "named_tool", "required_tool", "no_tool"])
def test_what_we_send_is_what_we_would_understand(case: str) -> None:
    assert parse_call(recorded(f"request_{case}.json"), "m", stream=False).conversation() == CONVERSATIONS[case]


def test_the_path_tells_model_and_streaming() -> None:
    request = parse_call(recorded("request_text.json"), "models/gemini-x", stream=True)
    assert (request.dialect, request.model, request.stream, request.max_tokens) == ("gemini", "gemini-x", True, 256)
    bare = GEMINI.parse(recorded("request_text.json"))
    assert (bare.model, bare.stream, bare.include_usage) == ("", False, True)


def test_both_spellings_and_lone_objects_are_understood() -> None:
    request = parse_call(recorded("parse_mixed.json"), "m", stream=False)
    assert request.needs == {"tools", "vision", "reasoning"}
    said = request.conversation()
    assert said.turns == [
        Turn("system", [Text("Be brief.")]),
        Turn("user", [Text("Weather in Paris?"), Image(data=PNG, media_type="image/png")]),
        Turn("assistant", [ToolCall("call_0", "get_weather", '{"city_name":"Paris","days":1.0}', "c2ln")]),
        Turn("user", [ToolResult("call_0", [Text('{"some_key":1}')], "get_weather")]),
    ]
    parameters = {"type": "object", "properties": {"city_name": {"type": "string"}}}
    assert said.tools == [Tool("get_weather", None, parameters)]
    assert said.tool_choice == ToolChoice("named", "get_weather")
    assert (said.max_tokens, said.effort) == (10, Effort(budget=100))
    assert list(said.extra) == ["safetySettings"]


def test_capabilities_are_read_from_the_parts() -> None:
    parts = [
        {"fileData": {"fileUri": "https://example.com/a.png"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        {"functionResponse": {"name": "f", "parts": [{"inlineData": _BLOB}]}},
    ]
    request = _parsed(
        contents=[{"parts": parts}],
        generationConfig={"responseSchema": {}, "thinkingConfig": {"thinkingLevel": "low"}, "candidateCount": 2},
        labels={"a": "b"},
    )
    assert request.needs == {"vision", "audio", "documents", "json_schema", "reasoning"}
    assert (request.n, request.metadata) == (2, {"a": "b"})
    assert (
        _parsed(generationConfig={"thinkingConfig": {"thinkingBudget": 0}}, tools=[{"googleSearch": {}}]).needs == set()
    )


def test_media_are_not_counted_as_text() -> None:
    small, large = (
        _parsed(contents=[{"parts": [{"inlineData": {**_BLOB, "data": "A" * size}}]}]) for size in (4, 400_000)
    )
    assert small.input_tokens == large.input_tokens > 0


_WRONG = [
    (b"", "invalid_json", None),
    (b"[1]", "invalid_type", None),
    (b"{}", "missing_required_parameter", "contents"),
    (b'{"contents": null}', "invalid_type", "contents"),
    (b'{"contents": []}', "invalid_value", "contents"),
    (b'{"contents": "Hi"}', "invalid_type", "contents"),
    (b'{"contents": [1]}', "invalid_type", "contents[0]"),
    (b'{"contents": [{}]}', "invalid_value", "contents[0].parts"),
    (b'{"contents": [{"role": "system", "parts": [{"text": ""}]}]}', "invalid_value", "contents[0].role"),
    (b'{"contents": [{"parts": [{"text": 1}]}]}', "invalid_type", "contents[0].parts[0].text"),
]


@pytest.mark.parametrize(("body", "code", "param"), _WRONG)
def test_a_wrong_body_is_told_where(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        GEMINI.parse(body)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    "config",
    [
        {"temperature": 2.5},
        {"topP": 1.5},
        {"topK": -1},
        {"maxOutputTokens": 0},
        {"candidateCount": 9},
        {"stopSequences": ["a"] * 65},
        {"logprobs": 21},
        {"thinkingConfig": {"thinkingBudget": -2}},
        {"max_output_tokens": "many"},
    ],
)
def test_ranges_of_the_reference_are_kept(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _parsed(generationConfig=config)
    assert caught.value.param is not None
    assert caught.value.param.startswith("generationConfig.")


def test_unknown_fields_are_no_error_and_are_listed_by_path() -> None:
    said = _said(
        contents=[{"parts": [{"text": "Hi", "videoMetadata": {"fps": 1.0}, "brand_new": 1}]}],
        systemInstruction={"parts": [{"text": "Be brief."}, {"inlineData": _BLOB}]},
        generationConfig={"mediaResolution": "MEDIA_RESOLUTION_MEDIUM", "topK": 2.5, "responseModalities": ["IMAGE"]},
        tools=[{"googleSearch": {"timeRangeFilter": {}}}, {"functionDeclarations": None}, {"codeExecution": {}}],
        safetySettings=[],
        cachedContent=None,
        store=True,
    )
    assert _extra(said) == {
        "contents.parts.videoMetadata": {"fps": 1.0},
        "contents.parts.brandNew": 1,
        "systemInstruction.parts": {"inlineData": _BLOB},
        "generationConfig.mediaResolution": "MEDIA_RESOLUTION_MEDIUM",
        "generationConfig.topK": 2.5,
        "generationConfig.responseModalities": ["IMAGE"],
        "tools.googleSearch": {"timeRangeFilter": {}},
        "tools.codeExecution": {},
    }
    assert said.search is None
    assert said.store is True
    assert said.turns[0] == Turn("system", [Text("Be brief.")])


@pytest.mark.parametrize("spelling", ["googleSearch", "google_search"])
def test_a_plain_search_is_read(spelling: str) -> None:
    said = _said(tools=[{spelling: {}}])
    assert (said.search, said.extra, said.tools) == (WebSearch("tools.googleSearch"), {}, [])


def test_how_closely_to_look_is_a_setting_of_each_picture() -> None:
    def seen(kind: str) -> Conversation:
        parts = [{"text": "Look."}, {"inlineData": {"mimeType": kind, "data": "AA=="}}]
        return _said(contents=[{"parts": parts}], generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"})

    said = seen("image/png")
    assert said.extra == {}
    assert said.turns[0].parts[1] == Image(data="AA==", media_type="image/png", detail="low")
    # A document has no such setting anywhere else.
    assert _extra(seen("application/pdf")) == {"generationConfig.mediaResolution": "MEDIA_RESOLUTION_LOW"}


def test_claudes_proofs_come_back_through_callers_of_this_dialect() -> None:
    def b64(text: str) -> str:
        return b64encode(text.encode()).decode()

    parts = [
        {"text": "Let me", "thought": True},
        {"text": " see.", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": b64("anthropic:EqQB+/==?>")},
        # As the SDK writes bytes: in the alphabet for URLs.
        {
            "text": "One.",
            "thought": True,
            "thoughtSignature": b64("anthropic:a?>~").replace("+", "-").replace("/", "_"),
        },
        {"text": "", "thought": True, "thoughtSignature": b64("anthropic-redacted:Emw=")},
        {"text": "No.", "thought": True, "thoughtSignature": "YW50aHJvcGlj!"},
        {"text": "No.", "thought": True, "thoughtSignature": b64("anthropic, but not a proof")},
    ]
    assert _said(contents=[_HI, {"role": "model", "parts": parts}]).turns[1].parts == [
        Reasoning("Let me see.", "anthropic:EqQB+/==?>"),
        Reasoning("One.", "anthropic:a?>~"),
        Reasoning(redacted="Emw="),
        Reasoning("No.", "gemini:YW50aHJvcGlj!"),
        Reasoning("No.", "gemini:" + b64("anthropic, but not a proof")),
    ]


def test_defaults_said_aloud_ask_for_nothing() -> None:
    said = _config(responseModalities=["TEXT"], responseMimeType="text/plain")
    said.effort = None
    assert (said.extra, said.response_format) == ({}, None)


def test_signatures_round_trip_through_the_conversation() -> None:
    parts = [
        {"text": "Deep.", "thought": True, "thoughtSignature": "YQ=="},
        {"text": "Hi", "thoughtSignature": "Yg=="},
        {"text": "", "thoughtSignature": "Yw=="},
        {"thought": True},
        {"text": ""},
    ]
    assert _said(contents=[_HI, {"role": "model", "parts": parts}]).turns[1].parts == [
        Reasoning("Deep.", "gemini:YQ=="),
        Text("Hi"),
        Reasoning(signature="gemini:Yg=="),
        Reasoning(signature="gemini:Yw=="),
        Reasoning(),
        Text(""),
    ]


def _call(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **fields}}


def _answer(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, **fields}}


def test_answers_find_their_calls_by_id_or_else_by_name_and_order() -> None:
    said = _said(
        contents=[
            _HI,
            {"role": "model", "parts": [_call("f"), _call("g"), _call("f"), _call("h", id="call_1")]},
            {"parts": [_answer("g"), _answer("f"), _answer("h", id="call_1"), _answer("f"), _answer("f")]},
            {"parts": [_answer("f", id="late"), _answer("x", id="call_1")]},
        ]
    )
    calls = [part.id for part in said.turns[1].parts if isinstance(part, ToolCall)]
    answers = [part.id for turn in said.turns[2:] for part in turn.parts if isinstance(part, ToolResult)]
    assert calls == ["call_0", "call_2", "call_3", "call_1"]
    assert answers == ["call_2", "call_0", "call_1", "call_3", "call_4", "late", "call_1"]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "Sunny"}, "Sunny", False),
        ({"output": {"t": 1.0}}, '{"t": 1.0}', False),
        ({"error": "Gone"}, "Gone", True),
        ({"output": "a", "error": "b"}, '{"output":"a","error":"b"}', False),
        ({"result": "Sunny"}, '{"result":"Sunny"}', False),
    ],
)
def test_results_are_read_in_the_apis_words(response: dict[str, Any], text: str, is_error: bool) -> None:
    said = _said(contents=[{"parts": [_answer("f", response=response)]}])
    assert said.turns[0].parts == [ToolResult("call_0", [Text(text)], "f", is_error)]


def test_media_become_what_others_know() -> None:
    parts = [
        {"inlineData": {"mimeType": "audio/x-wav", "data": "AA"}},
        {"inlineData": {"mimeType": "audio/opus", "data": "AA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AA", "displayName": "a.pdf"}},
        {"fileData": {"fileUri": "https://example.com/a.png"}},
        {"fileData": {"fileUri": "https://example.com/a.pdf", "displayName": "a"}},
    ]
    assert _said(contents=[{"parts": parts}]).turns[0].parts == [
        Audio("AA", "wav"),
        Audio("AA", "opus"),
        Document(data="AA", media_type="application/pdf", filename="a.pdf"),
        Image(url="https://example.com/a.png", media_type="image/png"),
        Document(url="https://example.com/a.pdf", media_type="application/pdf", filename="a"),
    ]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"inlineData": {"mimeType": "video/mp4", "data": "AA"}}, "contents.parts.inlineData"),
        ({"fileData": {"fileUri": "gs://bucket/a.png"}}, "contents.parts.fileData"),
        (
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}},
            "contents.parts.fileData",
        ),
        ({"fileData": {"fileUri": "https://example.com/a", "mimeType": "audio/mp3"}}, "contents.parts.fileData"),
        ({"fileData": {"fileUri": "https://example.com/a"}}, "contents.parts.fileData"),
        (
            _answer("f", parts=[{"inlineData": {"mimeType": "audio/mp3", "data": "AA"}}]),
            "contents.parts.functionResponse.parts",
        ),
        (
            _answer("f", parts=[{"fileData": {"fileUri": "gs://a/b.png"}}]),
            "contents.parts.functionResponse.parts.fileData",
        ),
        ({"executableCode": {"code": "1"}}, "contents.parts.executableCode"),
    ],
)
def test_media_that_only_google_can_read_are_named(part: dict[str, Any], name: str) -> None:
    assert list(_said(contents=[{"parts": [part]}]).extra) == [name]


def test_results_carry_their_media() -> None:
    parts = [{"inlineData": _BLOB}, {"inlineData": {"mimeType": "text/plain", "data": "AA"}}, {}]
    result = _said(contents=[{"parts": [_answer("f", parts=parts)]}]).turns[0].parts[0]
    assert isinstance(result, ToolResult)
    assert result.parts == [Image(data=PNG, media_type="image/png"), Document(data="AA", media_type="text/plain")]


def test_sampling_is_read_in_full() -> None:
    said = parse_call(recorded("request_sampling.json"), "m", stream=False).conversation()
    expected = CONVERSATIONS["sampling"]
    expected = Conversation(**{name: getattr(expected, name) for name in expected.__struct_fields__})
    expected.response_format = None
    assert said == expected


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"thinkingBudget": 0}, Effort(enabled=False)),
        ({"thinkingBudget": -1}, Effort()),
        ({"includeThoughts": True}, Effort(show=True)),
        ({"thinkingLevel": "MINIMAL"}, Effort("minimal")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, Effort()),
    ],
)
def test_thinking_is_understood(thinking: dict[str, Any], effort: Effort) -> None:
    assert _config(thinkingConfig=thinking).effort == effort


def test_googles_schemas_become_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "any_of": {"type": "STRING", "nullable": True, "enum": ["a"], "format": "enum"},
            "n": {"type": "ARRAY", "min_items": "1", "max_items": "x", "items": {"type": "INTEGER"}},
            "u": {"any_of": [{"type": "NUMBER"}, {"ref": "#/$defs/d"}], "nullable": True},
            "t": {"type": "TYPE_UNSPECIFIED", "nullable": False},
            "v": True,
        },
        "additionalProperties": False,
        "propertyOrdering": ["n"],
        "defs": {"d": {"type": "BOOLEAN"}},
    }
    said = _config(responseMimeType="application/json", responseSchema=schema)
    assert said.response_format == ResponseFormat(
        "json_schema",
        schema={
            "type": "object",
            "properties": {
                "any_of": {"type": ["string", "null"], "enum": ["a", None], "format": "enum"},
                "n": {"type": "array", "minItems": 1, "maxItems": "x", "items": {"type": "integer"}},
                "u": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/d"}, {"type": "null"}]},
                "t": {},
                "v": True,
            },
            "additionalProperties": False,
            "propertyOrdering": ["n"],
            "$defs": {"d": {"type": "boolean"}},
        },
    )
    own = {"type": "object", "properties": {"a_b": {"const": 1}}}
    said = _config(responseMimeType="application/json", responseJsonSchema=own)
    assert said.response_format == ResponseFormat("json_schema", schema=own)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (
            {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}},
            ["generationConfig.responseMimeType", "generationConfig.responseSchema"],
        ),
        ({"responseSchema": {"type": "STRING"}}, ["generationConfig.responseSchema"]),
        ({"responseMimeType": "application/json", "responseSchema": 7}, ["generationConfig.responseSchema"]),
        ({"responseJsonSchema": {"type": "string"}}, ["generationConfig.responseJsonSchema"]),
        ({"responseMimeType": "application/json", "responseJsonSchema": 7}, ["generationConfig.responseJsonSchema"]),
    ],
)
def test_shapes_that_others_do_not_know_are_named(config: dict[str, Any], names: list[str]) -> None:
    assert list(_config(**config).extra) == names


def _chosen(declared: list[Any], **choice: Any) -> Conversation:
    return _said(tools=[{"functionDeclarations": declared}], toolConfig={"functionCallingConfig": choice})


def test_choices_among_tools_are_understood_or_named() -> None:
    both = [{"name": "f"}, {"name": "g"}]
    assert _chosen(both, mode="ANY", allowedFunctionNames=["g", "f"]).tool_choice == ToolChoice("required")
    some = _chosen([*both, {"name": "h"}], mode="ANY", allowedFunctionNames=["g", "f"])
    assert (some.tool_choice, some.extra) == (ToolChoice("required", allowed=["g", "f"]), {})
    some = _chosen(both, mode="AUTO", allowedFunctionNames=["g"])
    assert list(some.extra) == ["toolConfig.functionCallingConfig.allowedFunctionNames"]
    assert _chosen(both, mode="MODE_UNSPECIFIED").tool_choice is None
    assert _chosen(both).tool_choice is None
    assert list(_chosen(both, mode="BRAND_NEW").extra) == ["toolConfig.functionCallingConfig.mode"]
    strict = _chosen(both, mode="VALIDATED")
    assert (strict.tool_choice, [tool.strict for tool in strict.tools]) == (ToolChoice("auto"), [True, True])
    assert _said(toolConfig={}).tool_choice is None
    odd = _said(tools=[{"functionDeclarations": [{"name": "f", "parameters": [1]}]}])
    assert list(odd.extra) == ["tools.functionDeclarations.parameters"]


def test_what_a_function_returns_is_told_in_its_description() -> None:
    declared = [
        {"name": "f", "description": "Looks.", "responseJsonSchema": {"type": "string"}},
        {"name": "g", "response": {"type": "INTEGER"}},
        {"name": "h", "response_json_schema": {}},
        {"name": "i", "description": "Odd.", "response": [1]},
    ]
    said = _said(tools=[{"functionDeclarations": declared}])
    assert [tool.description for tool in said.tools] == [
        'Looks.\n\nReturns JSON of this schema: {"type":"string"}',
        'Returns JSON of this schema: {"type":"integer"}',
        None,
        "Odd.",
    ]
    assert _extra(said) == {"tools.functionDeclarations.response": [1]}


@pytest.mark.parametrize(("tier", "told"), [("standard", "default"), ("unspecified", None), ("FLEX", "flex")])
def test_service_tiers_have_everybodys_names(tier: str, told: str | None) -> None:
    assert _said(serviceTier=tier).service_tier == told


_KEYS = st.sampled_from(
    [
        "contents",
        "parts",
        "text",
        "role",
        "functionCall",
        "function_call",
        "name",
        "args",
        "functionResponse",
        "response",
        "thought",
        "tools",
        "inlineData",
        "mimeType",
        "data",
        "generationConfig",
        "thinkingConfig",
        "functionDeclarations",
        "toolConfig",
        "system_instruction",
        "x",
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _JSON, max_size=4).map(lambda body: json.dumps({"contents": [_HI], **body}).encode()))
def test_any_json_is_understood_or_refused(body: bytes) -> None:
    try:
        request = GEMINI.parse(body)
    except InvalidRequest:
        return
    assert request.conversation().turns


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_in_words(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"\w"):
        GEMINI.parse(body)


def test_a_body_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        GEMINI.parse(b'{"contents":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_a_schema_nested_too_deeply_is_named() -> None:
    deep: dict[str, Any] = {"type": "STRING"}
    for _ in range(480):
        deep = {"items": deep}
    said = _said(tools=[{"functionDeclarations": [{"name": "f", "parameters": deep}]}])
    assert [tool.parameters for tool in said.tools] == [None]
    assert list(said.extra) == ["tools.functionDeclarations.parameters"]
