"""Embeddings, on both sides: `/embeddings`.

Limits: a request in another dialect asks for plain numbers; a caller may have either form, whichever the provider sent.
Numbers travel as little-endian 32-bit floats in base64, which is what the official SDK asks for when nothing is said.
"""

from __future__ import annotations

import binascii
import sys
from array import array
from base64 import b64encode
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Raw, Struct

from providers.chat import EmbeddingReply, EmbeddingRequest, Json, Usage
from providers.dialect import Call, Inexpressible, InvalidRequest, Target
from providers.dialects import wire
from providers.dialects.openai.answers import Count, garbled
from providers.dialects.openai.faults import fault_in
from providers.dialects.openai.shapes import ABSENT, NULL

PATH = "/embeddings"
#: The reference's bound on the inputs of one request; it bounds token arrays too, but by the model's window.
_MAX_INPUTS = 2048


class _Request(Struct):
    model: Annotated[str, Meta(min_length=1)]
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class _Counted(Struct):
    prompt_tokens: Count | None = None
    total_tokens: Count | None = None


class _Vector(Struct):
    embedding: str | list[float]
    index: int | None = None


class _Answer(Struct):
    data: list[_Vector] = []
    model: str | None = None
    usage: _Counted | None = None
    object: str | None = None
    error: Raw = ABSENT


class _Glimpse(Struct):
    data: list[Raw] = []
    usage: _Counted | None = None
    object: str | None = None
    error: Raw = ABSENT


_request = msgspec.json.Decoder(_Request)
_answer = msgspec.json.Decoder(_Answer)
_glimpse = msgspec.json.Decoder(_Glimpse)
_encoder = msgspec.json.Encoder()


def parse_embedding(body: bytes) -> EmbeddingRequest:
    """The typed view of a caller's body. Raises `InvalidRequest`."""
    request = wire.read_request(_request, body)
    inputs = _inputs(request.input)
    known = request.__struct_fields__
    extra = {name: raw for name, raw in wire.fields(body).items() if name not in known and bytes(raw) != NULL}
    return EmbeddingRequest(
        dialect="openai",
        body=body,
        model=request.model,
        inputs=inputs,
        dimensions=request.dimensions,
        encoding_format=request.encoding_format or "float",
        input_tokens=sum(_tokens(one) for one in inputs),
        user=request.user,
        extra=extra,
    )


def encode_embedding(request: EmbeddingRequest, target: Target, *, drop: bool) -> Call:
    """The call to make; a request in this dialect keeps its bytes but for the model's name. Raises `Inexpressible`."""
    if request.dialect == "openai":
        body = request.body
        return Call(PATH, body if target.upstream == request.model else wire.edit(body, {"model": target.upstream}))
    lost = tuple(request.extra)
    if request.unlike or (lost and not drop):
        raise Inexpressible((*request.unlike, *lost), "openai")
    written: Json = {"model": target.upstream, "input": request.inputs}
    if request.dimensions is not None:
        written["dimensions"] = request.dimensions
    if request.user is not None:
        written["user"] = request.user
    return Call(PATH, _encoder.encode(written), dropped=lost)


def decode_embedding(body: bytes) -> EmbeddingReply:
    """The vectors, in the order of the inputs. Raises `Garbled`, or the fault the answer holds."""
    answer = wire.read_answer(_answer, body, "openai")
    _check(answer, body)
    placed = {at if one.index is None else one.index: one for at, one in enumerate(answer.data)}
    if sorted(placed) != list(range(len(answer.data))):
        raise garbled("its vectors are not numbered from 0")
    vectors = [_floats(placed[at].embedding) for at in range(len(placed))]
    return EmbeddingReply(answer.model or "", vectors, _usage(answer.usage))


def glance_embedding(body: bytes) -> Usage:
    """The tokens of an answer that is passed on untouched. Raises `Garbled`, or the fault the answer holds."""
    seen = wire.read_answer(_glimpse, body, "openai")
    _check(seen, body)
    return _usage(seen.usage)


def render_embedding(reply: EmbeddingReply, encoding_format: str) -> bytes:
    """A complete answer in this dialect; `encoding_format` is `float` or `base64`."""
    packed = encoding_format == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(vector) if packed else vector}
        for at, vector in enumerate(reply.vectors)
    ]
    tokens = reply.usage.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encoder.encode({"object": "list", "data": data, "model": reply.model, "usage": usage})


def _inputs(given: str | list[str | int | list[int]]) -> list[str] | list[list[int]]:
    """The inputs as a list of one kind. Raises `InvalidRequest`."""
    if isinstance(given, str):
        given = [given]
    kinds = {type(one) for one in given}
    if kinds == {int}:
        return [cast("list[int]", given)]
    if len(kinds) > 1:
        raise _invalid("send texts, or arrays of token ids, not both")
    if not all(given):
        raise _invalid("an input may not be empty")
    if len(given) > _MAX_INPUTS:
        raise _invalid(f"send at most {_MAX_INPUTS} inputs in one request, this one has {len(given)}")
    return cast("list[str] | list[list[int]]", given)


def _invalid(what: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid request at 'input': {what}.", param="input", code="invalid_value")


def _tokens(one: str | list[int]) -> int:
    """How many tokens: exactly for token ids, else a quarter of the bytes, rounded up as none is empty."""
    return len(one) if isinstance(one, list) else -(-len(one.encode()) // 4)


def _check(answer: _Answer | _Glimpse, body: bytes) -> None:
    if bytes(answer.error) != NULL or answer.object == "error":
        raise fault_in(body)
    if not answer.data:
        raise garbled("it has no data")


def _usage(counted: _Counted | None) -> Usage:
    if counted is None:
        return Usage()
    return Usage(input_tokens=counted.prompt_tokens or counted.total_tokens or 0)


def _floats(given: str | list[float]) -> list[float]:
    if isinstance(given, list):
        return given
    try:
        packed = binascii.a2b_base64(given)
        numbers = array("f", packed)
    except ValueError as exc:
        raise garbled(f"a vector is not base64 of 32-bit floats: {exc}") from exc
    return little_endian(numbers).tolist()


def _packed(vector: list[float]) -> str:
    return b64encode(little_endian(array("f", vector)).tobytes()).decode()


def little_endian(numbers: array[float], order: Literal["little", "big"] = sys.byteorder) -> array[float]:
    """The wire's order of bytes made of a machine's, or the other way round."""
    if order == "big":
        numbers.byteswap()
    return numbers
