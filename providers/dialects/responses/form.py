"""A response as callers see it: what was asked, echoed, and what came of it; whole, or as a stream.

A stream's terminal event is not the encoder's to write: the response is stored first, so that a caller who has seen
`response.completed` can go on with its id at once. `Form.end` gives it.

Statuses: `length` is incomplete for `max_output_tokens`; `content_filter`, and a refusal without words, for
`content_filter`; a provider's own further reasons (`pause_turn` …) are incomplete under their own name, since a finish
reason is never laundered. Everything else is completed, a refusal in words included.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from providers.chat import ChatChunk, ChatReply, ChatRequest, Cited, Json, Usage
from providers.dialects.openai.shapes import ABSENT
from providers.dialects.responses.compose import Composer, Events
from providers.dialects.responses.parse import Asked
from providers.dialects.wire import fields

_encoder = msgspec.json.Encoder()
_plain = msgspec.json.Decoder(dict[str, Any])
#: Fields that are echoed as they came, and what stands for them when they did not.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": None,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_COMPLETED = frozenset({None, "stop", "tool_calls"})
_INCOMPLETE = {"length": "max_output_tokens"}


class Form:
    """How the answer to one request is written; see `gateway.calls.Form`."""

    name = "responses"

    def __init__(self, asked: Asked, identity: str, created: int) -> None:
        """Name the response by `identity`; `created` is in Unix seconds."""
        given = fields(asked.body)
        self._echo: Json = {name: _given(given.get(name, ABSENT), instead) for name, instead in _ECHOED.items()}
        self.identity = identity
        self._asked = asked
        self._created = created
        self._stream: _Stream | None = None

    @property
    def id(self) -> str:
        """The response's id."""
        return f"resp_{self.identity}"

    def render(self, reply: ChatReply) -> bytes:
        """A complete answer."""
        composer = Composer(self.identity)
        choice = reply.choices[0] if reply.choices else None
        for at, part in enumerate(choice.parts if choice else ()):
            composer.part(part, at)
        if choice is not None and choice.citations:
            composer.cited(Cited(choice.citations))
        composer.model, composer.usage, composer.service_tier = reply.model or None, reply.usage, reply.service_tier
        composer.finish = choice.finish_reason if choice else None
        if choice is not None and choice.logprobs is not None:
            composer.sure_of(choice.logprobs)
        composer.close(done=_status(composer)[0] == "completed")
        return _encoder.encode(self.finished(composer))

    def stream_encoder(self, request: ChatRequest) -> _Stream:
        """An encoder for one stream."""
        return _Stream(self)

    def began(self, stream: _Stream) -> None:
        """This stream is the one that the caller reads."""
        self._stream = stream

    def final(self) -> Json:
        """The response at the end of its stream."""
        assert self._stream is not None
        return _plain.decode(_encoder.encode(self.finished(self._stream.composer)))

    def end(self, response: Json) -> bytes:
        """The terminal event of the stream: this response."""
        assert self._stream is not None
        return self._stream.write([{"type": f"response.{response['status']}", "response": response}])

    def broken(self, code: str, message: str) -> bytes:
        """The terminal event of a stream that broke, with what was said of it."""
        if self._stream is None:
            return b""
        stream = self._stream
        events = stream.composer.close(done=False)
        response = self.finished(stream.composer)
        response |= {"status": "failed", "incomplete_details": None, "error": {"code": code, "message": message}}
        return stream.write([*events, {"type": "response.failed", "response": response}])

    def finished(self, composer: Composer) -> Json:
        """The response, with all that was said."""
        status, details = _status(composer)
        response = self.shown(composer.model, status)
        response |= {"incomplete_details": details, "output": composer.output, "usage": _usage(composer.usage)}
        if composer.service_tier is not None:
            response["service_tier"] = composer.service_tier
        return response

    def shown(self, model: str | None, status: str) -> Json:
        """The response before anything was said."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": model or self._asked.request.model,
            "output": [],
            "store": self._asked.request.store is not False,
            "usage": None,
            **self._echo,
        }


class _Stream:
    """See `providers.dialect.StreamEncoder`."""

    def __init__(self, form: Form) -> None:
        """Nothing said yet."""
        self._form = form
        self._number = 0
        self.composer = Composer(form.identity)

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events one chunk stands for. The first chunk opens the response."""
        events = self.composer.feed(chunk)
        if self._number == 0:
            self._form.began(self)
            shown = self._form.shown(self.composer.model, "in_progress")
            opening = [{"type": f"response.{what}", "response": shown} for what in ("created", "in_progress")]
            return self.write([*opening, *events])
        return self.write(events)

    def continued(self, told: Json) -> bytes:
        """The response is still in progress, with a field that SDKs keep and callers need not know."""
        shown = self._form.shown(self.composer.model, "in_progress")
        return self.write([{"type": "response.in_progress", "response": shown, "steelyard": {"continued": told}}])

    def end(self) -> bytes:
        """The end of the last item; the response's own is `Form.end`."""
        return self.write(self.composer.close(done=_status(self.composer)[0] == "completed"))

    def write(self, events: Events) -> bytes:
        """The events as bytes, numbered."""
        out: list[bytes] = []
        for event in events:
            kind: str = event["type"]
            numbered = {"type": kind, "sequence_number": self._number, **event}
            out.append(b"event: " + kind.encode() + b"\ndata: " + _encoder.encode(numbered) + b"\n\n")
            self._number += 1
        return b"".join(out)


def _given(raw: Raw, instead: Any) -> Any:
    return instead if bytes(raw) == bytes(ABSENT) else raw


def _status(composer: Composer) -> tuple[str, Json | None]:
    reason = composer.finish
    if reason in _COMPLETED or (reason == "refusal" and composer.refused):
        return "completed", None
    return "incomplete", {"reason": _INCOMPLETE.get(str(reason), "content_filter" if reason == "refusal" else reason)}


def _usage(usage: Usage | None) -> Json | None:
    """The tokens as this API counts them; None when the provider never said."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
