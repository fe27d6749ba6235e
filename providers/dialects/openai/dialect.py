"""OpenAI's Chat Completions and Embeddings, seen from both sides; each power lives in its own file."""

from __future__ import annotations

from collections.abc import Mapping

from providers.chat import ChatReply, ChatRequest, EmbeddingReply, EmbeddingRequest, Glance, Usage
from providers.dialect import Call, Fit, Headers, Limits, Profile, Quota, Target
from providers.dialects.openai import embeddings, encode, faults, limits, passed
from providers.dialects.openai import reply as replies
from providers.dialects.openai.emit import StreamEncoder
from providers.dialects.openai.parse import parse
from providers.dialects.openai.stream import StreamDecoder
from providers.errors import Fault


class OpenAI:
    """See `providers.dialect.Dialect` and `EmbeddingDialect`."""

    name = "openai"

    def authorise(self, api_key: str | None, profile: Profile) -> Headers:
        """The key, when there is one: servers at home often want none."""
        return (("authorization", f"Bearer {api_key}"),) if api_key else ()

    def encode(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """See `encode`. Raises `Inexpressible`."""
        return encode.encode(request, target, drop=drop)

    def glance(self, body: bytes) -> Glance:
        """See `reply`. Raises `Garbled`, or the fault that came in the place of an answer."""
        return replies.glance(body)

    def decode(self, body: bytes) -> ChatReply:
        """See `reply`. Raises `Garbled`, or the fault that came in the place of an answer."""
        return replies.decode(body)

    def stream_decoder(self) -> StreamDecoder:
        """See `stream`."""
        return StreamDecoder()

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """See `faults`. Never raises."""
        return faults.fault(status, headers, body)

    def quota(self, headers: Mapping[str, str]) -> Quota | None:
        """See `limits`. Never raises."""
        return limits.quota(headers)

    def limits(self, target: Target) -> Limits:
        """See `encode`."""
        return encode.limits_of(target)

    def refit(self, body: bytes, changes: Fit) -> bytes:
        """See `encode`."""
        return encode.refit(body, changes)

    def parse(self, body: bytes) -> ChatRequest:
        """See `parse`. Raises `InvalidRequest`."""
        return parse(body)

    def render(self, reply: ChatReply) -> bytes:
        """See `reply`."""
        return replies.render(reply)

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """See `emit`."""
        return StreamEncoder(request)

    def encode_completion(self, request: ChatRequest, target: Target) -> Call:
        """See `encode`."""
        return encode.encode_completion(request, target)

    def decode_completion(self, body: bytes) -> ChatReply:
        """See `reply`. Raises `Garbled`, or the fault that came in the place of an answer."""
        return replies.decode_completion(body)

    def glance_passed(self, body: bytes) -> Usage:
        """See `passed`. Raises `Garbled`, or the fault that came in the place of an answer."""
        return passed.glance(body)

    def parse_embedding(self, body: bytes) -> EmbeddingRequest:
        """See `embeddings`. Raises `InvalidRequest`."""
        return embeddings.parse_embedding(body)

    def encode_embedding(self, request: EmbeddingRequest, target: Target, *, drop: bool) -> Call:
        """See `embeddings`. Raises `Inexpressible`."""
        return embeddings.encode_embedding(request, target, drop=drop)

    def decode_embedding(self, body: bytes) -> EmbeddingReply:
        """See `embeddings`. Raises `Garbled`, or the fault that came in the place of an answer."""
        return embeddings.decode_embedding(body)

    def glance_embedding(self, body: bytes) -> Usage:
        """See `embeddings`. Raises `Garbled`, or the fault that came in the place of an answer."""
        return embeddings.glance_embedding(body)

    def render_embedding(self, reply: EmbeddingReply, encoding_format: str) -> bytes:
        """See `embeddings`."""
        return embeddings.render_embedding(reply, encoding_format)


OPENAI = OpenAI()
