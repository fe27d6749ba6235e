"""Gemini's wire format: generateContent with streams, token counts, embeddings, models and errors.

Every chunk of a stream is a whole response with the usage so far; the last one carries the finish reason. With
`alt=sse` chunks are server-sent events without a terminal one, otherwise one JSON array. There is no `Retry-After`
header and there are no rate-limit headers, as in the real API: a 429 says how long to wait in `RetryInfo`. A wrong key
is a 400 with the reason `API_KEY_INVALID`, a missing one a 403: these too are Google's.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from providers.simulator import gemini_ask
from providers.simulator.config import Model
from providers.simulator.gemini_ask import error, invalid
from providers.simulator.physics import Allowance, tokens
from providers.simulator.wire import (
    JSON,
    SSE,
    EmbedAsk,
    Event,
    Failure,
    Headers,
    Operation,
    Reply,
    Turn,
    Usage,
)
from providers.simulator.writing import Answer, Ask, pieces, sign

_json = msgspec.json.Encoder()
_FINISH = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "tools": "STOP",
    "refusal": "SAFETY",
    "filter": "SAFETY",
}
#: The official SDK 3.4 asks `v1` unless told otherwise; everything here is the same in both.
_VERSIONS = ("/v1beta", "/v1")
#: Google sends a stream in larger pieces than the others.
CHUNK_TOKENS = 8


class Gemini:
    """The dialect."""

    request_id_header = b""

    def operation(self, method: str, path: str, query: Mapping[str, str]) -> Operation | None:
        """See `wire.Dialect`."""
        version = next((version for version in _VERSIONS if path.startswith(version + "/models")), None)
        if version is None:
            return None
        suffix = path.removeprefix(version + "/models")
        if not suffix:
            return Operation("models") if method == "GET" else None
        model, _, verb = suffix.removeprefix("/").partition(":")
        if not model or suffix[0] != "/":
            return None
        if method == "GET":
            return Operation("model", model) if not verb else None
        sse = "sse" if query.get("alt") == "sse" else "array"
        return {
            "generateContent": Operation("chat", model),
            "streamGenerateContent": Operation("chat", model, stream=True, variant=sse),
            "countTokens": Operation("count", model),
            "embedContent": Operation("embed", model),
            "batchEmbedContents": Operation("embed", model, variant="batch"),
        }.get(verb)

    def key(self, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
        """See `wire.Dialect`."""
        return headers.get(b"x-goog-api-key", b"").decode("latin-1") or query.get("key") or None

    def ask(self, body: bytes, headers: Mapping[bytes, bytes], operation: Operation, *, strict: bool) -> Ask:
        """See `wire.Dialect`; the real API is always strict, so `strict` changes nothing."""
        return (gemini_ask.count if operation.kind == "count" else gemini_ask.generate)(body, operation)

    def check(self, ask: Ask, prompt_tokens: int, model: Model) -> None:
        """See `wire.Dialect`."""
        if ask.max_tokens is not None and ask.max_tokens > model.max_output:
            raise invalid(
                f"Unable to submit request because it has a maxOutputTokens value of {ask.max_tokens} but the "
                f"supported range is from 1 (inclusive) to {model.max_output + 1} (exclusive). Update the value and "
                "try again."
            )
        if prompt_tokens > model.context_window:
            raise invalid(
                f"The input token count ({prompt_tokens}) exceeds the maximum number of tokens allowed "
                f"({model.context_window})."
            )

    def reply(self, turn: Turn) -> bytes:
        """See `wire.Dialect`."""
        if turn.answers[0].finish == "filter":
            return _json.encode(_blocked(turn))
        candidates = [_candidate(n, _parts(answer, turn), answer) for n, answer in enumerate(turn.answers)]
        return _json.encode({"candidates": candidates, **_tail(turn, turn.usage)})

    def events(self, turn: Turn, operation: Operation) -> Iterator[Event]:
        """See `wire.Dialect`."""
        sse = operation.variant == "sse"
        opening, separator = (b"data: ", b"\r\n\r\ndata: ") if sse else (b"[", b",\r\n")
        for n, (chunk, count) in enumerate(_chunks(turn)):
            yield (separator if n else opening) + _json.encode(chunk), count
        yield b"\r\n\r\n" if sse else b"]", 0

    def stream_type(self, operation: Operation) -> bytes:
        """See `wire.Dialect`."""
        return SSE if operation.variant == "sse" else JSON

    def failed_event(self, operation: Operation) -> bytes:
        """See `wire.Dialect`."""
        body = self.failure("overloaded").body
        return b"data: " + body + b"\r\n\r\n" if operation.variant == "sse" else b"[" + body + b"]"

    def failure(self, failure: Failure, subject: str = "", allowance: Allowance | None = None) -> Reply:
        """See `wire.Dialect`."""
        match failure:
            case "server_error":
                return error(500, "INTERNAL", "An internal error has occurred. Please retry.")
            case "overloaded":
                return error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
            case "throttled":
                return _throttled(subject, allowance)
            case "unauthorized":
                said = "API key not valid. Please pass a valid API key."
                return error(400, "INVALID_ARGUMENT", said, [_reason("API_KEY_INVALID")])
            case "no_key":
                said = "Method doesn't allow unregistered callers (callers without established identity)."
                return error(403, "PERMISSION_DENIED", said)
            case "unknown_model":
                said = f"models/{subject} is not found for API version v1beta, or is not supported for this method."
                return error(404, "NOT_FOUND", said)
            case "not_found":
                return error(404, "NOT_FOUND", f"The requested URL {subject} was not found on this server.")

    def limit_headers(self, allowances: Mapping[str, Allowance], now: float) -> Headers:
        """Google tells nothing before the 429."""
        return []

    def embed_ask(self, body: bytes, operation: Operation, *, strict: bool) -> EmbedAsk:
        """See `wire.Embedder`."""
        return gemini_ask.embeddings(body, operation)

    def embed_reply(self, ask: EmbedAsk, vectors: Sequence[Sequence[float]], prompt_tokens: int) -> bytes:
        """See `wire.Embedder`."""
        rows = [{"values": vector} for vector in vectors]
        return _json.encode({"embeddings": rows} if ask.batch else {"embedding": rows[0]})

    def count_reply(self, prompt_tokens: int) -> bytes:
        """See `wire.Dialect`."""
        detail = [{"modality": "TEXT", "tokenCount": prompt_tokens}]
        return _json.encode({"totalTokens": prompt_tokens, "promptTokensDetails": detail})

    def models_reply(self, models: Sequence[Model], one: Model | None) -> bytes:
        """See `wire.Dialect`."""
        methods = {"chat": ["generateContent", "countTokens"], "embedding": ["embedContent", "batchEmbedContents"]}
        rows = [
            {
                "name": f"models/{model.name}",
                "version": "simulated",
                "displayName": model.name,
                "inputTokenLimit": model.context_window,
                "outputTokenLimit": model.max_output,
                "supportedGenerationMethods": methods[model.kind],
            }
            for model in ((one,) if one else models)
        ]
        return _json.encode(rows[0] if one else {"models": rows})


def _reason(reason: str) -> dict[str, Any]:
    domain = "googleapis.com"
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}


def _throttled(subject: str, allowance: Allowance | None) -> Reply:
    wait = (allowance.refused_for_s if allowance else None) or 1.0
    metric = f"generativelanguage.googleapis.com/generate_content_{subject or 'requests'}"
    violation = {"quotaMetric": metric} | ({"quotaValue": str(allowance.limit)} if allowance else {})
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{math.ceil(wait)}s"},
    ]
    return error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan.", details)


def _tail(turn: Turn, usage: Usage) -> dict[str, Any]:
    return {
        "modelVersion": turn.model,
        "responseId": f"sim{turn.number:08x}",
        "usageMetadata": {
            "promptTokenCount": usage.prompt,
            "candidatesTokenCount": usage.output - usage.thought,
            "totalTokenCount": usage.prompt + usage.output,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.prompt}],
            **({"cachedContentTokenCount": usage.cached} if usage.cached else {}),
            **({"thoughtsTokenCount": usage.thought} if usage.thought else {}),
        },
    }


def _blocked(turn: Turn) -> dict[str, Any]:
    rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH"}
    return {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": [rating]}, **_tail(turn, turn.usage)}


def _candidate(index: int, parts: list[dict[str, Any]], ended: Answer | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": index}
    if ended is None or ended.finish != "refusal":
        candidate["content"] = {"parts": parts, "role": "model"}
    if ended is not None:
        candidate["finishReason"] = _FINISH[ended.finish]
    return candidate


def _parts(answer: Answer, turn: Turn) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if answer.thought and turn.ask.show_thinking:
        parts.append({"text": answer.thought, "thought": True})
    if answer.text or not answer.calls:
        parts.append({"text": answer.text})
    for call in answer.calls:
        part: dict[str, Any] = {"functionCall": {"name": call.name, "args": call.arguments}}
        if answer.thought:
            part["thoughtSignature"] = base64.b64encode(sign(answer.thought).encode()).decode()
        parts.append(part)
    return parts


def _chunks(turn: Turn) -> Iterator[tuple[dict[str, Any], int]]:
    """Cut the answers into responses, each with the usage so far; the last one's is that of the request."""
    if turn.answers[0].finish == "filter":
        yield _blocked(turn), 0
        return
    usage, said = turn.usage, 0
    for n, answer in enumerate(turn.answers):
        cut = list(_cut(_parts(answer, turn)))
        for at, (part, count) in enumerate(cut):
            said += 0 if part.get("thought") else count
            ended = answer if at == len(cut) - 1 else None
            last = ended is not None and n == len(turn.answers) - 1
            sofar = usage if last else Usage(usage.prompt, usage.thought + said, usage.thought, usage.cached)
            yield {"candidates": [_candidate(n, [part], ended)], **_tail(turn, sofar)}, count


def _cut(parts: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    for part in parts:
        if "functionCall" in part:
            yield part, tokens(len(_json.encode(part["functionCall"]["args"])))
            continue
        for piece in pieces(part["text"], CHUNK_TOKENS * 4) or [""]:
            yield {**part, "text": piece}, tokens(len(piece))
