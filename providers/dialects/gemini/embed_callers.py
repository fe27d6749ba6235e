"""Embeddings as Gemini's callers ask for them: `embedContent` for one content, `batchEmbedContents` for many.

What another provider embeds is a text. A content of one text is one, whoever its `role` is. One of several parts or of
a picture is not: Google does not say how it joins them, and no choice of ours would give the vector that was asked for.
Such contents go to Gemini alone, as do the contents of a batch that want vectors of unlike length. `taskType` and
`title`, which tell Gemini what the vector is for, have no equivalent elsewhere and may be dropped aloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from providers.chat import EmbeddingReply, EmbeddingRequest, Json, Usage
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.gemini.names import BATCH_EMBEDDING, EMBEDDING, camel, spelled
from providers.dialects.gemini.wire import Content, Sent, present
from providers.errors import Garbled

_ABSENT = Raw(b"null")
#: What asks for nothing.
_UNSPECIFIED = b'"TASK_TYPE_UNSPECIFIED"'
Verb = Literal["embedContent", "batchEmbedContents"]


class _Config(Sent):
    """What may be said of a vector, of which older callers write the first three beside the content."""

    output_dimensionality: Annotated[int, Meta(ge=1)] | None = None
    task_type: Raw = _ABSENT
    title: Raw = _ABSENT
    auto_truncate: Raw = _ABSENT
    document_ocr: Raw = _ABSENT
    audio_track_extraction: Raw = _ABSENT


class _One(_Config, kw_only=True):
    content: Content
    model: str | None = None
    embed_content_config: _Config | None = None


class _Batch(Sent):
    requests: Annotated[list[_One], Meta(min_length=1)]


class _Vectors(msgspec.Struct, rename="camel"):
    embedding: Raw = _ABSENT
    embeddings: list[Raw] | None = None
    usage_metadata: _Counted | None = None


class _Counted(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


_one = msgspec.json.Decoder(_One)
_batch = msgspec.json.Decoder(_Batch)
_vectors = msgspec.json.Decoder(_Vectors)
_encoder = msgspec.json.Encoder()


def parse_embedding(body: bytes, model: str, verb: Verb) -> EmbeddingRequest:
    """The typed view of a caller's body, for the `model` of the path. Raises `InvalidRequest`."""
    is_batch = verb == "batchEmbedContents"
    read = spelled(body, BATCH_EMBEDDING if is_batch else EMBEDDING)
    asked = wire.read_request(_batch, read.body).requests if is_batch else [wire.read_request(_one, read.body)]
    where = "requests." if is_batch else ""
    extra = dict(read.strangers)
    strange: list[str] = []
    inputs: list[str] = []
    lengths: set[int | None] = set()
    for one in asked:
        inputs.append(_text(one.content, f"{where}content.parts", strange))
        lengths.add(_length(one))
        extra.update((where + name, said) for name, said in _said(one))
    if len(lengths) > 1:
        strange.append(f"{where}outputDimensionality")
    return EmbeddingRequest(
        dialect="gemini",
        body=body,
        model=model.removeprefix("models/"),
        inputs=inputs,
        dimensions=lengths.pop(),
        input_tokens=sum(-(-len(text.encode()) // 4) for text in inputs),
        extra=extra,
        unlike=tuple(dict.fromkeys(strange)),
    )


def _text(content: Content, path: str, strange: list[str]) -> str:
    """The texts of a content; what makes it more than one text is named in `strange`."""
    parts = content.parts or []
    if not parts:
        raise InvalidRequest(f"'{path}' must hold at least one part.", param=path, code="invalid_value")
    for part in parts:
        strange += [f"{path}.{camel(name)}" for name in ("inline_data", "file_data") if getattr(part, name) is not None]
    if len(parts) > 1 or (parts[0].text is None and not strange):
        strange.append(path)
    return "".join(part.text or "" for part in parts)


def _length(one: _One) -> int | None:
    within = one.embed_content_config.output_dimensionality if one.embed_content_config else None
    return one.output_dimensionality if within is None else within


def _said(one: _One) -> Iterator[tuple[str, Raw]]:
    """What else is said of a vector, by its path."""
    for config, where in ((one, ""), (one.embed_content_config, "embedContentConfig.")):
        for name in ("task_type", "title", "auto_truncate", "document_ocr", "audio_track_extraction"):
            said: Raw = getattr(config, name, _ABSENT)
            if present(said) and bytes(said) != _UNSPECIFIED:
                yield where + camel(name), said


class EmbeddingForm:
    """How the answer to one of the two is written."""

    name = "gemini"

    def __init__(self, verb: Verb) -> None:
        """Of this one."""
        self._is_batch = verb == "batchEmbedContents"

    def glance_embedding(self, body: bytes) -> Usage:
        """The tokens of an answer that is passed on untouched; none where it does not count. Raises `Garbled`."""
        told = wire.read_answer(_vectors, body, "gemini")
        if told.embeddings is None and not present(told.embedding):
            raise Garbled("The provider's answer holds no embeddings.")
        return Usage(input_tokens=(told.usage_metadata and told.usage_metadata.prompt_token_count) or 0)

    def render_embedding(self, reply: EmbeddingReply, encoding_format: str) -> bytes:
        """A complete answer; there is one form of numbers."""
        rows: list[Json] = [{"values": vector} for vector in reply.vectors]
        answer: Json = {"embeddings": rows} if self._is_batch else {"embedding": rows[0]}
        return _encoder.encode({**answer, "usageMetadata": {"promptTokenCount": reply.usage.input_tokens}})
