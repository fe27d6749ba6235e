"""A provider's own stream of a response, broken off anywhere: what its end says is what the caller was told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from providers.dialects.responses import Form, parse
from providers.sse import Event, Parser

NAME = "01M7ZGJM0KY4BDBZESW26J1SAA"
ECHO: dict[str, Any] = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
BEGUN: dict[str, Any] = {"id": "resp_x", "object": "response", "created_at": 1, "model": "m", "output": [], **ECHO}
SOURCE: dict[str, Any] = {"type": "url_citation", "url": "https://x/a", "title": "A", "start_index": 0, "end_index": 4}
TEXT: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def grown(index: int, item: dict[str, Any], kind: str, part: dict[str, Any], field: str = "text") -> list[Any]:
    """The events of an item with one part that is told in two deltas."""
    summed = kind.startswith("reasoning_summary")
    place = {"item_id": item["id"], "output_index": index, "summary_index" if summed else "content_index": 0}
    parts, text = ("reasoning_summary_part" if summed else "content_part"), part[field]
    empty = {**part, field: "", **({"annotations": []} if "annotations" in part else {})}
    listed = "summary" if summed else "content"
    told: list[Any] = [
        ("output_item.added", {"output_index": index, "item": item}),
        (f"{parts}.added", {**place, "part": empty}),
        *((f"{kind}.delta", {**place, "delta": one, "logprobs": []}) for one in (text[:3], text[3:])),
    ]
    notes = enumerate(part.get("annotations", ()))
    told += [("output_text.annotation.added", {**place, "annotation_index": n, "annotation": one}) for n, one in notes]
    told += [(f"{kind}.done", {**place, field: text, "logprobs": []}), (f"{parts}.done", {**place, "part": part})]
    return [*told, ("output_item.done", {"output_index": index, "item": {**item, listed: [part]}})]


THOUGHT: dict[str, Any] = {"type": "reasoning", "summary": [], "status": "in_progress"}
MESSAGE: dict[str, Any] = {"type": "message", "role": "assistant", "status": "in_progress", "content": []}
CALL: dict[str, Any] = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "", "status": "in_progress"}
SEARCH: dict[str, Any] = {
    "type": "web_search_call",
    "id": "ws_a",
    "status": "in_progress",
    "action": {"type": "search"},
}
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("created", {"response": {**BEGUN, "status": "in_progress"}}),
    ("in_progress", {"response": {**BEGUN, "status": "in_progress"}}),
    *grown(0, {**THOUGHT, "id": "rs_a"}, "reasoning_summary_text", {"type": "summary_text", "text": "Let me see."}),
    *grown(1, {**THOUGHT, "id": "rs_b"}, "reasoning_text", {"type": "reasoning_text", "text": "In full words."}),
    ("output_item.added", {"output_index": 2, "item": SEARCH}),
    ("web_search_call.searching", {"output_index": 2, "item_id": "ws_a"}),
    ("output_item.done", {"output_index": 2, "item": {**SEARCH, "status": "completed"}}),
    *grown(3, {**MESSAGE, "id": "msg_a"}, "output_text", {**TEXT, "text": "It is so.", "annotations": [SOURCE]}),
    *grown(4, {**MESSAGE, "id": "msg_b"}, "refusal", {"type": "refusal", "refusal": "I will not."}, "refusal"),
    ("output_item.added", {"output_index": 5, "item": {**CALL, "id": "fc_a"}}),
    ("function_call_arguments.delta", {"output_index": 5, "item_id": "fc_a", "delta": '{"a"'}),
    ("function_call_arguments.delta", {"output_index": 5, "item_id": "fc_a", "delta": ":1}"}),
]


def event(kind: str, fields: dict[str, Any]) -> Event:
    data = json.dumps({"type": f"response.{kind}", **fields}).encode()
    return Event(f"response.{kind}", data, data)


def broken_after(events: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    form = Form(parse(b'{"model":"m","input":"Hi","stream":true}'), NAME, 7)
    relay = form.relay("mine")
    written = b"".join(relay.rewrite(event(*one)) for one in events) + form.broken("server_error", "Gone.")
    return [json.loads(one.data) for one in Parser().feed(written)]


def said(item: dict[str, Any]) -> str:
    parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
    return item.get("arguments", "") + "".join(part.get("text", part.get("refusal", "")) for part in parts)


@pytest.mark.parametrize("cut", range(3, len(EVENTS) + 1), ids=lambda cut: f"{cut}-{EVENTS[cut - 1][0]}")
def test_wherever_it_breaks_its_end_is_what_was_told(cut: int) -> None:
    told = broken_after(EVENTS[:cut])
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    assert [one["type"] for one in told].count("response.failed") == (told[-1]["type"] == "response.failed") == 1
    output = told[-1]["response"]["output"]
    # Every item that was begun was ended, as it stands in the response.
    ended = {one["output_index"]: one["item"] for one in told if one["type"] == "response.output_item.done"}
    assert ended == dict(enumerate(output))
    # Every word, and every source.
    words = "".join(one["delta"] for one in told if one["type"].endswith(".delta"))
    assert "".join(map(said, output)) == words
    notes = [one["annotation"] for one in told if one["type"].endswith("annotation.added")]
    assert [
        note for item in output for part in item.get("content") or () for note in part.get("annotations", ())
    ] == notes
    # Whoever reads it with the official SDK, has the same.
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for one in told:
        state.handle_event(adapter.validate_python(one))


def test_nothing_is_kept_of_a_broken_stream_and_it_says_so() -> None:
    assert broken_after(EVENTS[:4])[-1]["response"]["store"] is False


def test_lists_that_are_null_are_empty() -> None:
    added = {"output_index": 0, "item": {**MESSAGE, "id": "msg_a", "content": None}}
    part = {"output_index": 0, "item_id": "msg_a", "content_index": 0, "part": {"type": "output_text", "text": ""}}
    told = broken_after([EVENTS[0], ("output_item.added", added), ("content_part.added", part)])
    assert told[-1]["response"]["output"][0]["content"] == [TEXT]


def test_an_item_without_an_id_is_named_by_its_place() -> None:
    done = {**CALL, "status": "completed", "arguments": "{}"}
    final = {**BEGUN, "status": "completed", "output": [done]}
    form = Form(parse(b'{"model":"m","input":"Hi","stream":true}'), NAME, 7)
    relay = form.relay("mine")
    events = [EVENTS[0], ("output_item.added", {"output_index": 0, "item": CALL})]
    events += [("output_item.done", {"output_index": 0, "item": done}), ("completed", {"response": final})]
    written = b"".join(relay.rewrite(event(*one)) for one in events)
    items = [json.loads(one.data)["item"] for one in Parser().feed(written)[1:]]
    name = f"item_{NAME}_0"
    assert [item["id"] for item in (*items, *form.final()["output"])] == [name] * 3
