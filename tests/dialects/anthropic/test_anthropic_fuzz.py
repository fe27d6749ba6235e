"""Whatever comes in: the right exceptions and no others, and the same chunks however the bytes are split."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from anthropic_recorded import CONVERSATIONS, TARGET, chunks, foreign, names, recorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.chat import ChatChunk, Conversation, TextDelta, ToolCallDelta
from providers.dialect import Inexpressible, InvalidRequest
from providers.dialects.anthropic import ANTHROPIC
from providers.errors import Fault
from providers.sse import Event, Parser

#: Deterministic, and without clocks: a loaded machine is no failure.
_fuzz = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_WHOLE = [name for name in names("stream_*.sse") if name != "stream_error.sse"]
_KINDS = ["text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result", "later"]
_EVENTS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "error",
]
_DELTAS = ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "later"]

_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
_json = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(good, good, good, _json)


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={name: _mostly(value) for name, value in fields.items()})


_word = st.text(max_size=5)
_source = _object(
    type=st.sampled_from(["base64", "url", "text", "file", "content"]),
    data=_word,
    url=_word,
    file_id=_word,
    media_type=_word,
)
_block = _object(
    type=st.sampled_from(_KINDS), text=_word, source=_source, thinking=_word, signature=_word, data=_word, id=_word,
    name=_word, input=st.dictionaries(_word, _scalar, max_size=2), tool_use_id=_word,
    content=_word | st.lists(_object(type=st.sampled_from(_KINDS), text=_word, source=_source), max_size=2),
    citations=_json, cache_control=_json, is_error=st.booleans(),
)  # fmt: skip
_message = _object(role=st.sampled_from(["user", "assistant", "system"]), content=_word | st.lists(_block, max_size=3))
_request = _object(
    model=_word, max_tokens=st.integers(0, 9), messages=st.lists(_message, max_size=3), system=_word | st.lists(_block),
    tools=st.lists(_object(type=st.just("custom"), name=_word, input_schema=st.just({})), max_size=2),
    tool_choice=_object(type=st.sampled_from(["auto", "any", "tool", "none"]), name=_word), stream=st.booleans(),
    thinking=_object(type=st.sampled_from(["enabled", "adaptive", "disabled"]), budget_tokens=st.integers(1024, 9000)),
    output_config=_object(effort=_word, format=_object(type=st.just("json_schema"), schema=st.just({}))),
    metadata=_object(user_id=_word), service_tier=_word, later=_json,
)  # fmt: skip
_usage = _object(input_tokens=st.integers(), output_tokens=st.integers(), cache_read_input_tokens=st.integers())
_answer = _object(
    id=_word, model=_word, content=st.lists(_block, max_size=3), usage=_usage, stop_reason=_word,
    stop_details=_object(explanation=_word),
)  # fmt: skip
_event = _object(
    type=st.sampled_from(_EVENTS), index=st.integers(0, 2), message=_answer, content_block=_block, usage=_usage,
    delta=_object(type=st.sampled_from(_DELTAS), text=_word, thinking=_word, partial_json=_word, stop_reason=_word),
    error=_object(type=_word, message=_word, details=_object(error_code=_word)),
)  # fmt: skip


def _in_pieces(stream: bytes, size: int) -> list[ChatChunk]:
    parser, decoder = Parser(), ANTHROPIC.stream_decoder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    return [chunk for piece in pieces for event in parser.feed(piece) for chunk in decoder.feed(event)]


@pytest.mark.parametrize("name", _WHOLE)
@_fuzz
@given(size=st.integers(1, 400))
def test_chunks_do_not_depend_on_how_bytes_are_split(name: str, size: int) -> None:
    assert _in_pieces(recorded(name), size) == chunks(recorded(name))


@pytest.mark.parametrize("name", _WHOLE)
def test_byte_by_byte_gives_the_same_chunks(name: str) -> None:
    assert _in_pieces(recorded(name), 1) == chunks(recorded(name))


def _understand(body: bytes) -> None:
    request = ANTHROPIC.parse(body)
    ANTHROPIC.encode(request, TARGET, drop=False)
    said = request.conversation()
    json.loads(ANTHROPIC.encode(foreign(said), TARGET, drop=True).body)
    ANTHROPIC.encode(foreign(said), TARGET, drop=False)


@_fuzz
@given(_request)
def test_a_request_is_understood_or_refused_as_invalid(request: Any) -> None:
    with contextlib.suppress(InvalidRequest, Inexpressible):
        _understand(json.dumps(request).encode())


@_fuzz
@given(st.binary(max_size=60))
def test_any_bytes_are_understood_or_refused_as_invalid(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest, Inexpressible):
        _understand(body)


@_fuzz
@given(_answer | _json)
def test_an_answer_is_understood_or_a_fault(answer: Any) -> None:
    body = json.dumps(answer).encode()
    with contextlib.suppress(Fault):
        ANTHROPIC.glance(body)
    with contextlib.suppress(Fault):
        json.loads(ANTHROPIC.render(ANTHROPIC.decode(body)))


@_fuzz
@given(st.lists(_event, max_size=6))
def test_a_stream_is_understood_or_a_fault(events: list[Any]) -> None:
    decoder = ANTHROPIC.stream_decoder()
    encoder = ANTHROPIC.stream_encoder(foreign(CONVERSATIONS["text"]))
    with contextlib.suppress(Fault):
        for event in events:
            for chunk in decoder.feed(Event("", json.dumps(event).encode(), b"")):
                encoder.encode(chunk)
    encoder.end()


@_fuzz
@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["retry-after", "date", "retry-after-ms"]), st.text()),
    st.binary() | _json,
)
def test_an_error_is_always_a_fault(status: int, headers: dict[str, str], body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps({"error": body}).encode()
    assert isinstance(ANTHROPIC.fault(status, headers, raw), Fault)


_names = [
    f"anthropic-ratelimit-{what}-{which}"
    for what in ("requests", "tokens")
    for which in ("limit", "remaining", "reset")
]


@_fuzz
@given(st.dictionaries(st.sampled_from([*_names, "date"]), st.text()))
def test_headers_never_raise(headers: dict[str, str]) -> None:
    ANTHROPIC.quota(headers)


@_fuzz
@given(st.lists(st.text(max_size=8), max_size=6))
def test_text_survives_encoding_and_decoding(pieces: list[str]) -> None:
    encoder = ANTHROPIC.stream_encoder(foreign(Conversation([])))
    stream = b"".join(encoder.encode(TextDelta(piece)) for piece in pieces) + encoder.end()
    assert "".join(chunk.text for chunk in chunks(stream) if isinstance(chunk, TextDelta)) == "".join(pieces)


@_fuzz
@given(st.lists(st.dictionaries(st.text(max_size=4), _scalar, max_size=3), max_size=3), st.integers(1, 9))
def test_tool_calls_survive_encoding_and_decoding(arguments: list[dict[str, Any]], size: int) -> None:
    encoder = ANTHROPIC.stream_encoder(foreign(Conversation([])))
    stream = b""
    for number, value in enumerate(arguments):
        text = json.dumps(value)
        stream += encoder.encode(ToolCallDelta(number, "", f"t{number}", "f"))
        for at in range(0, len(text), size):
            stream += encoder.encode(ToolCallDelta(number, text[at : at + size]))
    stream += encoder.end()
    said = [""] * len(arguments)
    for chunk in chunks(stream):
        if isinstance(chunk, ToolCallDelta):
            said[chunk.index] += chunk.arguments
    assert [json.loads(text) for text in said] == arguments
