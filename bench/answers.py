"""What the upstream says, in each dialect, whole or as a stream of 60 events with text. By name, also in the path.

The first part of a request's path chooses the answer (`/stream/v1/chat/completions` → `stream`), so that an upstream
need not look into a body to know what to say.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

EVENTS = 60
_TEXT = "The steelyard finds its level again. " * 12
_IN, _OUT = 40, 110
_VECTOR = [round(0.0009 * number - 0.12, 4) for number in range(256)]


class Answer(NamedTuple):
    """A body, in the pieces in which a stream is sent; one piece when it is not a stream."""

    pieces: tuple[bytes, ...]
    content_type: str = "application/json"

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


def _json(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _whole(data: object) -> Answer:
    return Answer((_json(data),))


def _streamed(*events: bytes) -> Answer:
    return Answer(events, "text/event-stream")


def _words() -> list[str]:
    return [f"word{number} " for number in range(EVENTS)]


def _openai() -> dict[str, Answer]:
    usage = {"prompt_tokens": _IN, "completion_tokens": _OUT, "total_tokens": _IN + _OUT}
    head = {"id": "chatcmpl-bench", "created": 1_760_000_000, "model": "bench"}
    message = {"role": "assistant", "content": _TEXT}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}

    def event(choices: list[dict[str, Any]], **more: object) -> bytes:
        return b"data: " + _json({**head, "object": "chat.completion.chunk", "choices": choices, **more}) + b"\n\n"

    def delta(delta: dict[str, str], finish: str | None = None) -> bytes:
        return event([{"index": 0, "delta": delta, "finish_reason": finish}])

    return {
        "chat": _whole({**head, "object": "chat.completion", "choices": [choice], "usage": usage}),
        "stream": _streamed(
            delta({"role": "assistant", "content": ""}),
            *(delta({"content": word}) for word in _words()),
            delta({}, "stop"),
            event([], usage=usage),
            b"data: [DONE]\n\n",
        ),
        "embeddings": _whole(
            {
                "object": "list",
                "model": "bench",
                "data": [{"object": "embedding", "index": 0, "embedding": _VECTOR}],
                "usage": {"prompt_tokens": _IN, "total_tokens": _IN},
            }
        ),
    }


def _anthropic() -> dict[str, Answer]:
    usage = {"input_tokens": _IN, "output_tokens": _OUT}
    head = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench"}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    going = {"stop_reason": None, "stop_sequence": None}

    def event(kind: str, **fields: object) -> bytes:
        return f"event: {kind}\ndata: ".encode() + _json({"type": kind, **fields}) + b"\n\n"

    return {
        "anthropic": _whole({**head, "content": [{"type": "text", "text": _TEXT}], **ended, "usage": usage}),
        "anthropic-stream": _streamed(
            event("message_start", message={**head, "content": [], **going, "usage": {**usage, "output_tokens": 1}}),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in _words()),
            event("content_block_stop", index=0),
            event("message_delta", delta=ended, usage={"output_tokens": _OUT}),
            event("message_stop"),
        ),
    }


def _gemini() -> dict[str, Answer]:
    usage = {"promptTokenCount": _IN, "candidatesTokenCount": _OUT, "totalTokenCount": _IN + _OUT}

    def said(text: str, **ended: str) -> dict[str, Any]:
        candidate = {"index": 0, "content": {"parts": [{"text": text}], "role": "model"}, **ended}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "bench", "responseId": "bench"}

    def event(data: object) -> bytes:
        return b"data: " + _json(data) + b"\r\n\r\n"

    words = _words()
    return {
        "gemini": _whole(said(_TEXT, finishReason="STOP")),
        "gemini-stream": _streamed(
            *(event(said(word)) for word in words[:-1]), event(said(words[-1], finishReason="STOP"))
        ),
    }


ANSWERS: dict[str, Answer] = {**_openai(), **_anthropic(), **_gemini()}
#: What an upstream that is told to fail says instead.
FAILURE = _json({"error": {"message": "It failed, as asked.", "type": "server_error", "param": None, "code": None}})
