"""The wire formats, written by hand and apart from the code under test: plain questions and answers, and the answers of
scripted providers, whole and as streams.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
#: What providers speak, and what callers do.
DIALECTS = ("openai", "anthropic", "gemini")
INGRESSES = ("openai", "responses", "anthropic", "gemini", "orchestrate")
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
    "responses": {"input": "Hi"},
    "orchestrate": {"messages": [{"role": "user", "content": "Hi"}]},
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


def _told_at_once(block: Json) -> tuple[Json, list[Json]]:
    return block, []


_BLOCKS: dict[str, Callable[[Json], tuple[Json, list[Json]]]] = {
    "text": _text_block,
    "thinking": _thinking_block,
    "redacted_thinking": _told_at_once,
    "tool_use": _tool_use_block,
    "server_tool_use": _tool_use_block,
    "web_search_tool_result": _told_at_once,
}


def _gemini_stream(reply: Json) -> bytes:
    head = {name: reply[name] for name in ("modelVersion", "responseId")}
    events: list[Json] = []
    for candidate in reply.get("candidates", ()):
        parts = list(candidate["content"]["parts"])
        place = {"index": candidate["index"]}
        events += [
            {**head, "candidates": [{"content": {"parts": [part], "role": "model"}, **place}]} for part in parts[:-1]
        ]
        last = {**candidate, "content": {"parts": parts[-1:], "role": "model"}}
        events.append({**head, "candidates": [last]})
    if events:
        events[-1]["usageMetadata"] = reply["usageMetadata"]
    # Google's lines end so.
    return b"".join(map(_event, events or [reply])).replace(b"\n", b"\r\n")


def streamed(dialect: str, reply: Json) -> bytes:
    """The same answer as the provider would stream it."""
    return {"openai": _openai_stream, "anthropic": _anthropic_stream, "gemini": _gemini_stream}[dialect](reply)
