"""What callers make of a stream: an answer in the shape of a whole one. Read by hand, apart from the code under test.

A stream that does not end, or ends in an error, is an `AssertionError`.
"""

from __future__ import annotations

import json

from tests.fidelity.wire import Json


def assembled(dialect: str, stream: bytes) -> Json:
    """What a caller of this dialect has, once the stream is over, in the shape of a whole answer."""
    lines = stream.replace(b"\r\n", b"\n").split(b"\n")
    data = [line[6:] for line in lines if line.startswith(b"data: ")]
    if dialect == "openai":
        assert data.pop() == b"[DONE]", "the stream did not end"
    events = [json.loads(one) for one in data]
    if dialect == "orchestrate":
        # The only format whose events do not say in their data what they are.
        names = [line[7:].decode() for line in lines if line.startswith(b"event: ")]
        return _native_whole(list(zip(names, events, strict=True)))
    return _READERS[dialect](events)


def _openai_whole(events: list[Json]) -> Json:
    whole: Json = {"choices": {}}
    for event in events:
        assert "error" not in event, event
        whole |= {name: value for name, value in event.items() if name != "choices" and value is not None}
        for option in event["choices"]:
            choice = whole["choices"].setdefault(
                option["index"], {"index": option["index"], "message": {}, "logprobs": None}
            )
            _add(choice["message"], option["delta"])
            choice["finish_reason"] = option["finish_reason"] or choice.get("finish_reason")
            if option["logprobs"]:
                choice["logprobs"] = choice["logprobs"] or {}
                _add(choice["logprobs"], option["logprobs"])
    return {**whole, "choices": list(whole["choices"].values())}


def _add(whole: Json, piece: Json) -> None:
    """Deltas add up: texts are joined, calls by their index, other lists grow."""
    for name, value in piece.items():
        if name == "tool_calls":
            calls = whole.setdefault(name, [])
            for call in value:
                if call["index"] == len(calls):
                    calls.append({"function": {"arguments": ""}})
                into = calls[call["index"]]
                into["function"]["arguments"] += call.get("function", {}).get("arguments") or ""
                into["function"] |= {key: one for key, one in call.get("function", {}).items() if key != "arguments"}
                into |= {key: one for key, one in call.items() if key not in ("function", "index")}
        elif isinstance(value, str) and name != "role":
            whole[name] = (whole.get(name) or "") + value
        elif isinstance(value, list):
            whole[name] = (whole.get(name) or []) + value
        elif value is not None:
            whole[name] = value


def _anthropic_whole(events: list[Json]) -> Json:
    assert events[-1]["type"] == "message_stop", "the stream did not end"
    whole: Json = {}
    for event in events:
        assert event["type"] != "error", event
        if event["type"] == "message_start":
            whole = event["message"]
        elif event["type"] == "content_block_start":
            whole["content"].append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            _grow(whole["content"][event["index"]], event["delta"])
        elif event["type"] == "message_delta":
            whole |= event["delta"]
            whole["usage"] |= event["usage"]
    for block in whole["content"]:
        if "partial" in block:
            block["input"] = json.loads(block.pop("partial"))
    return whole


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "input_json_delta":
            block["partial"] = block.get("partial", "") + delta["partial_json"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case "signature_delta":
            block["signature"] = delta["signature"]
        case _:
            name = delta["type"].removesuffix("_delta")
            block[name] += delta[name]


def _gemini_whole(events: list[Json]) -> Json:
    whole: Json = {"candidates": {}}
    for event in events:
        assert "error" not in event, event
        whole |= {name: value for name, value in event.items() if name != "candidates"}
        for piece in event.get("candidates") or ():
            index = piece.get("index", 0)
            candidate = whole["candidates"].setdefault(
                index, {"index": index, "content": {"parts": [], "role": "model"}}
            )
            for part in piece.get("content", {}).get("parts") or ():
                _put(candidate["content"]["parts"], part)
            candidate |= {name: value for name, value in piece.items() if name != "content"}
    if not whole["candidates"]:
        assert "promptFeedback" in whole, "the stream did not end"
        return {name: value for name, value in whole.items() if name != "candidates"}
    assert all("finishReason" in one for one in whole["candidates"].values()), "the stream did not end"
    return {**whole, "candidates": list(whole["candidates"].values())}


def _put(parts: list[Json], part: Json) -> None:
    """Neighbouring texts of one kind are one text; an empty one says nothing unless it is signed."""
    if part == {"text": ""}:
        return
    last = parts[-1] if parts else {}
    if (
        set(part) <= {"text", "thought"}
        and "text" in last
        and last.get("thought") == part.get("thought")
        and "thoughtSignature" not in last
    ):
        last["text"] += part["text"]
    else:
        parts.append(dict(part))


def _responses_whole(events: list[Json]) -> Json:
    """The pieces, put together; what the last event says must be the same."""
    items: dict[int, Json] = {}
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        kind = event["type"].removeprefix("response.")
        assert kind not in ("error", "failed"), event
        if kind == "output_item.added":
            items[event["output_index"]] = event["item"]
        elif kind in ("content_part.added", "reasoning_summary_part.added"):
            _parts(items, event).append(event["part"])
        elif kind in _PIECES:
            place = "summary_index" if "summary_index" in event else "content_index"
            part = _parts(items, event)[event[place]]
            part[_PIECES[kind]] += event["delta"]
            part.get("logprobs", []).extend(event.get("logprobs", ()))
        elif kind == "function_call_arguments.delta":
            items[event["output_index"]]["arguments"] += event["delta"]
        elif kind == "output_text.annotation.added":
            _parts(items, event)[event["content_index"]]["annotations"].append(event["annotation"])
        elif kind == "output_item.done":
            grown = items[event["output_index"]]
            pieces = {name: grown[name] for name in ("content", "summary", "arguments") if name in grown}
            items[event["output_index"]] = {**event["item"], **pieces}
    whole = events[-1]["response"]
    assert events[-1]["type"] == f"response.{whole['status']}", "the stream did not end"
    assert whole["output"] == [items[at] for at in sorted(items)], "its end is not what its pieces are"
    return whole


#: What grows, and where its text is.
_PIECES = {"output_text.delta": "text", "refusal.delta": "refusal", "reasoning_summary_text.delta": "text"}


def _parts(items: dict[int, Json], event: Json) -> list[Json]:
    item = items[event["output_index"]]
    assert item["id"] == event["item_id"]
    return item["summary" if "summary_index" in event else "content"]


def _native_whole(events: list[tuple[str, Json]]) -> Json:
    assert [name for name, _ in events[-2:]] == ["result.done", "metadata"], f"the stream did not end: {events[-1]}"
    result: Json = {"response": ""}
    calls: list[Json] = []
    for name, event in events[:-2]:
        assert name == "result.delta", (name, event)
        for what, piece in event.items():
            if what == "tool_call":
                if piece["index"] == len(calls):
                    calls.append({"arguments": ""})
                into = calls[piece["index"]]
                into["arguments"] += piece["arguments"]
                into |= {key: value for key, value in piece.items() if key not in ("index", "arguments")}
            elif what == "logprobs":
                _add(result.setdefault(what, {}), piece)
            else:
                what = "response" if what == "text" else what
                result[what] = result[what] + piece if what in result else piece
    if calls:
        result["tool_calls"] = calls
    (_, done), (_, told) = events[-2:]
    return {"request_id": told["request_id"], "results": [{**result, **done, "model": told["model"]}], "metadata": told}


_READERS = {
    "openai": _openai_whole,
    "responses": _responses_whole,
    "anthropic": _anthropic_whole,
    "gemini": _gemini_whole,
}
