"""A response as callers see it: what was asked, echoed, and what came of it; whole, or as a stream.

A stream's terminal event is not the encoder's to write: the response is stored first, so that a caller who has seen
`response.completed` can go on with its id at once. `Form.end` gives it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from providers.amending import Check
from providers.chat import ChatChunk, ChatReply, ChatRequest, Cited, Json
from providers.dialects.openai.shapes import ABSENT
from providers.dialects.responses import custom
from providers.dialects.responses.compose import Composer, Events, status_of, told_usage
from providers.dialects.responses.native import Adopting
from providers.dialects.responses.parse import Asked
from providers.dialects.responses.relay import Relay
from providers.dialects.responses.told import error_code
from providers.dialects.responses.writing import Stream, Writing
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
        self._stream: Stream | None = None

    @property
    def id(self) -> str:
        """The response's id."""
        return f"resp_{self.identity}"

    def composer(self) -> Composer:
        """What writes the items of this response."""
        return Composer(self.identity, custom.names(self._asked.request.tools))

    def render(self, reply: ChatReply) -> bytes:
        """A complete answer."""
        composer = self.composer()
        choice = reply.choices[0] if reply.choices else None
        for at, part in enumerate(choice.parts if choice else ()):
            composer.part(part, at)
        if choice is not None and choice.citations:
            composer.cited(Cited(choice.citations))
        composer.model, composer.usage, composer.service_tier = reply.model or None, reply.usage, reply.service_tier
        composer.finish = choice.finish_reason if choice else None
        if choice is not None and choice.logprobs is not None:
            composer.sure_of(choice.logprobs)
        composer.close(done=status_of(composer)[0] == "completed")
        return _encoder.encode(self.finished(composer))

    def render_count(self, tokens: int) -> bytes:
        """A count of what the model would read."""
        return _encoder.encode({"object": "response.input_tokens", "input_tokens": tokens})

    def stream_encoder(self, request: ChatRequest) -> _Stream:
        """An encoder for one stream."""
        return _Stream(self)

    def adopt(self, told: Json, provider: str) -> bytes:
        """A complete answer of a provider that has this API."""
        return _encoder.encode(Adopting(self._asked, self.identity, provider).response(told))

    def relay(self, provider: str, check: Check | None = None) -> Relay:
        """An encoder for one stream of such a provider; `check` judges what it says."""
        return Relay(Adopting(self._asked, self.identity, provider), self.began, check)

    def began(self, stream: Stream) -> None:
        """This stream is the one that the caller reads."""
        self._stream = stream

    def final(self) -> Json:
        """The response at the end of its stream."""
        assert self._stream is not None
        return self._stream.final()

    def end(self, response: Json) -> bytes:
        """The terminal event of the stream: this response."""
        assert self._stream is not None
        return self._stream.write([{"type": f"response.{response['status']}", "response": response}])

    def broken(self, code: str | None, message: str, *, withheld: bool = False) -> bytes:
        """The terminal event of a stream that broke, with what was said of it, by a provider's `code` or without.

        Nothing that was said is told where it is `withheld`.
        """
        if self._stream is None:
            return b""
        stream = self._stream
        events, response = stream.cut()
        if withheld:
            events = []
            response |= {"output": list[Json]()}
        error = {"code": code if withheld and code else error_code(code), "message": message}
        response |= {"status": "failed", "incomplete_details": None, "error": error}
        # Nothing is kept of it.
        response["store"] = False
        return stream.write([*events, {"type": "response.failed", "response": response}])

    def finished(self, composer: Composer) -> Json:
        """The response, with all that was said."""
        status, details = status_of(composer)
        response = self.shown(composer.model, status)
        response |= {"incomplete_details": details, "output": composer.output, "usage": told_usage(composer.usage)}
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


class _Stream(Writing):
    """See `providers.dialect.StreamEncoder` and `Stream`."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self, form: Form) -> None:
        """Nothing said yet."""
        super().__init__()
        self._form = form
        self.composer = form.composer()

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events one chunk stands for. The first chunk opens the response."""
        events = self.composer.feed(chunk)
        if self.number == 0:
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
        return self.write(self.composer.close(done=status_of(self.composer)[0] == "completed"))

    def final(self) -> Json:
        """The response, with all that was said."""
        return _plain.decode(_encoder.encode(self._form.finished(self.composer)))

    def cut(self) -> tuple[Events, Json]:
        """The last events of a stream that broke, and the response as far as it came."""
        return self.composer.close(done=False), self._form.finished(self.composer)


def _given(raw: Raw, instead: Any) -> Any:
    return instead if bytes(raw) == bytes(ABSENT) else raw
