"""`/v1/responses` where a provider answers in that API's own form, and by a script: validated, and put right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.scripted import MODELS, PRICE, Heard, Json, Says, Scripted, scripted, whole
from tests.acceptance.test_shapes import BAD, GOOD, SCHEMA, WHY, both_ways

MODEL = f"openai/{MODELS['openai']}"
#: One answer: 11 tokens in, 7 out.
USAGE: Json = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
EACH = 11 * PRICE.input + 7 * PRICE.output
SEARCH: Json = {"type": "web_search_call", "id": "ws_a", "status": "completed", "action": {"type": "search"}}


def message(text: str, **more: Any) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_a", "role": "assistant", "status": "completed", "content": content, **more}


def response(*output: Json, **more: Any) -> Json:
    told = {"id": "resp_x", "object": "response", "created_at": 1, "status": "completed", "model": "m"}
    return {**told, "output": list(output), "usage": USAGE, **more}


def streaming(told: Json) -> Says:
    """The same as a stream: of its growth no more than a commit needs."""
    begun = {**told, "status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(told["output"]):
        events.append({"type": "response.output_item.added", "output_index": place, "item": item})
        words = {"item_id": item.get("id"), "output_index": place, "content_index": 0}
        texts = [part["text"] for part in item.get("content", ())]
        events += [{"type": "response.output_text.delta", **words, "delta": text} for text in texts]
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    events.append({"type": f"response.{told['status']}", "response": told})
    return Says(pieces=[b"data: " + json.dumps(one).encode() + b"\n\n" for one in events])


def ask(played: Scripted, told: Json, streamed: bool, schema: Any = SCHEMA, **headers: Any) -> Heard:
    played.script = lambda _name, _body: streaming(told) if streamed else whole(told)
    shape = {"format": {"type": "json_schema", "name": "table", "schema": schema}}
    return played.post("/v1/responses", {"model": MODEL, "input": "Hi", "stream": streamed, "text": shape}, **headers)


@both_ways
def test_an_answer_that_the_provider_bound_badly_is_found_out(played: Scripted, streamed: bool) -> None:
    told = response(message(BAD))
    assert ask(played, told, streamed).status == 200
    heard = ask(played, told, streamed, x_steelyard_validate="true")
    assert [one.path for one in played.sent] == ["/responses"] * 2
    assert played.sent[-1].body["text"]["format"]["schema"] == SCHEMA
    if streamed:
        last = heard.events[-1]
        assert last["type"] == "response.failed"
        assert WHY in last["response"]["error"]["message"]
        assert last["response"]["usage"] == USAGE
        assert [one["sequence_number"] for one in heard.events] == list(range(len(heard.events)))
    else:
        error = heard.json["error"]
        assert (heard.status, error["code"], error["param"]) == (502, "schema_mismatch", "text.format")
        assert WHY in error["message"]
    row = played.record(heard)
    assert (row["error_code"], row["attempts"][0]["outcome"]) == ("schema_mismatch", "misshapen")
    assert row["cost_usd"] == pytest.approx(EACH, rel=1e-9)


def test_it_is_asked_once_more(tmp_path: Path) -> None:
    shape = {"format": {"type": "json_schema", "name": "table", "schema": SCHEMA}}
    left = [BAD, GOOD]
    with scripted(tmp_path, retries=2) as patient:
        patient.script = lambda _name, _body: whole(response(message(left.pop(0))))
        heard = patient.post(
            "/v1/responses", {"model": MODEL, "input": "Hi", "text": shape}, x_steelyard_validate="true"
        )
        assert heard.json["output"][0]["content"][0]["text"] == GOOD
        row = patient.record(heard)
        assert [one["outcome"] for one in row["attempts"]] == ["misshapen", "ok"]
        assert row["cost_usd"] == pytest.approx(2 * EACH, rel=1e-9)


@both_ways
@pytest.mark.parametrize(
    "output",
    [
        [message(GOOD)],
        [SEARCH, message(GOOD)],
        [message("I will look it up.", phase="commentary"), SEARCH, message(GOOD, phase="final_answer")],
        [{"type": "function_call", "id": "fc_a", "call_id": "c", "name": "f", "arguments": "{}"}],
        [message("Which?"), {"type": "custom_tool_call", "id": "ctc_a", "call_id": "c", "name": "f", "input": ""}],
        [{"type": "mcp_approval_request", "id": "mcpr_a", "name": "f", "arguments": "{}", "server_label": "s"}],
    ],
    ids=["text", "after a search", "after a remark", "call", "custom call", "request to approve"],
)
def test_only_the_answer_itself_is_judged(played: Scripted, streamed: bool, output: list[Json]) -> None:
    heard = ask(played, response(*output), streamed, x_steelyard_validate="true")
    assert heard.status == 200, heard.body
    assert (heard.events[-1]["response"] if streamed else heard.json)["status"] == "completed"


@both_ways
def test_an_answer_that_was_cut_short_says_so(played: Scripted, streamed: bool) -> None:
    why = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    heard = ask(played, response(message('{"rows": [1'), **why), streamed, x_steelyard_validate="true")
    assert (heard.events[-1]["response"] if streamed else heard.json)["status"] == "incomplete"


def test_an_answer_without_text_is_none(played: Scripted) -> None:
    heard = ask(played, response(SEARCH), False, x_steelyard_validate="true")
    assert (heard.status, heard.json["error"]["code"]) == (502, "schema_mismatch")


def test_a_schema_that_cannot_be_used_is_the_callers(played: Scripted) -> None:
    heard = ask(played, response(message(GOOD)), False, {"type": "thing"}, x_steelyard_validate="true")
    assert (heard.status, heard.json["error"]["param"]) == (400, "text.format")
    assert not played.sent


def test_what_has_no_id_can_be_listed_and_referred_to(played: Scripted) -> None:
    nameless = message("One.")
    del nameless["id"]
    first = ask(played, response(nameless), False).json
    body = {"model": MODEL, "input": [{"type": "item_reference", "id": first["output"][0]["id"]}]}
    played.script = lambda _name, _body: whole(response(message("Two.")))
    second = played.post("/v1/responses", body)
    assert second.status == 200, second.body
    third = played.post("/v1/responses", {"model": MODEL, "input": "Go on.", "previous_response_id": first["id"]}).json
    listed = played.get(f"/v1/responses/{third['id']}/input_items")
    assert [item["role"] for item in listed["data"]] == ["user", "assistant", "user"]


def test_what_came_before_an_event_that_cannot_be_passed_on_is_passed_on(played: Scripted) -> None:
    told = streaming(response(message("A word.")))
    bad = {"type": "response.content_part.done", "item_id": "msg_a", "output_index": 0, "content_index": 0, "part": 5}
    # In one read with the events before it.
    together = b"".join([*told.pieces[:-2], b"data: " + json.dumps(bad).encode() + b"\n\n", *told.pieces[-2:]])
    played.script = lambda _name, _body: Says(pieces=[together])
    events = played.post("/v1/responses", {"model": MODEL, "input": "Hi", "stream": True}).events
    assert [one["type"] for one in events][:3] == [
        "response.created",
        "response.output_item.added",
        "response.output_text.delta",
    ]
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    assert (events[-1]["type"], len(events)) == ("response.failed", 5)


def test_calls_told_in_turns_are_told_as_far_as_they_can_be(played: Scripted) -> None:
    deltas = [
        (0, {"id": "a", "function": {"name": "f", "arguments": "{"}}),
        (1, {"id": "b", "function": {"name": "g"}}),
    ]
    deltas.append((0, {"function": {"arguments": "}"}}))
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": n, **call}]}}]} for n, call in deltas]
    together = b"".join(b"data: " + json.dumps({"id": "x", "model": "m", **one}).encode() + b"\n\n" for one in chunks)
    played.script = lambda _name, _body: Says(pieces=[together])
    heard = played.post("/v1/responses", {"model": f"bare/{MODELS['bare']}", "input": "Hi", "stream": True})
    assert [one["sequence_number"] for one in heard.events] == list(range(len(heard.events)))
    last = heard.events[-1]
    assert (heard.events[0]["type"], last["type"]) == ("response.created", "response.failed")
    assert [item["name"] for item in last["response"]["output"]] == ["f", "g"]


def test_a_caller_who_hangs_up_ends_the_call_and_keeps_nothing(played: Scripted) -> None:
    told = streaming(response(message("A word.")))
    played.script = lambda _name, _body: Says(pieces=told.pieces[:-2], ends="never")
    body: Json = {"model": MODEL, "input": "Hi", "stream": True}
    heard = played.post("/v1/responses", body, leave=b"output_text.delta")
    row = played.record(heard)
    assert (row["outcome"], row["attempts"][0]["outcome"]) == ("cancelled", "cancelled")
    assert row["cost_usd"] > 0
    assert [one.closed for one in played.sent] == [True]
    assert "error" in played.get(f"/v1/responses/{heard.events[0]['response']['id']}")


@both_ways
def test_what_nobody_counted_is_billed_by_estimate(played: Scripted, streamed: bool) -> None:
    told = response(message("Eight words, or so."), usage=None)
    played.script = lambda _name, _body: streaming(told) if streamed else whole(told)
    row = played.record(played.post("/v1/responses", {"model": MODEL, "input": "Hi", "stream": streamed}))
    assert (row["outcome"], row["output_tokens"]) == ("ok", 5)
    assert row["input_tokens"] > 0
    assert row["cost_usd"] == pytest.approx(row["input_tokens"] * PRICE.input + 5 * PRICE.output)


def test_thoughts_calls_and_refusals_are_estimated_too(played: Scripted) -> None:
    thought = {"type": "reasoning", "id": "rs_a", "summary": [{"type": "summary_text", "text": "x" * 40}]}
    plain = {"type": "reasoning", "id": "rs_b", "content": [{"type": "reasoning_text", "text": "x" * 40}]}
    call = {"type": "function_call", "id": "fc_a", "call_id": "c", "name": "f", "arguments": '{"a":"xx"}' * 4}
    custom = {"type": "custom_tool_call", "id": "ct_a", "call_id": "d", "name": "g", "input": "x" * 40}
    refusal = {**message(""), "content": [{"type": "refusal", "refusal": "x" * 40}]}
    told = response(thought, plain, call, custom, refusal)
    del told["usage"]
    played.script = lambda _name, _body: whole(told)
    assert played.record(played.post("/v1/responses", {"model": MODEL, "input": "Hi"}))["output_tokens"] == 50


@pytest.mark.parametrize(
    ("code", "told"),
    [("rate_limit_exceeded", "rate_limit_exceeded"), ("invalid_image", "invalid_image"), ("on_fire", "server_error")],
)
def test_why_it_broke_is_told_where_the_api_has_a_word_for_it(played: Scripted, code: str, told: str) -> None:
    said = streaming(response(message("A word.")))
    failed = response(status="failed", error={"code": code, "message": "Gone."})
    end = b"data: " + json.dumps({"type": "response.failed", "response": failed}).encode() + b"\n\n"
    played.script = lambda _name, _body: Says(pieces=[*said.pieces[:-2], end])
    last = played.post("/v1/responses", {"model": MODEL, "input": "Hi", "stream": True}).events[-1]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", told)
    assert "Gone." in last["response"]["error"]["message"]
