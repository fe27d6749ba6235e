"""Answers bound to a schema by servers that know no schemas: by a tool, validated, for every caller's format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.scripted import MODELS, PRICE, Heard, Json, Says, Scripted, events, scripted, whole
from tests.fidelity.reading import assembled
from tests.fidelity.wire import anthropic_reply, openai_reply

SCHEMA = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"type": "integer"}}},
    "required": ["rows"],
    "additionalProperties": False,
}
GOOD, BAD = '{"rows": [1, 2]}', '{"rows": [1, "two"]}'
WHY = 'The answer does not follow the schema at \'$.rows[1]\': "two" is not of type "integer".'
#: One answer: 11 tokens in, 7 out.
EACH = 11 * PRICE.input + 7 * PRICE.output
INGRESSES = ["openai", "anthropic", "gemini", "responses", "orchestrate"]
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
every_ingress = pytest.mark.parametrize("ingress", INGRESSES)
MODEL = f"bare/{MODELS['bare']}"
HI: list[Json] = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Scripted]:
    """One that asks again."""
    with scripted(tmp_path, retries=2) as made:
        yield made


def ask(
    played: Scripted, ingress: str, streamed: bool, *, model: str = MODEL, strict: Any = None, **more: Any
) -> Heard:
    messages = [{"role": "user", "content": "Hi"}]
    stream = {"stream": True} if streamed else {}
    named = {"name": "table", "schema": SCHEMA, **({} if strict is None else {"strict": strict})}
    match ingress:
        case "openai":
            shape = {"type": "json_schema", "json_schema": named}
            body = {"model": model, "messages": messages, "response_format": shape, **stream}
            return played.post("/v1/chat/completions", body, **more)
        case "anthropic":
            shape = {"format": {"type": "json_schema", "schema": SCHEMA}}
            body = {"model": model, "messages": messages, "max_tokens": 99, "output_config": shape, **stream}
            return played.post("/v1/messages", body, **more)
        case "gemini":
            config = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
            body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": config}
            verb, query = ("streamGenerateContent", "alt=sse") if streamed else ("generateContent", "")
            return played.post(f"/v1beta/models/{model}:{verb}", body, query=query, **more)
        case "responses":
            body = {"model": model, "input": "Hi", "text": {"format": {"type": "json_schema", **named}}, **stream}
            return played.post("/v1/responses", body, **more)
        case _:
            shape = {"type": "json_schema", "json_schema": named}
            body = {"model": model, "prompt": "Hi", "response_format": shape, **stream}
            return played.post("/api/llm/orchestrate", body, **more)


def calls(arguments: str, name: str | None = None) -> Json:
    """An answer that calls the tool it was told to."""
    call = {"id": "c1", "type": "function", "function": {"name": name or "table", "arguments": arguments}}
    return openai_reply({"content": None, "tool_calls": [call]}, finish="tool_calls")


def obeying(*texts: str, streamed: bool) -> Any:
    """A server that calls whichever tool it must, with these arguments in turn."""
    left = list(texts)

    def play(_name: str, body: Json) -> Says:
        reply = calls(left.pop(0) if len(left) > 1 else left[0], body["tools"][0]["function"]["name"])
        return events("openai", reply) if streamed else whole(reply)

    return play


def text_of(ingress: str, heard: Heard, streamed: bool) -> str:
    match ingress:
        case "orchestrate" if streamed:
            return "".join(one.get("text", "") for one in heard.events)
        case "orchestrate":
            return heard.json["results"][0]["response"]
        case "responses":
            done = heard.events[-1]["response"] if streamed else heard.json
            return done["output"][0]["content"][0]["text"]
        case _:
            answer = assembled(ingress, heard.body) if streamed else heard.json
    if ingress == "openai":
        assert answer["choices"][0]["finish_reason"] == "stop"
        return answer["choices"][0]["message"]["content"]
    if ingress == "anthropic":
        assert answer["stop_reason"] == "end_turn"
        return answer["content"][0]["text"]
    return answer["candidates"][0]["content"]["parts"][0]["text"]


@every_ingress
@both_ways
def test_the_tools_arguments_are_the_answer(played: Scripted, ingress: str, streamed: bool) -> None:
    played.script = obeying(GOOD, streamed=streamed)
    heard = ask(played, ingress, streamed)
    assert heard.status == 200, heard.body
    assert text_of(ingress, heard, streamed) == GOOD
    (sent,) = played.sent
    assert "response_format" not in sent.body
    assert sent.body["tools"][0]["function"]["parameters"] == SCHEMA


@every_ingress
def test_a_second_mismatch_is_an_error_that_names_place_and_reason(patient: Scripted, ingress: str) -> None:
    patient.script = obeying(BAD, streamed=False)
    heard = ask(patient, ingress, False)
    assert heard.status == 502
    error = heard.json["error"]
    assert WHY in error["message"]
    if ingress in ("openai", "responses", "orchestrate"):
        field = "text.format" if ingress == "responses" else "response_format"
        assert (error["code"], error["param"], error["source"]) == ("schema_mismatch", field, "provider")
        assert [one["outcome"] for one in error["attempts"]] == ["misshapen"] * 2
    assert len(patient.sent) == 2, "asked once more, and not again and again"
    row = patient.record(heard)
    assert (row["status"], row["error_code"]) == (502, "schema_mismatch")
    # Both answers are on the bill.
    assert row["cost_usd"] == pytest.approx(2 * EACH, rel=1e-9)
    assert [pytest.approx(one["cost_usd"]) for one in row["attempts"]] == [EACH] * 2


def test_the_second_try_may_do(patient: Scripted) -> None:
    patient.script = obeying(BAD, GOOD, streamed=False)
    heard = ask(patient, "openai", False)
    assert text_of("openai", heard, False) == GOOD
    row = patient.record(heard)
    assert [one["outcome"] for one in row["attempts"]] == ["misshapen", "ok"]
    assert row["cost_usd"] == pytest.approx(2 * EACH, rel=1e-9)
    assert (row["input_tokens"], row["output_tokens"]) == (11, 7)
    assert float(heard.headers["x-steelyard-cost-usd"]) == pytest.approx(2 * EACH, rel=1e-6)


@every_ingress
def test_a_stream_is_judged_at_its_end(played: Scripted, ingress: str) -> None:
    played.script = obeying(BAD, streamed=True)
    heard = ask(played, ingress, True)
    assert heard.status == 200
    assert b"schema at '$.rows[1]'" in heard.body
    last = heard.events[-1]
    if ingress == "responses":
        assert last["response"]["status"] == "failed"
    elif ingress == "openai":
        assert last["error"]["code"] == "schema_mismatch"
        assert b"[DONE]" not in heard.body
    row = played.record(heard)
    assert (row["outcome"], row["error_code"], row["attempts"][0]["outcome"]) == (
        "error",
        "schema_mismatch",
        "misshapen",
    )
    assert row["cost_usd"] > 0


@both_ways
def test_without_strictness_nothing_is_promised(played: Scripted, streamed: bool) -> None:
    played.script = obeying(BAD, streamed=streamed)
    assert text_of("openai", ask(played, "openai", streamed, strict=False), streamed) == BAD


@both_ways
def test_what_a_provider_binds_is_validated_only_when_asked_for(played: Scripted, streamed: bool) -> None:
    answer = openai_reply({"content": BAD})
    played.script = lambda _name, _body: events("openai", answer) if streamed else whole(answer)
    model = f"openai/{MODELS['openai']}"
    assert text_of("openai", ask(played, "openai", streamed, model=model), streamed) == BAD
    heard = ask(played, "openai", streamed, model=model, x_steelyard_validate="true")
    assert b"schema_mismatch" in heard.body
    assert played.sent[0].body["response_format"]["json_schema"]["schema"] == SCHEMA


def test_an_answer_in_prose_does_not_do(played: Scripted) -> None:
    played.script = lambda _name, _body: whole(openai_reply({"content": "I would rather not."}))
    heard = ask(played, "openai", False)
    assert heard.status == 502
    assert "not valid JSON" in heard.json["error"]["message"]


def test_an_answer_that_was_cut_short_says_so(played: Scripted) -> None:
    reply = calls('{"rows": [1')
    reply["choices"][0]["finish_reason"] = "length"
    played.script = lambda _name, _body: whole(reply)
    answer = ask(played, "openai", False).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == '{"rows": [1'


def test_a_mismatch_is_not_kept(played: Scripted) -> None:
    played.script = obeying(BAD, streamed=False)
    body: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": "table", "schema": SCHEMA}}
    for _ in range(2):
        assert played.post("/v1/chat/completions", body, x_steelyard_cache="on").status == 502
    assert len(played.sent) == 2


@pytest.mark.parametrize(
    "schema", [{"type": "thing"}, {"$ref": "http://127.0.0.1:9/schema.json"}], ids=["type", "fetch"]
)
def test_a_schema_that_cannot_be_used_is_the_callers(played: Scripted, schema: Json) -> None:
    body: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": "table", "schema": schema}}
    heard = played.post("/v1/chat/completions", body)
    assert (heard.status, heard.json["error"]["param"]) == (400, "response_format.json_schema")
    assert not played.sent


def test_of_several_answers_each_is_judged(patient: Scripted) -> None:
    patient.script = obeying(GOOD, BAD, GOOD, streamed=False)
    body: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "n": 2}
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": "table", "schema": SCHEMA}}
    heard = patient.post("/v1/chat/completions", body)
    assert [json.loads(one["message"]["content"]) for one in heard.json["choices"]] == [json.loads(GOOD)] * 2
    row = patient.record(heard)
    assert sorted(one["outcome"] for one in row["attempts"]) == ["misshapen", "ok", "ok"]
    assert row["cost_usd"] == pytest.approx(3 * EACH, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "openai", "gemini"),
    [
        ('Here:\n```json\n{"a": [1]}\n```', '{"a": [1]}', '{"a": [1]}'),
        ("```\n[1, 2]\n```\nDone.", None, "[1, 2]"),
        ('"text"', None, '"text"'),
        ("I would rather not.", None, None),
    ],
)
@both_ways
def test_json_that_claude_was_told_of_in_words(
    patient: Scripted, text: str, openai: str | None, gemini: str | None, streamed: bool
) -> None:
    """OpenAI's callers are promised an object, Gemini's any JSON."""
    reply = anthropic_reply({"type": "text", "text": text})
    patient.script = lambda _name, _body: events("anthropic", reply) if streamed else whole(reply)
    model = f"anthropic/{MODELS['anthropic']}"
    shape: Json = {"response_format": {"type": "json_object"}, **({"stream": True} if streamed else {})}
    verb, query = ("streamGenerateContent", "alt=sse") if streamed else ("generateContent", "")
    config = {"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"responseMimeType": "application/json"}}
    heard = {
        "openai": patient.post("/v1/chat/completions", {"model": model, "messages": HI, **shape}),
        "gemini": patient.post(f"/v1beta/models/{model}:{verb}", config, query=query),
    }
    for ingress, told in (("openai", openai), ("gemini", gemini)):
        if told is not None:
            assert text_of(ingress, heard[ingress], streamed) == told
        else:
            # A stream of which nothing could be told has its status still.
            assert heard[ingress].status == (200 if streamed and "[" in text else 502)
            assert b"The answer" in heard[ingress].body
    tries = [1 if streamed or told is not None else 2 for told in (openai, gemini)]
    assert len(patient.sent) == sum(tries)
