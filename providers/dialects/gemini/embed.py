"""Embeddings of Gemini's models, for everybody: by `batchEmbedContents`, one request for one text and for many.

A request in this dialect (`embed_callers`) keeps its bytes but for the model's name, and asks by the verb it came with.

Limits: texts only (Gemini has no token ids of others), 100 in a call, nobody to name as the user. `encoding_format` is
how the caller is answered and changes nothing here. Dropping helps with fields, not with inputs: those always raise.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from providers.chat import EmbeddingReply, EmbeddingRequest, Json, Usage
from providers.dialect import Call, Inexpressible, Target
from providers.dialects import wire
from providers.dialects.gemini.encode import path_of, resource
from providers.errors import Garbled

#: "at most 100 requests can be in one batch", says the API beyond it.
MAX_INPUTS = 100
_encoder = msgspec.json.Encoder()


class _Values(Struct):
    values: list[float]


class _Usage(Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Vectors(Struct, rename="camel"):
    embeddings: list[_Values] | None = None
    usage_metadata: _Usage | None = None


_asks = msgspec.json.Decoder(list[dict[str, Raw]])
_vectors = msgspec.json.Decoder(_Vectors)


def encode(request: EmbeddingRequest, target: Target, *, drop: bool) -> Call:
    """The call to make. Raises `Inexpressible` for inputs it cannot take, and for fields unless `drop`."""
    if request.dialect == "gemini":
        return _own(request.body, target)
    lost = list(request.extra)
    if request.user is not None:
        lost.append("user")
    texts = [text for text in request.inputs if isinstance(text, str)]
    unfit = len(texts) < len(request.inputs) or len(texts) > MAX_INPUTS
    if unfit:
        lost.append("input")
    if unfit or (lost and not drop):
        raise Inexpressible(tuple(lost), "gemini")
    model = resource(target.upstream)
    asks: list[Json] = [{"model": model, "content": {"parts": [{"text": text}], "role": "user"}} for text in texts]
    if request.dimensions is not None:
        asks = [{**ask, "outputDimensionality": request.dimensions} for ask in asks]
    return Call(path_of(target, "batchEmbedContents"), _encoder.encode({"requests": asks}), dropped=tuple(lost))


def _own(body: bytes, target: Target) -> Call:
    fields = wire.fields(body)
    model = resource(target.upstream)
    if "requests" not in fields:
        named = "model" in fields
        return Call(path_of(target, "embedContent"), wire.edit(body, {"model": model}) if named else body)
    # Each of them names the model; the API wants the same of all.
    asks = [{**ask, "model": model} for ask in _asks.decode(fields["requests"])]
    return Call(path_of(target, "batchEmbedContents"), wire.edit(body, {"requests": asks}))


def decode(body: bytes) -> EmbeddingReply:
    """The vectors; `model` is empty, as the answer names none. Raises `Garbled`.

    Usage came late to these answers: without it the count is 0, which the gateway may replace by its estimate.
    """
    told = wire.read_answer(_vectors, body, "gemini")
    if told.embeddings is None:
        raise Garbled("The provider's answer holds no embeddings.")
    tokens = told.usage_metadata.prompt_token_count if told.usage_metadata else None
    return EmbeddingReply("", [vector.values for vector in told.embeddings], Usage(input_tokens=tokens or 0))
