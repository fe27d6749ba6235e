"""Counting a prompt's tokens, by `countTokens`, on both sides.

A caller sends either `contents` or a whole `generateContentRequest`, whose fields all count; translated prompts are
sent in the second form, since only it has tools and system text. What bounds or draws the answer counts nothing and is
sent along: the API takes it.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from providers.chat import ChatRequest
from providers.dialect import Call, InvalidRequest, Target
from providers.dialects import wire
from providers.dialects.gemini.encode import encode, path_of, resource
from providers.dialects.gemini.parse import parse_call
from providers.errors import Garbled

_WHOLE = ("generateContentRequest", "generate_content_request")
_encoder = msgspec.json.Encoder()


class _Counted(Struct, rename="camel"):
    total_tokens: int | None = None


_counted = msgspec.json.Decoder(_Counted)


def parse_count(body: bytes, model: str) -> ChatRequest:
    """The prompt to be counted, for the `model` of the path. Raises `InvalidRequest`."""
    whole = _whole(wire.fields(body))
    request = parse_call(body if whole is None else bytes(whole[1]), model, stream=False)
    request.body = body
    return request


def encode_count(request: ChatRequest, target: Target, *, drop: bool) -> Call:
    """The call to make; a request already in this dialect keeps its bytes but for the model's name.

    Raises `Inexpressible` unless `drop`.
    """
    path = path_of(target, "countTokens")
    if request.dialect == "gemini":
        return Call(path, _own(request.body, target), request.headers)
    call = encode(request, target, drop=drop)
    asked = {"model": resource(target.upstream), **wire.fields(call.body)}
    return Call(path, _encoder.encode({_WHOLE[0]: asked}), dropped=call.dropped)


def decode_count(body: bytes) -> int:
    """The tokens. Raises `Garbled`."""
    total = wire.read_answer(_counted, body, "gemini").total_tokens
    if total is None:
        raise Garbled("The provider's answer holds no token count.")
    return total


def render_count(tokens: int) -> bytes:
    """The answer in this dialect."""
    return _encoder.encode({"totalTokens": tokens})


def _whole(fields: dict[str, Raw]) -> tuple[str, Raw] | None:
    """The whole request in a body, and the name it stands under."""
    name = next((one for one in _WHOLE if one in fields), None)
    if name is None or bytes(fields[name]) == b"null":
        return None
    if not bytes(fields[name]).startswith(b"{"):
        message = f"Invalid request at '{_WHOLE[0]}': send an object."
        raise InvalidRequest(message, param=_WHOLE[0], code="invalid_type")
    return name, fields[name]


def _own(body: bytes, target: Target) -> bytes:
    """The caller's bytes; a model named in them is the one it goes to."""
    if b'"model"' not in body:
        return body
    whole = _whole(wire.fields(body))
    if whole is None or "model" not in wire.fields(bytes(whole[1])):
        return body
    name, asked = whole
    return wire.edit(body, {name: Raw(wire.edit(bytes(asked), {"model": resource(target.upstream)}))})
