"""Counting a prompt's tokens, by `/v1/messages/count_tokens`, on both sides.

The body is that of a message without what bounds or draws the answer; translated prompts leave those fields out.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from providers.chat import ChatRequest, Conversation
from providers.dialect import Call, Target
from providers.dialects import wire
from providers.dialects.anthropic import encode
from providers.dialects.anthropic.parse import parse
from providers.dialects.anthropic.unfold import unfold
from providers.errors import Garbled

PATH = f"{encode.PATH}/count_tokens"
#: The fields of a message that are part of the prompt, by the API reference.
_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")
_encoder = msgspec.json.Encoder()


class _Answer(Struct):
    input_tokens: int


_answer = msgspec.json.Decoder(_Answer)


def parse_count(body: bytes) -> ChatRequest:
    """The prompt to be counted. Raises `InvalidRequest`."""
    fields = wire.fields(body)
    # Required of a message, and no part of a prompt.
    bounded = body if "max_tokens" in fields else wire.edit(body, {"max_tokens": 0})
    request = parse(bounded)
    request.body = body
    request.input_tokens += (len(body) - len(bounded)) // 4
    request.max_tokens = None
    request.unfold = partial(_unbounded, bounded)
    return request


def encode_count(request: ChatRequest, target: Target, *, drop: bool) -> Call:
    """The call to make; a request already in this dialect keeps its bytes as those of a message do.

    Raises `Inexpressible` unless `drop`.
    """
    call = encode.encode(request, target, drop=drop)
    call.path = PATH
    if request.dialect != "anthropic":
        fields = wire.fields(call.body)
        call.body = _encoder.encode({name: fields[name] for name in _COUNTED if name in fields})
    return call


def decode_count(body: bytes) -> int:
    """The tokens. Raises `Garbled`."""
    tokens = wire.read_answer(_answer, body, "anthropic").input_tokens
    if tokens < 0:
        raise Garbled("The provider counted less than no tokens.")
    return tokens


def render_count(tokens: int) -> bytes:
    """The answer in this dialect."""
    return _encoder.encode({"input_tokens": tokens})


def _unbounded(body: bytes) -> Conversation:
    said = unfold(body)
    said.max_tokens = None
    return said
