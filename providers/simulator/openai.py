"""OpenAI's wire format: chat completions and responses with streams, embeddings, models, errors, rate-limit headers.

Streams are server-sent events, one chunk per token: a first chunk with the role, one per piece of text or arguments,
one with the finish reason, one with the usage if it was asked for, and `[DONE]`. The parts of a chunk that never change
are encoded once per stream.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from providers.simulator import openai_ask, openai_passed, openai_responses, openai_responses_ask
from providers.simulator.config import Model
from providers.simulator.openai_ask import OpenAIAsk, error, invalid
from providers.simulator.openai_responses_ask import ResponsesAsk
from providers.simulator.physics import Allowance
from providers.simulator.wire import SSE, Complaint, EmbedAsk, Event, Failure, Headers, Operation, Reply, Turn, Usage
from providers.simulator.writing import Answer, Ask, pieces

_json = msgspec.json.Encoder()
_FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tools": "tool_calls",
    "refusal": "stop",
    "filter": "content_filter",
}
_SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"
_CREATED = 1_767_225_600  # 2026-01-01: when the simulated models appeared


class OpenAI:
    """The dialect."""

    request_id_header = b"x-request-id"

    def operation(self, method: str, path: str, query: Mapping[str, str]) -> Operation | None:
        """See `wire.Dialect`."""
        match method, path:
            case "POST", "/v1/chat/completions":
                return Operation("chat")
            case "POST", "/v1/responses":
                return Operation("chat", variant="responses")
            case "POST", "/v1/embeddings":
                return Operation("embed")
            case "POST", "/v1/completions":
                return Operation("complete")
            case "POST", _ if path.removeprefix("/v1/") in openai_passed.MAKERS:
                return Operation("pass", variant=path.removeprefix("/v1/"))
            case "GET", "/v1/models":
                return Operation("models")
            case "GET", _ if path.startswith("/v1/models/"):
                return Operation("model", path.removeprefix("/v1/models/"))
            case _:
                return None

    def key(self, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
        """See `wire.Dialect`."""
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        return key if scheme.lower() == "bearer" and key else None

    def ask(self, body: bytes, headers: Mapping[bytes, bytes], operation: Operation, *, strict: bool) -> Ask:
        """See `wire.Dialect`."""
        if operation.variant == "responses":
            return openai_responses_ask.respond(body, strict=strict)
        return openai_ask.completion(body) if operation.kind == "complete" else openai_ask.chat(body, strict=strict)

    def check(self, ask: Ask, prompt_tokens: int, model: Model) -> None:
        """See `wire.Dialect`."""
        if ask.max_tokens is not None and ask.max_tokens > model.max_output:
            raise invalid(
                f"max_tokens is too large: {ask.max_tokens}. This model supports at most {model.max_output} completion "
                f"tokens, whereas you provided {ask.max_tokens}.",
                "max_tokens",
                "invalid_value",
            )
        if prompt_tokens > model.context_window:
            raise invalid(
                f"This model's maximum context length is {model.context_window} tokens. However, your messages "
                f"resulted in {prompt_tokens} tokens. Please reduce the length of the messages.",
                "messages",
                "context_length_exceeded",
            )

    def passed(self, operation: Operation, body: bytes, headers: Mapping[bytes, bytes]) -> tuple[str, str, Reply]:
        """See `wire.Passer`."""
        return openai_passed.answer(operation.variant, body, headers)

    def reply(self, turn: Turn) -> bytes:
        """See `wire.Dialect`."""
        if isinstance(turn.ask, ResponsesAsk):
            return openai_responses.whole(turn, _logprobs)
        ask = cast(OpenAIAsk, turn.ask)
        if ask.completes:
            return openai_passed.completion(turn.number, turn.created, turn.model, turn.answers, _usage(turn.usage))
        choices = [
            {
                "index": n,
                "message": _message(answer, turn.number, n),
                "logprobs": _logprobs(answer.text, ask.top_logprobs) if ask.logprobs else None,
                "finish_reason": _FINISH[answer.finish],
            }
            for n, answer in enumerate(turn.answers)
        ]
        return _json.encode({**_head(turn, "chat.completion"), "choices": choices, "usage": _usage(turn.usage)})

    def events(self, turn: Turn, operation: Operation) -> Iterator[Event]:
        """See `wire.Dialect`."""
        if isinstance(turn.ask, ResponsesAsk):
            yield from openai_responses.events(turn, _logprobs)
            return
        ask = cast(OpenAIAsk, turn.ask)
        if ask.completes:
            usage = _usage(turn.usage) if ask.include_usage else None
            yield from openai_passed.completion_events(turn.number, turn.created, turn.model, turn.answers, usage)
            return
        before = b"data: " + _json.encode(_head(turn, "chat.completion.chunk"))[:-1]
        after = b',"usage":null}\n\n' if ask.include_usage else b"}\n\n"
        for n, answer in enumerate(turn.answers):
            frame = before + b',"choices":[{"index":%d,"delta":' % n, b',"logprobs":null,"finish_reason":null}]' + after
            first = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
            yield frame[0] + _json.encode(first) + frame[1], answer.thought_tokens
            yield from _deltas(answer, ask, turn.number, n, frame)
            finish = _json.encode(_FINISH[answer.finish])
            yield frame[0] + b'{},"logprobs":null,"finish_reason":' + finish + b"}]" + after, 0
        if ask.include_usage:
            yield before + b',"choices":[],"usage":' + _json.encode(_usage(turn.usage)) + b"}\n\n", 0
        yield b"data: [DONE]\n\n", 0

    def stream_type(self, operation: Operation) -> bytes:
        """See `wire.Dialect`."""
        return SSE

    def failed_event(self, operation: Operation) -> bytes:
        """See `wire.Dialect`."""
        if operation.variant == "responses":
            return openai_responses.failed(_SERVER_ERROR, "server_error")
        return b"data: " + self.failure("server_error").body + b"\n\n"

    def failure(self, failure: Failure, subject: str = "", allowance: Allowance | None = None) -> Reply:
        """See `wire.Dialect`."""
        match failure:
            case "server_error":
                return error(500, _SERVER_ERROR, "server_error")
            case "overloaded":
                said = "The server is currently overloaded with other requests. Sorry about that! Please retry later."
                return error(503, said, "server_error", code="service_unavailable")
            case "throttled":
                return _throttled(subject, allowance)
            case "unauthorized":
                said = "Incorrect API key provided. You can find your API key on your account page."
                return error(401, said, "invalid_request_error", code="invalid_api_key")
            case "no_key":
                said = "You didn't provide an API key. You need to provide your API key in an Authorization header."
                return error(401, said, "invalid_request_error")
            case "unknown_model":
                said = f"The model `{subject}` does not exist or you do not have access to it."
                return error(404, said, "invalid_request_error", code="model_not_found")
            case "not_found":
                return error(404, f"Invalid URL ({subject})", "invalid_request_error")

    def limit_headers(self, allowances: Mapping[str, Allowance], now: float) -> Headers:
        """See `wire.Dialect`."""
        headers: Headers = []
        for what, allowance in allowances.items():
            name = what.encode()
            headers += [
                (b"x-ratelimit-limit-" + name, b"%d" % allowance.limit),
                (b"x-ratelimit-remaining-" + name, b"%d" % allowance.remaining),
                (b"x-ratelimit-reset-" + name, duration(allowance.reset_s).encode()),
            ]
        return headers

    def embed_ask(self, body: bytes, operation: Operation, *, strict: bool) -> EmbedAsk:
        """See `wire.Embedder`."""
        return openai_ask.embeddings(body, strict=strict)

    def embed_reply(self, ask: EmbedAsk, vectors: Sequence[Sequence[float]], prompt_tokens: int) -> bytes:
        """See `wire.Embedder`."""
        data = [
            {"object": "embedding", "index": n, "embedding": _packed(vector) if ask.base64 else vector}
            for n, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
        return _json.encode({"object": "list", "data": data, "model": ask.model, "usage": usage})

    def count_reply(self, prompt_tokens: int) -> bytes:
        """OpenAI has no such operation."""
        raise Complaint(self.failure("not_found", "count"))

    def models_reply(self, models: Sequence[Model], one: Model | None) -> bytes:
        """See `wire.Dialect`."""
        rows = [
            {"id": model.name, "object": "model", "created": _CREATED, "owned_by": "simulator"}
            for model in ((one,) if one else models)
        ]
        return _json.encode(rows[0] if one else {"object": "list", "data": rows})


def duration(seconds: float) -> str:
    """Write a duration as Go does, which is how OpenAI writes its resets: `20ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    hours, minutes = divmod(int(minutes), 60)
    tail = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}" if minutes else tail


def _throttled(subject: str, allowance: Allowance | None) -> Reply:
    wait = (allowance.refused_for_s if allowance else None) or 1.0
    limit = f" Limit {allowance.limit}." if allowance else ""
    said = f"Rate limit reached for {subject or 'requests'} per min.{limit} Please try again in {duration(wait)}."
    reply = error(429, said, subject or "requests", code="rate_limit_exceeded")
    headers: Headers = [(b"retry-after", b"%d" % math.ceil(wait)), (b"retry-after-ms", b"%d" % math.ceil(wait * 1000))]
    return reply._replace(headers=headers)


def _head(turn: Turn, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-sim{turn.number:08x}",
        "object": kind,
        "created": turn.created,
        "model": turn.model,
        "service_tier": "default",
        "system_fingerprint": "simulated",
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _message(answer: Answer, number: int, nth: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.finish == "refusal":
        message |= {"content": None, "refusal": answer.text}
    elif answer.calls:
        message |= {
            "content": None,
            "tool_calls": [
                {
                    "id": _call_id(number, nth, n),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.encoded},
                }
                for n, call in enumerate(answer.calls)
            ],
        }
    return message


def _call_id(number: int, nth: int, n: int) -> str:
    return f"call_sim{number:08x}{nth:02x}{n:02x}"


def _deltas(answer: Answer, ask: OpenAIAsk, number: int, nth: int, frame: tuple[bytes, bytes]) -> Iterator[Event]:
    before, after = frame
    for n, call in enumerate(answer.calls):
        opening = {"name": call.name, "arguments": ""}
        head = {"index": n, "id": _call_id(number, nth, n), "type": "function", "function": opening}
        yield before + _json.encode({"tool_calls": [head]}) + after, 0
        for piece in pieces(call.encoded):
            yield before + _json.encode({"tool_calls": [{"index": n, "function": {"arguments": piece}}]}) + after, 1
    field = b'{"refusal":' if answer.finish == "refusal" else b'{"content":'
    for piece in pieces(answer.text):
        data = before + field + _json.encode(piece) + b"}" + after
        if ask.logprobs:
            data = data.replace(
                b'"logprobs":null', b'"logprobs":' + _json.encode(_logprobs(piece, ask.top_logprobs)), 1
            )
        yield data, 1


def _logprobs(text: str, top: int) -> dict[str, Any]:
    """Every token is as sure as its length in bytes suggests: invented, but stable and at most zero."""
    rows: list[dict[str, Any]] = []
    for piece in pieces(text):
        raw = list(piece.encode(errors="replace"))
        row = {"token": piece, "logprob": -0.01 * len(raw), "bytes": raw}
        rows.append({**row, "top_logprobs": [row] * min(top, 1)})
    return {"content": rows, "refusal": None}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
