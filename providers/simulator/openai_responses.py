"""OpenAI's Responses answers: items, and the events that tell of their growth.

With `web_search` on offer the model searches first, and names its source. Thoughts are told when a summary is asked
for, and sealed when the caller includes `reasoning.encrypted_content`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from providers.simulator.openai_responses_ask import SEAL, ResponsesAsk
from providers.simulator.wire import Event, Turn
from providers.simulator.writing import Answer, pieces, sign

_json = msgspec.json.Encoder()
Json = dict[str, Any]
Logprobs = Callable[[str, int], Json]
#: An event's fields, and how many tokens it carries.
_Told = tuple[Json, int]
_SOURCE = {"type": "url_citation", "url": "https://example.org/steelyard", "title": "Steelyard"}

#: How items of each type begin.
_EMPTY: dict[str, Json] = {"message": {"content": []}, "reasoning": {"summary": []}, "function_call": {"arguments": ""}}


def whole(turn: Turn, logprobs: Logprobs) -> bytes:
    """The response."""
    return _json.encode(_response(turn, _items(turn, logprobs)))


def events(turn: Turn, logprobs: Logprobs) -> Iterator[Event]:
    """The same as a stream."""
    for number, (told, tokens) in enumerate(_told(turn, logprobs)):
        data = _json.encode({**told, "sequence_number": number})
        yield b"event: " + told["type"].encode() + b"\ndata: " + data + b"\n\n", tokens


def failed(message: str, code: str) -> bytes:
    """The event of a provider that fails at once."""
    told = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": 0}
    return b"event: error\ndata: " + _json.encode(told) + b"\n\n"


def _response(turn: Turn, output: list[Json], status: str | None = None) -> Json:
    ask, answer, usage = cast(ResponsesAsk, turn.ask), turn.answers[0], turn.usage
    why = {"length": "max_output_tokens", "filter": "content_filter"}.get(answer.finish)
    done = status is None
    counted = {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.thought},
        "total_tokens": usage.prompt + usage.output,
    }
    return {
        "id": f"resp_sim{turn.number:08x}",
        "object": "response",
        "created_at": turn.created,
        "status": status or ("incomplete" if why else "completed"),
        "background": False,
        "error": None,
        "incomplete_details": {"reason": why} if done and why else None,
        "model": turn.model,
        "output": output,
        **ask.echo,
        "usage": counted if done else None,
    }


def _items(turn: Turn, logprobs: Logprobs) -> list[Json]:
    """What was said, in order."""
    ask, answer = cast(ResponsesAsk, turn.ask), turn.answers[0]
    made: list[Json] = []
    if answer.thought:
        summary = [{"type": "summary_text", "text": answer.thought}] if ask.summary else []
        thought: Json = {"type": "reasoning", "summary": summary}
        if ask.sealed:
            thought["encrypted_content"] = SEAL + sign(answer.thought)
        made.append(thought)
    if ask.searches and answer.text:
        action = {"type": "search", "query": ask.last_user[:80]}
        made.append({"type": "web_search_call", "status": "completed", "action": action})
    made += [
        {
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_sim{turn.number:08x}00{n:02x}",
            "name": call.name,
            "arguments": call.encoded,
        }
        for n, call in enumerate(answer.calls)
    ]
    if answer.text:
        status = "incomplete" if answer.finish == "length" else "completed"
        content = [_part(ask, answer, logprobs)]
        made.append({"type": "message", "status": status, "role": "assistant", "content": content})
    names = {"message": "msg", "reasoning": "rs", "function_call": "fc", "web_search_call": "ws"}
    return [{"id": f"{names[one['type']]}_sim{turn.number:08x}{n:02x}", **one} for n, one in enumerate(made)]


def _part(ask: ResponsesAsk, answer: Answer, logprobs: Logprobs) -> Json:
    if answer.finish == "refusal":
        return {"type": "refusal", "refusal": answer.text}
    rows: list[Json] = logprobs(answer.text, ask.top_logprobs)["content"] if ask.logprobs else []
    sources = [{**_SOURCE, "start_index": 0, "end_index": len(answer.text)}] if ask.searches else []
    return {"type": "output_text", "text": answer.text, "annotations": sources, "logprobs": rows}


def _told(turn: Turn, logprobs: Logprobs) -> Iterator[_Told]:
    for what in ("created", "in_progress"):
        yield {"type": f"response.{what}", "response": _response(turn, [], "in_progress")}, 0
    items = _items(turn, logprobs)
    for index, item in enumerate(items):
        place = {"item_id": item["id"], "output_index": index}
        begun: Json = {**item, **_EMPTY.get(item["type"], {})}
        if "status" in item:
            begun["status"] = "in_progress"
        begun.pop("encrypted_content", None)
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}, _thinking(item, turn)
        yield from _GROWTH[item["type"]](item, place, turn, logprobs)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}, 0
    final = _response(turn, items)
    yield {"type": f"response.{final['status']}", "response": final}, 0


def _thinking(item: Json, turn: Turn) -> int:
    return turn.answers[0].thought_tokens if item["type"] == "reasoning" else 0


def _message(item: Json, place: Json, turn: Turn, logprobs: Logprobs) -> Iterator[_Told]:
    ask, part = cast(ResponsesAsk, turn.ask), item["content"][0]
    field = "refusal" if part["type"] == "refusal" else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    place = {**place, "content_index": 0}
    begun: Json = {**part, field: ""} if field == "refusal" else {**part, "text": "", "annotations": [], "logprobs": []}
    yield {"type": "response.content_part.added", **place, "part": begun}, 0
    for piece in pieces(part[field]):
        more: Json = {"logprobs": logprobs(piece, ask.top_logprobs)["content"] if ask.logprobs else []}
        yield {"type": f"{name}.delta", **place, "delta": piece, **(more if field == "text" else {})}, 1
    for n, source in enumerate(part.get("annotations", ())):
        told = {"annotation_index": n, "annotation": source}
        yield {"type": "response.output_text.annotation.added", **place, **told}, 0
    done = {field: part[field], **({"logprobs": part["logprobs"]} if field == "text" else {})}
    yield {"type": f"{name}.done", **place, **done}, 0
    yield {"type": "response.content_part.done", **place, "part": part}, 0


def _thought(item: Json, place: Json, turn: Turn, logprobs: Logprobs) -> Iterator[_Told]:
    for n, part in enumerate(item["summary"]):
        where = {**place, "summary_index": n}
        yield {"type": "response.reasoning_summary_part.added", **where, "part": {**part, "text": ""}}, 0
        for piece in pieces(part["text"]):
            yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}, 0
        yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}, 0
        yield {"type": "response.reasoning_summary_part.done", **where, "part": part}, 0


def _call(item: Json, place: Json, turn: Turn, logprobs: Logprobs) -> Iterator[_Told]:
    for piece in pieces(item["arguments"]):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}, 1
    done = {"name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.function_call_arguments.done", **place, **done}, 0


def _search(item: Json, place: Json, turn: Turn, logprobs: Logprobs) -> Iterator[_Told]:
    for what in ("in_progress", "searching", "completed"):
        yield {"type": f"response.web_search_call.{what}", **place}, 0


_GROWTH: dict[str, Callable[[Json, Json, Turn, Logprobs], Iterator[_Told]]] = {
    "message": _message,
    "reasoning": _thought,
    "function_call": _call,
    "web_search_call": _search,
}
