"""Whatever comes in: the right exceptions and no others, and the same chunks however the bytes are split."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_recorded import CONVERSATIONS, TARGET, chunks, events, foreign, names, recorded

from providers.chat import ChatChunk, EmbeddingReply, TextDelta, ToolCallDelta, Usage
from providers.dialect import Inexpressible, InvalidRequest
from providers.dialects.openai import OPENAI
from providers.errors import Fault
from providers.sse import Event, Parser

_WHOLE = [*names("stream_*.sse"), *names("loose_*.sse")]
_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_json = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_word = st.text(max_size=5)


def _mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(good, good, good, _json)


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={name: _mostly(value) for name, value in fields.items()})


_part = _object(
    type=st.sampled_from(["text", "image_url", "input_audio", "file", "refusal", "later"]), text=_word, refusal=_word,
    image_url=_object(url=_word | st.just("data:image/png;base64,QUE="), detail=_word),
    input_audio=_object(data=_word, format=_word), file=_object(file_data=_word, file_id=_word, filename=_word),
    cache_control=_json,
)  # fmt: skip
_called = _object(name=_word, arguments=_word)
_call = _object(
    id=_word, index=st.integers(0, 2), type=st.sampled_from(["function", "custom"]), function=_called,
    extra_content=_object(google=_object(thought_signature=_word)),
)  # fmt: skip
_message = _object(
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]),
    content=_word | st.lists(_part, max_size=3), name=_word, tool_calls=st.lists(_call, max_size=2),
    tool_call_id=_word, refusal=_word, reasoning_content=_word, reasoning=_word, function_call=_called, later=_json,
)  # fmt: skip
_schema = st.dictionaries(_word, _json, max_size=2)
_tool = _object(type=st.sampled_from(["function", "custom"]), function=_object(name=_word, parameters=_schema))
_request = st.fixed_dictionaries(
    {
        "model": _mostly(st.text(min_size=1, max_size=5)),
        "messages": st.lists(_message, max_size=3),
    },
    optional={
        "stream": st.booleans(), "stream_options": _object(include_usage=st.booleans(), later=_json),
        "tools": st.lists(_tool, max_size=2), "metadata": _schema,
        "tool_choice": _word | _object(type=st.sampled_from(["function", "custom"]), function=_object(name=_word)),
        "response_format": _object(
            type=st.sampled_from(["text", "json_object", "json_schema", "later"]),
            json_schema=_object(name=_word, schema=_schema),
        ),
        "reasoning_effort": _word, "modalities": st.lists(_word, max_size=2), "functions": _json, "later": _json,
    },
)  # fmt: skip
_usage = _object(
    prompt_tokens=st.integers(), completion_tokens=st.integers(0, 9), total_tokens=st.integers(0, 9),
    completion_tokens_details=_object(reasoning_tokens=st.integers(0, 3)),
)  # fmt: skip
_reply = _object(
    id=_word, model=_word, created=st.integers(), usage=_usage, object=_word, error=_json,
    choices=st.lists(
        _object(index=st.integers(0, 2), message=_message, delta=_message, finish_reason=_word, logprobs=_json),
        max_size=3,
    ),
)  # fmt: skip


def _in_pieces(stream: bytes, size: int) -> list[ChatChunk]:
    parser, decoder = Parser(), OPENAI.stream_decoder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    return [chunk for piece in pieces for event in parser.feed(piece) for chunk in decoder.feed(event)]


def _plain(said: list[ChatChunk]) -> list[Any]:
    """Chunks as they compare: raw JSON as its bytes."""
    return [(chunk.text, bytes(chunk.logprobs or b"")) if isinstance(chunk, TextDelta) else chunk for chunk in said]


@pytest.mark.parametrize("name", _WHOLE)
@given(size=st.integers(1, 400))
def test_chunks_do_not_depend_on_how_bytes_are_split(name: str, size: int) -> None:
    assert _plain(_in_pieces(recorded(name), size)) == _plain(chunks(recorded(name)))


@pytest.mark.parametrize("name", _WHOLE)
def test_byte_by_byte_gives_the_same_chunks(name: str) -> None:
    assert _plain(_in_pieces(recorded(name), 1)) == _plain(chunks(recorded(name)))


def _understand(body: bytes) -> None:
    request = OPENAI.parse(body)
    OPENAI.encode(request, TARGET, drop=False)
    said = request.conversation()
    json.loads(OPENAI.encode(foreign(said), TARGET, drop=True).body)
    OPENAI.encode(foreign(said), TARGET, drop=False)


@given(_request)
def test_a_request_is_understood_or_refused_as_invalid(request: Any) -> None:
    with contextlib.suppress(InvalidRequest, Inexpressible):
        _understand(json.dumps(request).encode())


@given(_request)
def test_what_is_understood_survives_a_translation(request: Any) -> None:
    """A conversation that can be said in full is the same conversation to whoever reads it."""
    try:
        said = OPENAI.parse(json.dumps(request).encode()).conversation()
        body = OPENAI.encode(foreign(said), TARGET, drop=False).body
    except (InvalidRequest, Inexpressible):
        return
    again = OPENAI.parse(body).conversation()
    assert json.loads(OPENAI.encode(foreign(again), TARGET, drop=False).body) == json.loads(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_understood_or_refused_as_invalid(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest, Inexpressible):
        _understand(body)
    with contextlib.suppress(InvalidRequest):
        OPENAI.parse_embedding(body)
    for read in (OPENAI.glance, OPENAI.decode, OPENAI.decode_embedding, OPENAI.glance_embedding):
        with contextlib.suppress(Fault):
            read(body)


@given(_object(model=_word, input=st.lists(_word | st.integers(), max_size=3), dimensions=st.integers(), user=_word))
def test_an_embedding_request_is_understood_or_refused_as_invalid(request: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        asked = OPENAI.parse_embedding(json.dumps(request).encode())
        OPENAI.encode_embedding(asked, TARGET, drop=False)


@given(_reply | _json)
def test_an_answer_is_understood_or_a_fault(answer: Any) -> None:
    body = json.dumps(answer).encode()
    with contextlib.suppress(Fault):
        OPENAI.glance(body)
    with contextlib.suppress(Fault):
        json.loads(OPENAI.render(OPENAI.decode(body)))


@given(_object(data=st.lists(_object(embedding=_word | st.lists(st.floats(), max_size=2), index=st.integers(0, 1)))))
def test_an_embedding_answer_is_understood_or_a_fault(answer: Any) -> None:
    with contextlib.suppress(Fault):
        OPENAI.render_embedding(OPENAI.decode_embedding(json.dumps(answer).encode()), "base64")


@given(st.lists(_reply, max_size=6))
def test_a_stream_is_understood_or_a_fault(said: list[Any]) -> None:
    decoder = OPENAI.stream_decoder()
    encoder = OPENAI.stream_encoder(foreign(CONVERSATIONS["text"]))
    stream = b""
    with contextlib.suppress(Fault):
        for data in said:
            for chunk in decoder.feed(Event("", json.dumps(data).encode(), b"")):
                stream += encoder.encode(chunk)
    *written, done = events(stream + encoder.end())
    assert all(json.loads(event.data) for event in written)
    assert done.data == b"[DONE]"


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["retry-after", "date", "retry-after-ms"]), st.text()),
    st.binary() | _json,
)
def test_an_error_is_always_a_fault(status: int, headers: dict[str, str], body: Any) -> None:
    for raw in [body] if isinstance(body, bytes) else [json.dumps(body).encode(), json.dumps({"error": body}).encode()]:
        assert isinstance(OPENAI.fault(status, headers, raw), Fault)


_names = [f"x-ratelimit-{which}-{what}" for what in ("requests", "tokens") for which in ("limit", "remaining", "reset")]


@given(st.dictionaries(st.sampled_from(_names), st.text() | st.from_regex(r"[0-9]+[a-z]*", fullmatch=True)))
def test_headers_never_raise(headers: dict[str, str]) -> None:
    OPENAI.quota(headers)


@given(st.lists(st.text(max_size=8), max_size=6))
def test_text_survives_encoding_and_decoding(pieces: list[str]) -> None:
    encoder = OPENAI.stream_encoder(foreign(CONVERSATIONS["text"]))
    stream = b"".join(encoder.encode(TextDelta(piece)) for piece in pieces) + encoder.end()
    assert "".join(chunk.text for chunk in chunks(stream) if isinstance(chunk, TextDelta)) == "".join(pieces)


@given(st.lists(st.dictionaries(st.text(max_size=4), _scalar, max_size=3), max_size=3), st.integers(1, 9))
def test_tool_calls_survive_encoding_and_decoding(arguments: list[dict[str, Any]], size: int) -> None:
    encoder = OPENAI.stream_encoder(foreign(CONVERSATIONS["text"]))
    stream = b""
    for number, value in enumerate(arguments):
        text = json.dumps(value)
        stream += encoder.encode(ToolCallDelta(number, "", f"c{number}", "f"))
        for at in range(0, len(text), size):
            stream += encoder.encode(ToolCallDelta(number, text[at : at + size]))
    said = [""] * len(arguments)
    for chunk in chunks(stream + encoder.end()):
        if isinstance(chunk, ToolCallDelta):
            said[chunk.index] += chunk.arguments
    assert [json.loads(text) for text in said] == arguments


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), min_size=1))
def test_vectors_survive_base64(vectors: list[list[float]]) -> None:
    reply = EmbeddingReply("m", vectors, Usage(1))
    assert OPENAI.decode_embedding(OPENAI.render_embedding(reply, "base64")) == reply
