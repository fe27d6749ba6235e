"""How a request becomes the calls that a model takes, and what the gateway does itself then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers import PROVIDERS
from providers.chat import ChatRequest
from providers.dialect import Call, Dialect, Inexpressible, Profile, Target
from providers.dialects import ANTHROPIC, GEMINI, OPENAI
from providers.fitting import MOST_CALLS, fitted

PROFILES = {one.name: one.profile for one in PROVIDERS}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
SHAPED = {"type": "json_schema", "json_schema": {"name": "shape", "schema": SCHEMA}}
BARE = Profile(json_schema=False)
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]


def target(model: str, profile: Profile | None = None) -> Target:
    return Target("p", model, profile or Profile())


def asked(**fields: Any) -> ChatRequest:
    return OPENAI.parse(json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode())


def bodies(call: Call) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in (call, *call.more)]


def fit(request: ChatRequest, dialect: Dialect, to: Target, **more: Any) -> Call:
    return fitted(request, dialect, to, **{"drop": False, **more})


def test_what_the_model_does_itself_keeps_its_bytes() -> None:
    request = asked(n=3, stop=["a", "b"], response_format=SHAPED, model="gpt-4.1")
    call = fit(request, OPENAI, target("gpt-4.1", PROFILES["openai"]))
    assert call.body == request.body
    assert (call.choices, call.more, call.amends) == (3, (), None)


def test_answers_that_one_call_does_not_give_are_several_calls() -> None:
    call = fit(asked(n=3), ANTHROPIC, target("claude-sonnet-5"))
    assert len(bodies(call)) == 3
    assert bodies(call)[0] == bodies(call)[1] == bodies(call)[2]
    assert [one.choices for one in (call, *call.more)] == [1, 1, 1]


def test_each_call_asks_for_as_many_as_there_are_to_be_had() -> None:
    call = fit(asked(n=10), GEMINI, target("gemini-2.5-pro", PROFILES["gemini"]))
    assert [one["generationConfig"]["candidateCount"] for one in bodies(call)] == [8, 2]


@pytest.mark.parametrize(
    ("dialect", "model", "provider", "calls"),
    [
        (GEMINI, "gemini-2.5-flash", "gemini", 1),
        (GEMINI, "gemini-3.1-flash-lite", "gemini", 2),
        (GEMINI, "gemini-4-argon", "gemini", 2),
        (OPENAI, "llama3.2", "ollama", 2),
        (OPENAI, "grok-4.3", "grok", 1),
        (OPENAI, "gpt-5.5", "openai", 1),
        (ANTHROPIC, "claude-haiku-4-5", "anthropic", 2),
    ],
)
def test_which_models_give_two_answers(dialect: Dialect, model: str, provider: str, calls: int) -> None:
    assert len(bodies(fit(asked(n=2), dialect, target(model, PROFILES[provider])))) == calls


def test_ones_own_format_is_changed_where_it_must_be_and_nowhere_else() -> None:
    request = asked(n=2, logit_bias={"1": 1.0}, stop=list("abcde"))
    call = fit(request, OPENAI, target("m", Profile(choices=1)))
    assert bodies(call) == [{**json.loads(request.body), "n": 1, "stop": list("abcd")}] * 2
    assert b'"logit_bias":{"1": 1.0}' in call.body, "numbers as the caller wrote them"
    assert call.amends is not None
    assert call.amends.stops == ("e",)


@pytest.mark.parametrize("spelling", ["generationConfig", "generation_config"])
def test_geminis_own_format_is_changed_in_either_spelling(spelling: str) -> None:
    names = ("candidateCount", "stopSequences") if "C" in spelling else ("candidate_count", "stop_sequences")
    config = {names[0]: 2, names[1]: list("abcdefg"), "topK": 3}
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], spelling: config}
    request = GEMINI.parse(json.dumps(body).encode())
    call = fit(request, GEMINI, target("gemini-3-pro", PROFILES["gemini"]))
    assert bodies(call) == [{**body, spelling: {"topK": 3, "stopSequences": list("abcde")}}] * 2
    assert call.amends is not None
    assert call.amends.stops == ("f", "g")


def test_there_is_a_bound_and_it_is_told() -> None:
    assert len(bodies(fit(asked(n=MOST_CALLS), ANTHROPIC, target("claude-sonnet-5")))) == MOST_CALLS
    with pytest.raises(Inexpressible) as caught:
        fit(asked(n=MOST_CALLS + 1), ANTHROPIC, target("claude-sonnet-5"))
    assert (caught.value.fields, caught.value.why) == (
        ("n",),
        "17 answers were asked for, and at most 16 are to be had here.",
    )
    dropped = fit(asked(n=MOST_CALLS + 1), ANTHROPIC, target("claude-sonnet-5"), drop=True)
    assert (dropped.dropped, dropped.more) == (("n",), ())


@pytest.mark.parametrize(
    ("dialect", "model", "provider", "stop", "sent", "left"),
    [
        (OPENAI, "gpt-4.1", "openai", list("abcdef"), list("abcd"), ("e", "f")),
        (OPENAI, "o3", "openai", ["a"], None, ("a",)),
        (OPENAI, "gpt-5-mini", "openai", ["a"], None, ("a",)),
        (OPENAI, "gpt-5-chat-latest", "openai", ["a"], ["a"], ()),
        (OPENAI, "gpt-5.5", "openai", ["a"], ["a"], ()),
        (OPENAI, "grok-4.3", "grok", ["a"], None, ("a",)),
        (OPENAI, "grok-4.20-non-reasoning", "grok", ["a"], ["a"], ()),
        (OPENAI, "llama3.2", "ollama", list("abcdef"), list("abcdef"), ()),
        (GEMINI, "gemini-3-pro", "gemini", list("abcdef"), list("abcde"), ("f",)),
        (ANTHROPIC, "claude-sonnet-5", "anthropic", list("abcdef"), list("abcdef"), ()),
        (ANTHROPIC, "claude-sonnet-5", "anthropic", ["\n", "a"], ["a"], ("\n",)),
    ],
)
def test_stops_that_a_model_does_not_take_are_left_to_the_gateway(
    dialect: Dialect, model: str, provider: str, stop: list[str], sent: list[str] | None, left: tuple[str, ...]
) -> None:
    call = fit(asked(stop=stop), dialect, target(model, PROFILES[provider]))
    (body,) = bodies(call)
    found = body.get("stop", body.get("stop_sequences", body.get("generationConfig", {}).get("stopSequences")))
    assert found == sent
    assert (call.amends.stops if call.amends else ()) == left


def test_an_anthropic_callers_blank_stop_is_left_to_the_gateway_too() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stop_sequences": [" "]}
    call = fit(ANTHROPIC.parse(json.dumps(body).encode()), ANTHROPIC, target("m"))
    assert "stop_sequences" not in json.loads(call.body)
    assert call.amends is not None
    assert call.amends.stops == (" ",)


def test_a_shape_becomes_a_tool_where_the_server_knows_none() -> None:
    (body,) = bodies(call := fit(asked(response_format=SHAPED, logit_bias={"1": 1}), OPENAI, target("m", BARE)))
    assert "response_format" not in body
    assert body["logit_bias"] == {"1": 1}
    (tool,) = body["tools"]
    assert (tool["function"]["name"], tool["function"]["parameters"]) == ("shape", SCHEMA)
    assert body["tool_choice"] == {"type": "function", "function": {"name": "shape"}}
    assert call.amends is not None
    assert (call.amends.answer, call.amends.schema) == ("shape", SCHEMA)


def test_the_callers_tools_may_be_called_instead() -> None:
    shaped = {"type": "json_schema", "json_schema": {"name": "find", "schema": SCHEMA}}
    (body,) = bodies(call := fit(asked(response_format=shaped, tools=TOOLS), OPENAI, target("m", BARE)))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["find", "find_2"]
    assert body["tool_choice"] == "required"
    assert call.amends is not None
    assert call.amends.answer == "find_2"


def test_where_a_call_is_demanded_there_is_no_shape() -> None:
    (body,) = bodies(
        call := fit(asked(response_format=SHAPED, tools=TOOLS, tool_choice="required"), OPENAI, target("m", BARE))
    )
    assert [tool["function"]["name"] for tool in body["tools"]] == ["find"]
    assert body["tool_choice"] == "required"
    assert call.amends is not None
    assert (call.amends.answer, call.amends.schema) == (None, None)


@pytest.mark.parametrize(
    ("model", "native"),
    [
        ("claude-sonnet-4-5", True),
        ("claude-opus-4-1-20250805", True),
        ("claude-3-5-haiku-20241022", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-5", True),
    ],
)
def test_older_claudes_are_bound_by_a_tool(model: str, native: bool) -> None:
    (body,) = bodies(fit(asked(response_format=SHAPED), ANTHROPIC, target(model)))
    assert ("output_config" in body) == native
    assert ("tools" in body) == (not native)


def test_a_model_that_thinks_first_cannot_be_made_to_call() -> None:
    with pytest.raises(Inexpressible) as caught:
        fit(asked(response_format=SHAPED, reasoning_effort="low"), ANTHROPIC, target("claude-sonnet-4-20250514"))
    assert "response_format.json_schema" in caught.value.fields


@pytest.mark.parametrize(("strict", "checked"), [(True, True), (None, True), (False, False)])
def test_without_strictness_nothing_is_promised(strict: bool | None, checked: bool) -> None:
    shaped = {"type": "json_schema", "json_schema": {"name": "shape", "schema": SCHEMA, "strict": strict}}
    call = fit(asked(response_format=shaped), OPENAI, target("m", BARE))
    assert call.amends is not None
    assert (call.amends.schema is not None) == checked


def test_what_the_provider_binds_is_validated_only_when_asked_for() -> None:
    assert fit(asked(response_format=SHAPED), OPENAI, target("m")).amends is None
    call = fit(asked(response_format=SHAPED), OPENAI, target("m"), validate=True)
    assert call.amends is not None
    assert call.amends.schema == SCHEMA


@pytest.mark.parametrize(
    ("more", "native"),
    [
        ({}, True),
        ({"minimum": 1}, False),
        ({"enum": [1, {"b": 2}]}, False),
        ({"type": ["integer", "null"]}, True),
    ],
)
def test_a_schema_that_claude_does_not_take_is_bound_by_a_tool(more: dict[str, Any], native: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", **more}}}
    shaped = {"type": "json_schema", "json_schema": {"name": "shape", "schema": schema, "strict": True}}
    (body,) = bodies(call := fit(asked(response_format=shaped), ANTHROPIC, target("claude-sonnet-4-5")))
    assert ("output_config" in body) == native
    if native:
        assert body["output_config"]["format"]["schema"] == {**schema, "additionalProperties": False}
        assert call.amends is None
    else:
        (tool,) = body["tools"]
        assert tool["input_schema"] == schema
        assert "strict" not in tool
        assert call.amends is not None
        assert call.amends.schema == schema


def test_a_schema_in_claudes_own_words_is_the_apis_to_judge() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    request = ANTHROPIC.parse(json.dumps(body).encode())
    (sent,) = bodies(fit(request, ANTHROPIC, target("claude-sonnet-4-5")))
    assert sent["output_config"] == body["output_config"]


@pytest.mark.parametrize(
    ("schema", "more", "dialect", "to"),
    [
        (SCHEMA, {"reasoning_effort": "low"}, ANTHROPIC, "claude-sonnet-4-20250514"),
        ({"type": "array", "items": {"minimum": 1}}, {}, ANTHROPIC, "claude-sonnet-5"),
        ({"type": "array"}, {}, OPENAI, "m"),
    ],
)
def test_a_shape_that_is_not_to_be_had_is_left_out_by_leave(
    schema: dict[str, Any], more: dict[str, Any], dialect: Dialect, to: str
) -> None:
    shaped = {"type": "json_schema", "json_schema": {"name": "shape", "schema": schema}}
    (body,) = bodies(call := fit(asked(response_format=shaped, **more), dialect, target(to, BARE), drop=True))
    assert call.dropped == ("response_format.json_schema",)
    assert not body.keys() & {"response_format", "tools", "tool_choice"}
    assert "format" not in body.get("output_config", {})
