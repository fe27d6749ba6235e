"""Anthropic's wire format: messages with streams, token counts, models, errors and rate-limit headers.

A stream is `message_start`, then each content block as start, deltas and stop (with a `ping` after the first start),
then `message_delta` with the stop reason and the final usage, then `message_stop`. `input_tokens` excludes what was
read from or written to the prompt cache; both are told apart beside it. The key travels as `x-api-key` or, as the
official SDK 2 has it, as `Authorization: Bearer`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from providers.simulator import anthropic_ask
from providers.simulator.anthropic_ask import error, invalid
from providers.simulator.config import Model
from providers.simulator.physics import Allowance
from providers.simulator.wire import SSE, Event, Failure, Headers, Operation, Reply, Turn, Usage
from providers.simulator.writing import REFUSAL, Answer, Ask, pieces, sign

_json = msgspec.json.Encoder()
_STOP = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tools": "tool_use",
    "refusal": "refusal",
    "filter": "refusal",
}


class Anthropic:
    """The dialect."""

    request_id_header = b"request-id"

    def operation(self, method: str, path: str, query: Mapping[str, str]) -> Operation | None:
        """See `wire.Dialect`."""
        match method, path:
            case "POST", "/v1/messages":
                return Operation("chat")
            case "POST", "/v1/messages/count_tokens":
                return Operation("count")
            case "GET", "/v1/models":
                return Operation("models")
            case "GET", _ if path.startswith("/v1/models/"):
                return Operation("model", path.removeprefix("/v1/models/"))
            case _:
                return None

    def key(self, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
        """See `wire.Dialect`."""
        if key := headers.get(b"x-api-key"):  # wins when both are sent
            return key.decode("latin-1")
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return key if scheme.lower() == "bearer" and key else None

    def ask(self, body: bytes, headers: Mapping[bytes, bytes], operation: Operation, *, strict: bool) -> Ask:
        """See `wire.Dialect`; the real API is always strict, so `strict` changes nothing."""
        return anthropic_ask.messages(body, headers, count=operation.kind == "count")

    def check(self, ask: Ask, prompt_tokens: int, model: Model) -> None:
        """See `wire.Dialect`."""
        if ask.max_tokens is not None and ask.max_tokens > model.max_output:
            raise invalid(
                f"max_tokens: {ask.max_tokens} > {model.max_output}, which is the maximum allowed number of output "
                f"tokens for {model.name}"
            )
        if prompt_tokens > model.context_window:
            raise invalid(f"prompt is too long: {prompt_tokens} tokens > {model.context_window} maximum")

    def reply(self, turn: Turn) -> bytes:
        """See `wire.Dialect`."""
        answer = turn.answers[0]
        return _json.encode(
            {
                **_head(turn),
                "content": _blocks(answer, turn),
                **_stopped(answer),
                "usage": _usage(turn.usage, turn.usage.output),
            }
        )

    def events(self, turn: Turn, operation: Operation) -> Iterator[Event]:
        """See `wire.Dialect`."""
        answer = turn.answers[0]
        opening: dict[str, Any] = {
            **_head(turn),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(turn.usage, 1),
        }
        yield _event("message_start", {"message": opening}), 0
        for n, block in enumerate(_blocks(answer, turn)):
            yield _event("content_block_start", {"index": n, "content_block": _empty(block)}), 0
            if n == 0:
                yield _event("ping", {}), 0
            yield from _deltas(n, block)
            yield _event("content_block_stop", {"index": n}), 0
        usage = _usage(turn.usage, turn.usage.output)
        del usage["cache_creation"], usage["service_tier"]
        yield _event("message_delta", {"delta": _stopped(answer), "usage": usage}), 0
        yield _event("message_stop", {}), 0

    def stream_type(self, operation: Operation) -> bytes:
        """See `wire.Dialect`."""
        return SSE

    def failed_event(self, operation: Operation) -> bytes:
        """See `wire.Dialect`."""
        return b"event: error\ndata: " + self.failure("overloaded").body + b"\n\n"

    def failure(self, failure: Failure, subject: str = "", allowance: Allowance | None = None) -> Reply:
        """See `wire.Dialect`."""
        match failure:
            case "server_error":
                return error(500, "api_error", "Internal server error")
            case "overloaded":
                return error(529, "overloaded_error", "Overloaded")
            case "throttled":
                wait = (allowance.refused_for_s if allowance else None) or 1.0
                said = (
                    f"This request would exceed your organization's rate limit of {subject or 'requests'} per minute."
                )
                reply = error(429, "rate_limit_error", said)
                return reply._replace(headers=[(b"retry-after", b"%d" % math.ceil(wait))])
            case "unauthorized":
                return error(401, "authentication_error", "invalid x-api-key")
            case "no_key":
                return error(401, "authentication_error", "x-api-key header is required")
            case "unknown_model":
                return error(404, "not_found_error", f"model: {subject}")
            case "not_found":
                return error(404, "not_found_error", "Not found")

    def limit_headers(self, allowances: Mapping[str, Allowance], now: float) -> Headers:
        """See `wire.Dialect`."""
        headers: Headers = []
        for what, allowance in allowances.items():
            start = b"anthropic-ratelimit-" + what.encode()
            reset = datetime.fromtimestamp(math.ceil(now + allowance.reset_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            headers += [
                (start + b"-limit", b"%d" % allowance.limit),
                (start + b"-remaining", b"%d" % allowance.remaining),
                (start + b"-reset", reset.encode()),
            ]
        return headers

    def count_reply(self, prompt_tokens: int) -> bytes:
        """See `wire.Dialect`."""
        return _json.encode({"input_tokens": prompt_tokens})

    def models_reply(self, models: Sequence[Model], one: Model | None) -> bytes:
        """See `wire.Dialect`."""
        rows = [
            {
                "type": "model",
                "id": model.name,
                "display_name": model.name,
                "created_at": "2026-01-01T00:00:00Z",
                "lifecycle": "active",
                "max_input_tokens": model.context_window,
                "max_tokens": model.max_output,
            }
            for model in ((one,) if one else models)
        ]
        page = {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
        return _json.encode(rows[0] if one else page)


def _head(turn: Turn) -> dict[str, Any]:
    return {"id": f"msg_sim{turn.number:08x}", "type": "message", "role": "assistant", "model": turn.model}


def _stopped(answer: Answer) -> dict[str, Any]:
    stopped: dict[str, Any] = {"stop_reason": _STOP[answer.finish], "stop_sequence": answer.stopped_by}
    if answer.finish in ("refusal", "filter"):
        stopped["stop_details"] = {"type": "refusal", "category": None, "explanation": REFUSAL}
    return stopped


def _usage(usage: Usage, output: int) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt - usage.cached - usage.cache_written,
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.cache_written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": min(usage.thought, output)},
        "service_tier": "standard",
    }


def _blocks(answer: Answer, turn: Turn) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thought:
        shown = answer.thought if turn.ask.show_thinking else ""
        blocks.append({"type": "thinking", "thinking": shown, "signature": sign(answer.thought)})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    blocks += [
        {"type": "tool_use", "id": f"toolu_sim{turn.number:08x}{n:02x}", "name": call.name, "input": call.arguments}
        for n, call in enumerate(answer.calls)
    ]
    return blocks


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it stands before its deltas."""
    match block["type"]:
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "text":
            return {**block, "text": ""}
        case _:
            return {**block, "input": {}}


def _deltas(index: int, block: dict[str, Any]) -> Iterator[Event]:
    kind, field, whole = {
        "thinking": ("thinking_delta", "thinking", block.get("thinking", "")),
        "text": ("text_delta", "text", block.get("text", "")),
        "tool_use": ("input_json_delta", "partial_json", ""),
    }[block["type"]]
    if block["type"] == "tool_use":
        whole = _json.encode(block["input"]).decode()
        yield _delta(index, {"type": kind, field: ""}), 0
    before = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index
    before += b'{"type":"%s","%s":' % (kind.encode(), field.encode())
    for piece in pieces(whole):
        yield before + _json.encode(piece) + b"}}\n\n", 1
    if block["type"] == "thinking":
        yield _delta(index, {"type": "signature_delta", "signature": block["signature"]}), 0


def _delta(index: int, delta: dict[str, Any]) -> bytes:
    return _event("content_block_delta", {"index": index, "delta": delta})


def _event(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _json.encode({"type": name, **fields}) + b"\n\n"
