"""Anthropic's Messages API, seen from both sides; each power lives in its own file."""

from __future__ import annotations

from collections.abc import Mapping

from providers.chat import ChatReply, ChatRequest, Glance
from providers.dialect import Call, Fit, Headers, Limits, Profile, Quota, Target
from providers.dialects.anthropic import count, encode, faults, models
from providers.dialects.anthropic import reply as replies
from providers.dialects.anthropic.emit import StreamEncoder
from providers.dialects.anthropic.parse import parse
from providers.dialects.anthropic.stream import StreamDecoder
from providers.errors import Fault


class Anthropic:
    """See `providers.dialect.Dialect` and `CountingDialect`."""

    name = "anthropic"

    def authorise(self, api_key: str | None, profile: Profile) -> Headers:
        """The key, when there is one, and the API version, without which every call is refused.

        The key goes out as `x-api-key`, which every API version takes; the official SDK 2 sends a bearer token.
        The default version, 2023-06-01, takes everything that the later 2026-10-21 takes, and the sampling parameters
        that this one removed: so whatever version a caller was written for, its bytes are understood.
        """
        version = ("anthropic-version", profile.anthropic_version)
        return (("x-api-key", api_key), version) if api_key else (version,)

    def encode(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """See `encode`. Raises `Inexpressible`."""
        return encode.encode(request, target, drop=drop)

    def glance(self, body: bytes) -> Glance:
        """See `reply`. Raises `Garbled`."""
        return replies.glance(body)

    def decode(self, body: bytes) -> ChatReply:
        """See `reply`. Raises `Garbled`."""
        return replies.decode(body)

    def stream_decoder(self) -> StreamDecoder:
        """See `stream`."""
        return StreamDecoder()

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """See `faults`. Never raises."""
        return faults.fault(status, headers, body)

    def quota(self, headers: Mapping[str, str]) -> Quota | None:
        """See `faults`. Never raises."""
        return faults.quota(headers)

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
        """See `reply`. Raises `Garbled` for an answer this format cannot hold."""
        return replies.render(reply)

    def prefills(self, target: Target) -> bool:
        """See `models`: those before Claude 4.6 do."""
        return models.prefills(target.upstream)

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """See `emit`."""
        return StreamEncoder(request)

    def parse_count(self, body: bytes) -> ChatRequest:
        """See `count`. Raises `InvalidRequest`."""
        return count.parse_count(body)

    def encode_count(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """See `count`. Raises `Inexpressible`."""
        return count.encode_count(request, target, drop=drop)

    def decode_count(self, body: bytes) -> int:
        """See `count`. Raises `Garbled`."""
        return count.decode_count(body)

    def render_count(self, tokens: int) -> bytes:
        """See `count`."""
        return count.render_count(tokens)


ANTHROPIC = Anthropic()
