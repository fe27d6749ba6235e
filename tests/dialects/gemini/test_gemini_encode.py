"""What is asked of Gemini, and what cannot be."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Literal

import pytest
from gemini_recorded import CONVERSATIONS, MODEL, PNG, TARGET, call, foreign, model, recorded, sent, user
from msgspec import Raw

from providers.chat import (
    Audio,
    Conversation,
    Document,
    Effort,
    EmbeddingRequest,
    Image,
    Reasoning,
    RefusalText,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from providers.dialect import Inexpressible, Profile, Target
from providers.dialects.gemini import GEMINI, parse_call
from providers.errors import Garbled

_HI = user(Text("Hi"))
_PICTURE = Image(data=PNG, media_type="image/png")


def _said(**fields: Any) -> Conversation:
    return Conversation([_HI], **fields)


_BEYOND: dict[str, Conversation] = {
    "user": _said(user="u1"),
    "stop": _said(stop=list("abcdef")),
    "n": _said(n=9),
    "seed": _said(seed=2**31),
    "metadata": _said(metadata={"Team": "x"}),
    "service_tier": _said(service_tier="scale"),
    "reasoning_effort": _said(effort=Effort("max")),
    "safetySettings": _said(extra={"safetySettings": Raw(b"[1]")}),
    "messages.name": Conversation([Turn("user", [Text("Hi")], name="ada")]),
    "messages.role.system.content": Conversation([Turn("system", [_PICTURE]), _HI]),
    "messages.content.image_url": Conversation([user(Text("Hi"), Image(url="http://example.com/a.png"))]),
    "messages.content.image_url.detail": Conversation(
        [user(Image(data=PNG, media_type="image/png", detail="original"))]
    ),
    "messages.content.input_audio.format": Conversation([user(Text("Hi"), Audio("AAAA", "pcm16"))]),
    "messages.content.file": Conversation([user(Text("Hi"), Document(file_id="file_1"))]),
    "messages.tool_calls.arguments": Conversation([_HI, model(ToolCall("c", "f", "[1]"))]),
    "messages.tool_call_id": Conversation([_HI, user(ToolResult("gone", [Text("1")]))]),
}


@pytest.mark.parametrize("field", _BEYOND)
def test_what_has_no_equivalent_is_refused_by_name(field: str) -> None:
    with pytest.raises(Inexpressible) as caught:
        call(_BEYOND[field])
    assert caught.value.fields == (field,)
    assert caught.value.dialect == "gemini"


@pytest.mark.parametrize("field", _BEYOND)
def test_what_is_dropped_is_named(field: str) -> None:
    made = call(_BEYOND[field], drop=True)
    assert made.dropped == (field,)
    assert json.loads(made.body)["contents"]


def test_everything_that_is_lost_is_named_at_once() -> None:
    said = Conversation(
        [Turn("user", [Text("Hi"), Document(file_id="f")], name="ada")],
        user="u",
        n=20,
        seed=-(2**40),
        extra={"logit_bias": Raw(b"{}")},
    )
    with pytest.raises(Inexpressible) as caught:
        call(said)
    assert caught.value.fields == ("messages.name", "messages.content.file", "n", "seed", "user", "logit_bias")


def test_the_limits_themselves_can_be_said() -> None:
    body = sent(_said(stop=list("abcde"), n=8, seed=-(2**31)))
    assert body["generationConfig"] == {"stopSequences": list("abcde"), "seed": -(2**31), "candidateCount": 8}


@pytest.mark.parametrize(("tier", "told"), [("default", "standard"), ("priority", "priority"), ("auto", None)])
def test_service_tiers_have_googles_names(tier: str, told: str | None) -> None:
    assert sent(_said(service_tier=tier)).get("serviceTier") == told


@pytest.mark.parametrize(
    ("effort", "upstream", "told"),
    [
        (Effort("minimal"), MODEL, {"thinkingLevel": "MINIMAL"}),
        (Effort("xhigh"), MODEL, {"thinkingLevel": "XHIGH"}),
        (Effort("low"), "gemini-2.5-flash", {"thinkingBudget": 1024}),
        (Effort("high"), "models/gemini-2.5-pro", {"thinkingBudget": 24576}),
        (Effort(), MODEL, {"thinkingBudget": -1}),
        (Effort(show=True), MODEL, {"includeThoughts": True}),
        (Effort(budget=9, show=False), MODEL, {"thinkingBudget": 9, "includeThoughts": False}),
        (Effort(enabled=False), MODEL, {"thinkingBudget": 0}),
    ],
)
def test_thinking_is_asked_for_in_the_words_the_model_knows(effort: Effort, upstream: str, told: Any) -> None:
    assert sent(_said(effort=effort), upstream=upstream)["generationConfig"] == {"thinkingConfig": told}


@pytest.mark.parametrize(
    ("effort", "upstream"), [(Effort("xhigh"), "gemini-2.5-pro"), (Effort("low", budget=5), MODEL)]
)
def test_a_word_that_the_model_does_not_know_is_refused(effort: Effort, upstream: str) -> None:
    with pytest.raises(Inexpressible, match="reasoning_effort"):
        call(_said(effort=effort), upstream=upstream)


def test_an_effort_that_cannot_be_said_leaves_no_empty_configuration() -> None:
    assert "generationConfig" not in json.loads(call(_said(effort=Effort("max")), drop=True).body)


def test_old_models_need_no_signatures() -> None:
    contents = sent(CONVERSATIONS["foreign_call"], upstream="gemini-2.5-flash")["contents"]
    assert "thoughtSignature" not in contents[1]["parts"][0]


def test_reasoning_goes_back_only_to_who_signed_it() -> None:
    turns = [
        _HI,
        model(Reasoning("Deep.", "gemini:c2ln"), Reasoning(signature="gemini:bG9uZQ=="), Reasoning("Hm.")),
        user(Text("And?")),
        model(Reasoning("Other.", "EqQB"), Reasoning(redacted="opaque")),
    ]
    assert sent(Conversation(turns))["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Deep.", "thoughtSignature": "c2ln", "thought": True},
                {"text": "", "thoughtSignature": "bG9uZQ=="},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]


def test_a_conversation_of_system_turns_only_is_asked_by_the_user() -> None:
    assert sent(Conversation([Turn("system", [Text("Say hi.")])])) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hi."}]}]
    }


def test_refusals_are_words_that_were_said() -> None:
    assert sent(Conversation([_HI, model(RefusalText("No.")), _HI]))["contents"][1]["parts"] == [{"text": "No."}]


def test_numbers_in_arguments_keep_their_digits() -> None:
    body = call(Conversation([_HI, model(ToolCall("c", "f", '{"a": 1.0, "b": 12345678901234567890123}'))])).body
    assert b'{"a": 1.0, "b": 12345678901234567890123}' in body


def test_an_empty_result_is_an_empty_output() -> None:
    turns = [_HI, model(ToolCall("c", "f", "{}")), user(ToolResult("c", []))]
    answer = sent(Conversation(turns))["contents"][2]["parts"][0]["functionResponse"]
    assert answer == {"id": "c", "name": "f", "response": {"output": ""}}


def test_media_of_a_result_that_cannot_be_sent_is_named() -> None:
    turns = [_HI, model(ToolCall("c", "f", "{}")), user(ToolResult("c", [Image(url="ftp://x")]))]
    made = call(Conversation(turns), drop=True)
    assert made.dropped == ("messages.content.image_url",)
    assert "parts" not in json.loads(made.body)["contents"][2]["parts"][0]["functionResponse"]


def test_a_broken_address_is_sent_without_a_type() -> None:
    assert sent(Conversation([user(Image(url="https://[::1/a.png"))]))["contents"][0]["parts"] == [
        {"fileData": {"fileUri": "https://[::1/a.png"}}
    ]


def test_a_document_without_a_known_type_is_refused() -> None:
    with pytest.raises(Inexpressible, match=r"messages\.content\.file"):
        call(Conversation([user(Document(data="AAAA", filename="notes"))]))


def test_detail_counts_for_all_pictures_or_not_at_all() -> None:
    low, high = (Image(data=PNG, media_type="image/png", detail=detail) for detail in ("low", "high"))
    assert sent(Conversation([user(high)]))["generationConfig"] == {"mediaResolution": "MEDIA_RESOLUTION_HIGH"}
    result = ToolResult("c", [_PICTURE], "f")
    for parts in (
        [low, high],
        [low, _PICTURE],
        [low, Document(data="AA", media_type="application/pdf")],
        [low, result],
    ):
        with pytest.raises(Inexpressible, match="detail"):
            call(Conversation([user(*parts)]))


def test_a_choice_without_tools_is_no_choice() -> None:
    assert "toolConfig" not in sent(_said(tool_choice=ToolChoice("none")))
    assert sent(_said(tool_choice=ToolChoice("required")))["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_a_demanded_call_follows_its_schema_anyway() -> None:
    said = _said(tools=[Tool("f", strict=True)], tool_choice=ToolChoice("required"))
    assert sent(said)["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_a_schema_keeps_its_own_title_and_a_reference_gets_none() -> None:
    own = {"type": "object", "title": "Mine"}
    config = sent(_said(response_format=ResponseFormat("json_schema", "theirs", schema=own)))["generationConfig"]
    assert config["responseJsonSchema"] == own
    ref = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}
    config = sent(_said(response_format=ResponseFormat("json_schema", "name", "told", ref)))["generationConfig"]
    assert config["responseJsonSchema"] == ref


def test_own_bytes_pass_untouched() -> None:
    body = b' {"contents":[{"parts":[{"text":"the \\"model\\" 1.0"}]}],"newField":1.0} '
    request = parse_call(body, "models/gemini-x", stream=True)
    made = GEMINI.encode(request, Target("g", MODEL, Profile(gemini_version="v1")), drop=False)
    assert made.body is body
    assert made.path == f"/v1/models/{MODEL}:streamGenerateContent?alt=sse"


def test_a_body_that_names_its_model_names_the_one_it_goes_to() -> None:
    body = b'{"model": "models/alias", "contents": [{"parts": [{"text": "Hi"}]}], "x": 1.0}'
    request = parse_call(body, "alias", stream=False)
    made = GEMINI.encode(request, TARGET, drop=False)
    assert made.body == b'{"model":"models/%s","contents":[{"parts": [{"text": "Hi"}]}],"x":1.0}' % MODEL.encode()
    word = b'{"contents": [{"parts": [{"text": "Hi"}]}], "labels": {"model": "a"}}'
    assert GEMINI.encode(parse_call(word, "alias", stream=False), TARGET, drop=False).body == word


@pytest.mark.parametrize(
    ("upstream", "path"),
    [
        ("tunedModels/mine", "/v1beta/tunedModels/mine:generateContent"),
        ("models/a", "/v1beta/models/a:generateContent"),
        ("a?key=b#c", "/v1beta/models/a%3Fkey%3Db%23c:generateContent"),
    ],
)
def test_a_models_name_stays_in_its_place(upstream: str, path: str) -> None:
    assert call(_said(), upstream=upstream).path == path


def test_without_a_key_nothing_is_told() -> None:
    assert GEMINI.authorise(None, Profile()) == ()
    assert GEMINI.authorise("k", Profile()) == (("x-goog-api-key", "k"),)


def _embed(inputs: Any, *, drop: bool = False, **fields: Any) -> Any:
    request = EmbeddingRequest("openai", b"{}", "m", inputs, **fields)
    return GEMINI.encode_embedding(request, TARGET, drop=drop)


def test_embeddings_drop_fields_but_never_inputs() -> None:
    assert _embed(["a"], user="u", extra={"x": Raw(b"1")}, drop=True).dropped == ("x", "user")
    with pytest.raises(Inexpressible) as caught:
        _embed(["a"], user="u", extra={"x": Raw(b"1")})
    assert caught.value.fields == ("x", "user")
    for inputs in ([[1, 2]], ["a"] * 101):
        with pytest.raises(Inexpressible, match="input"):
            _embed(inputs, drop=True)
    assert len(json.loads(_embed(["a"] * 100).body)["requests"]) == 100


def test_embeddings_are_read_with_and_without_usage() -> None:
    plain = GEMINI.decode_embedding(recorded("answer_embeddings.json"))
    assert plain.vectors == [[0.5, -0.25, 1.0], [0.0, 0.125, -1.0]]
    assert plain.usage.input_tokens == 0
    assert GEMINI.decode_embedding(recorded("answer_embeddings_usage.json")).usage.input_tokens == 3
    for body in (b"{}", b"[]", b"{", b'{"embeddings": [{}]}'):
        with pytest.raises(Garbled):
            GEMINI.decode_embedding(body)


def test_the_same_request_is_encoded_the_same_for_every_stream_setting() -> None:
    said = CONVERSATIONS["tools"]
    bodies = {GEMINI.encode(foreign(said, stream=stream), TARGET, drop=False).body for stream in (False, True)}
    assert len(bodies) == 1


def test_own_requests_lose_the_proofs_of_claude() -> None:
    proof = b64encode(b"anthropic:EqQB").decode()
    contents: list[Any] = [
        {"role": "user", "parts": [{"text": f'"{proof}'}]},
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True, "thoughtSignature": proof},
                {"text": "", "thought": True, "thought_signature": proof},
                {"functionCall": {"name": "f", "args": {"x": 1.0}}, "thoughtSignature": "c2ln"},
            ],
        },
        {"role": "user", "parts": {"text": proof}},
    ]
    request = parse_call(json.dumps({"contents": contents, "store": False}).encode(), "m", stream=False)
    kept = json.loads(GEMINI.encode(request, TARGET, drop=False).body)
    contents[1]["parts"] = [{"text": "Hm.", "thought": True}, contents[1]["parts"][2]]
    assert kept == {"contents": contents, "store": False}


@pytest.mark.parametrize(("mode", "written"), [("auto", "VALIDATED"), ("required", "ANY")])
def test_some_of_the_tools_may_be_all_that_is_allowed(mode: Literal["auto", "required"], written: str) -> None:
    said = _said(tools=[Tool("f"), Tool("g"), Tool("h")], tool_choice=ToolChoice(mode, allowed=["f", "h"]))
    assert sent(said)["toolConfig"]["functionCallingConfig"] == {"mode": written, "allowedFunctionNames": ["f", "h"]}


_REF = {"$ref": "#/$defs/A"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"properties": {"x": _REF}}, {"properties": {"x": _REF}}),
        ({"items": {**_REF, "description": "d"}}, {"items": {"description": "d", "anyOf": [_REF]}}),
        ({"anyOf": [{**_REF, "title": "T"}]}, {"anyOf": [{"title": "T", "anyOf": [_REF]}]}),
        ({**_REF, "title": "T", "$defs": {}}, {"title": "T", "$defs": {}, "anyOf": [_REF]}),
        (
            {"properties": {"default": {**_REF, "title": "T"}, "$ref": {"type": "string"}}},
            {"properties": {"default": {"title": "T", "anyOf": [_REF]}, "$ref": {"type": "string"}}},
        ),
        (
            {"default": {**_REF, "a": 1}, "enum": [{**_REF, "a": 1}]},
            {"default": {**_REF, "a": 1}, "enum": [{**_REF, "a": 1}]},
        ),
        ({**_REF, "anyOf": [{}], "title": "T"}, {**_REF, "anyOf": [{}], "title": "T"}),
    ],
)
def test_a_reference_stands_alone(given: dict[str, Any], told: dict[str, Any]) -> None:
    (tool,) = sent(_said(tools=[Tool("f", None, given)]))["tools"]
    assert tool["functionDeclarations"][0]["parametersJsonSchema"] == told
    shape = ResponseFormat("json_schema", schema=given)
    assert sent(_said(response_format=shape))["generationConfig"]["responseJsonSchema"] == told


def test_a_schema_nested_too_deep_is_googles_to_judge() -> None:
    deep: dict[str, Any] = {**_REF, "title": "T"}
    for _ in range(480):
        deep = {"items": deep}
    (tool,) = sent(_said(tools=[Tool("f", None, deep)]))["tools"]
    assert tool["functionDeclarations"][0]["parametersJsonSchema"] == deep
