"""The Gemini API, seen from both sides; each power lives in its own file."""

from __future__ import annotations

from collections.abc import Mapping

from providers.chat import ChatReply, ChatRequest, EmbeddingReply, EmbeddingRequest, Glance
from providers.dialect import Call, Fit, Headers, Limits, Profile, Quota, Target
from providers.dialects.gemini import count, embed, encode, faults, render
from providers.dialects.gemini import reply as replies
from providers.dialects.gemini.emit import StreamEncoder
from providers.dialects.gemini.parse import parse_call
from providers.dialects.gemini.stream import StreamDecoder
from providers.errors import Fault


class Gemini:
    """See `providers.dialect.Dialect`, `EmbeddingDialect` and `CountingDialect`."""

    name = "gemini"

    def authorise(self, api_key: str | None, profile: Profile) -> Headers:
        """The key travels in a header: in the URL, where the API takes it too, it would end up in everybody's logs."""
        return (("x-goog-api-key", api_key),) if api_key else ()

    def encode(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """See `encode`. Raises `Inexpressible`."""
        return encode.encode(request, target, drop=drop)

    def glance(self, body: bytes) -> Glance:
        """See `reply`. Raises `Garbled`, or `Refused` for a blocked prompt."""
        return replies.glance(body)

    def decode(self, body: bytes) -> ChatReply:
        """See `reply`. Raises `Garbled`, or `Refused` for a blocked prompt."""
        return replies.decode(body)

    def stream_decoder(self) -> StreamDecoder:
        """See `stream`."""
        return StreamDecoder()

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """See `faults`. Never raises."""
        return faults.fault(status, headers, body)

    def quota(self, headers: Mapping[str, str]) -> Quota | None:
        """None: the API has no rate-limit headers, and tells of a limit only when it is reached."""
        return None

    def limits(self, target: Target) -> Limits:
        """See `encode`."""
        return encode.limits_of(target)

    def refit(self, body: bytes, changes: Fit) -> bytes:
        """See `encode`."""
        return encode.refit(body, changes)

    def parse(self, body: bytes) -> ChatRequest:
        """The body alone: it names neither model nor streaming, which `parse_call` takes. Raises `InvalidRequest`."""
        return parse_call(body, "", stream=False)

    def render(self, reply: ChatReply) -> bytes:
        """See `render`."""
        return render.render(reply)

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """See `emit`."""
        return StreamEncoder(request)

    def encode_embedding(self, request: EmbeddingRequest, target: Target, *, drop: bool) -> Call:
        """See `embed`. Raises `Inexpressible`."""
        return embed.encode(request, target, drop=drop)

    def decode_embedding(self, body: bytes) -> EmbeddingReply:
        """See `embed`. Raises `Garbled`."""
        return embed.decode(body)

    def parse_count(self, body: bytes, model: str) -> ChatRequest:
        """See `count`. Raises `InvalidRequest`."""
        return count.parse_count(body, model)

    def encode_count(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """See `count`. Raises `Inexpressible`."""
        return count.encode_count(request, target, drop=drop)

    def decode_count(self, body: bytes) -> int:
        """See `count`. Raises `Garbled`."""
        return count.decode_count(body)

    def render_count(self, tokens: int) -> bytes:
        """See `count`."""
        return count.render_count(tokens)


GEMINI = Gemini()
