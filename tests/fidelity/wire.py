"""The three wire formats, written by hand and apart from the code under test: answers of scripted providers, whole and
as streams, and what callers make of a stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
DIALECTS = ("openai", "anthropic", "gemini")
#: What a scripted provider calls its model and its answer.
MODEL, ID = "scripted-1", "answer_1"


def openai_reply(
    message: Json | None = None,
    *,
    finish: str = "stop",
    choice: Json | None = None,
    usage: Json | None = None,
    **top: Any,
) -> Json:
    """A chat completion that says `Hello there.` unless told otherwise."""
    said = {"role": "assistant", "content": "Hello there.", "refusal": None, **(message or {})}
    return {
        "id": ID,
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish, **(choice or {})}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, **(usage or {})},
        **top,
    }


def anthropic_reply(*content: Json, stop: str = "end_turn", usage: Json | None = None, **top: Any) -> Json:
    """A message that says `Hello there.` unless told otherwise."""
    return {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(content) or [{"type": "text", "text": "Hello there."}],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7, **(usage or {})},
        **top,
    }


def gemini_reply(
    *parts: Json, finish: str = "STOP", usage: Json | None = None, candidate: Json | None = None, **top: Any
) -> Json:
    """An answer that says `Hello there.` unless told otherwise."""
    content = {"parts": list(parts) or [{"text": "Hello there."}], "role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": finish, "index": 0, **(candidate or {})}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18, **(usage or {})},
        "modelVersion": MODEL,
        "responseId": ID,
        **top,
    }


#: A question that asks for nothing, and an answer that says nothing.
ASKED: dict[str, Json] = {
    "openai": {"messages": [{"role": "user", "content": "Hi"}]},
    "anthropic": {"max_tokens": 3000, "messages": [{"role": "user", "content": "Hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
}
PLAIN: dict[str, Json] = {"openai": openai_reply(), "anthropic": anthropic_reply(), "gemini": gemini_reply()}


def _event(data: Json, kind: str | None = None) -> bytes:
    head = f"event: {kind}\n" if kind else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def _halves(text: str) -> Iterator[str]:
    """A text as it comes in a stream: in pieces."""
    middle = max(1, len(text) // 2)
    yield from (piece for piece in (text[:middle], text[middle:]) if piece)


def _openai_stream(reply: Json) -> bytes:
    head = {**{name: reply[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    head |= {"service_tier": reply["service_tier"]} if "service_tier" in reply else {}
    events: list[Json] = []
    for choice in reply["choices"]:

        def piece(index: int = choice["index"], finish: str | None = None, **delta: Any) -> Json:
            return {**head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}

        message = choice["message"]
        events.append(piece(role="assistant", content=""))
        for name in ("reasoning_content", "content", "refusal"):
            events += [piece(choice["index"], None, **{name: half}) for half in _halves(message.get(name) or "")]
        if choice["logprobs"]:
            # Servers tell each token's with its piece; all of them with the last text says the same.
            events[-1]["choices"][0]["logprobs"] = choice["logprobs"]
        for number, call in enumerate(message.get("tool_calls") or ()):
            named = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
            events.append(piece(tool_calls=[named]))
            for half in _halves(call["function"]["arguments"]):
                events.append(piece(tool_calls=[{"index": number, "function": {"arguments": half}}]))
        extra = {name: message[name] for name in ("annotations", "reasoning_details") if name in message}
        if extra:
            events.append(piece(**extra))
        events.append(piece(finish=choice["finish_reason"]))
    events.append({**head, "choices": [], "usage": reply["usage"]})
    return b"".join(map(_event, events)) + b"data: [DONE]\n\n"


def _anthropic_stream(reply: Json) -> bytes:
    opening = {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}}
    opening.pop("stop_details", None)
    events: list[Json] = [{"type": "message_start", "message": opening}]
    for index, block in enumerate(reply["content"]):
        empty, deltas = _BLOCKS[block["type"]](block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ended = {name: reply[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in reply}
    usage = {name: count for name, count in reply["usage"].items() if "token" in name}
    events += [{"type": "message_delta", "delta": ended, "usage": usage}, {"type": "message_stop"}]
    return b"".join(_event(event, event["type"]) for event in events)


def _text_block(block: Json) -> tuple[Json, list[Json]]:
    deltas = [{"type": "text_delta", "text": half} for half in _halves(block["text"])]
    cited = [{"type": "citations_delta", "citation": one} for one in block.get("citations") or ()]
    return {"type": "text", "text": ""}, deltas + cited


def _thinking_block(block: Json) -> tuple[Json, list[Json]]:
    deltas = [{"type": "thinking_delta", "thinking": half} for half in _halves(block["thinking"])]
    signed = {"type": "signature_delta", "signature": block["signature"]}
    return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]


def _tool_use_block(block: Json) -> tuple[Json, list[Json]]:
    written = json.dumps(block["input"])
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": half} for half in _halves(written)]


_BLOCKS: dict[str, Callable[[Json], tuple[Json, list[Json]]]] = {
    "text": _text_block,
    "thinking": _thinking_block,
    "redacted_thinking": lambda block: (block, []),
    "tool_use": _tool_use_block,
}


def _gemini_stream(reply: Json) -> bytes:
    head = {name: reply[name] for name in ("modelVersion", "responseId")}
    events: list[Json] = []
    for candidate in reply["candidates"]:
        parts = list(candidate["content"]["parts"])
        place = {"index": candidate["index"]}
        events += [
            {**head, "candidates": [{"content": {"parts": [part], "role": "model"}, **place}]} for part in parts[:-1]
        ]
        last = {**candidate, "content": {"parts": parts[-1:], "role": "model"}}
        events.append({**head, "candidates": [last]})
    events[-1]["usageMetadata"] = reply["usageMetadata"]
    return b"".join(map(_event, events))


def streamed(dialect: str, reply: Json) -> bytes:
    """The same answer as the provider would stream it."""
    return {"openai": _openai_stream, "anthropic": _anthropic_stream, "gemini": _gemini_stream}[dialect](reply)


def assembled(dialect: str, stream: bytes) -> Json:
    """What a caller of this dialect has, once the stream is over, in the shape of a whole answer."""
    data = [line[6:] for line in stream.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
    if dialect == "openai":
        assert data.pop() == b"[DONE]", "the stream did not end"
    events = [json.loads(one) for one in data]
    return {"openai": _openai_whole, "anthropic": _anthropic_whole, "gemini": _gemini_whole}[dialect](events)


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
