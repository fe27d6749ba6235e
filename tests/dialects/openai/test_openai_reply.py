"""Whole answers: lenient to compatible servers, strict about what would be passed on as an answer."""

from __future__ import annotations

import json
import sys
from array import array
from typing import Any

import pytest
from msgspec import Raw
from openai_recorded import names, recorded

from providers.chat import (
    ChatReply,
    Choice,
    Citation,
    EmbeddingReply,
    Glance,
    Image,
    Reasoning,
    RefusalText,
    Text,
    ToolCall,
    Usage,
)
from providers.dialect import InvalidRequest
from providers.dialects.openai import OPENAI
from providers.dialects.openai.embeddings import little_endian
from providers.errors import Garbled, Overloaded, Rejected, Throttled


def _message(**message: Any) -> bytes:
    return json.dumps({"id": "r", "choices": [{"message": message, "finish_reason": "stop"}]}).encode()


@pytest.mark.parametrize("name", [*names("answer_*.json"), *names("loose_[!e]*.json")])
def test_a_glance_sees_what_decoding_sees(name: str) -> None:
    reply = OPENAI.decode(recorded(name))
    assert OPENAI.glance(recorded(name)) == Glance(reply.id, reply.model, reply.usage, reply.choices[0].finish_reason)


def test_tokens_follow_the_gateways_convention() -> None:
    usage = OPENAI.decode(recorded("answer_cached_reasoning.json")).usage
    assert usage == Usage(input_tokens=2006, output_tokens=300, cached_tokens=1920, reasoning_tokens=256)
    details = {"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}, "completion_tokens_details": {}}
    body = json.dumps({"choices": [{"message": {}}], "usage": details}).encode()
    assert OPENAI.decode(body).usage == Usage(input_tokens=9, cache_write_tokens=4)


def test_reasoning_counted_beside_the_answer_is_part_of_the_output() -> None:
    usage = OPENAI.decode(recorded("loose_grok.json")).usage
    assert usage == Usage(input_tokens=32, output_tokens=103, cached_tokens=6, reasoning_tokens=94)


def test_what_a_compatible_server_leaves_out_has_a_default() -> None:
    assert OPENAI.decode(recorded("loose_sparse.json")) == ChatReply("", "", [Choice([Text("Hi")], "stop")], Usage())


def test_calls_of_a_compatible_server_get_ids_and_arguments_as_written() -> None:
    reply = OPENAI.decode(recorded("loose_ollama.json"))
    assert reply.created == 1767225600
    thoughts, first, second, third = reply.choices[0].parts
    assert thoughts == Reasoning("I look it up.")
    assert isinstance(first, ToolCall)
    assert (first.id, first.name) == ("chatcmpl-42-0-0", "get_weather")
    assert "48.850" in first.arguments
    assert json.loads(first.arguments) == {"lat": 48.85, "id": 12345678901234567890123}
    assert second == ToolCall("chatcmpl-42-0-1", "now", "{}")
    assert third == ToolCall("c3", "now", "{}")


def test_a_signature_of_a_call_survives() -> None:
    reply = OPENAI.decode(recorded("loose_signed.json"))
    assert reply.choices[0].parts == [ToolCall("c1", "now", "{}", "c2ln")]
    rendered = json.loads(OPENAI.render(reply))["choices"][0]["message"]["tool_calls"][0]
    assert rendered["extra_content"] == {"google": {"thought_signature": "gemini:c2ln"}}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("answer_text", "stop"),
        ("answer_length", "length"),
        ("answer_tools", "tool_calls"),
        ("answer_content_filter", "content_filter"),
        ("answer_refusal", "refusal"),
        ("loose_function_call", "tool_calls"),
        ("loose_parts", "model_length"),
    ],
)
def test_a_reason_is_canonical_or_travels_as_it_is(name: str, reason: str) -> None:
    assert OPENAI.decode(recorded(f"{name}.json")).choices[0].finish_reason == reason


def test_a_text_in_pieces_is_one_text() -> None:
    assert OPENAI.decode(recorded("loose_parts.json")).choices[0].parts == [Text("Hello")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices": null}',
        b'{"choices": {}}',
        b'{"choices": []}',
        b'{"choices": [1]}',
        b'{"choices": [{"message": 1}]}',
    ],
)
def test_a_200_that_is_not_the_dialect_is_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        OPENAI.decode(body)
    with pytest.raises(Garbled):
        OPENAI.glance(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {}, "logprobs": {"x": "\xff"}}]}',
        _message(tool_calls=[{"id": "c"}]),
        _message(tool_calls=[{"id": "c", "function": {"arguments": "{}"}}]),
        _message(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": 1}}]),
        _message(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "?"}}]).replace(b"?", b"\xff"),
        _message(content=[{"type": "image"}]),
    ],
)
def test_an_answer_that_cannot_be_translated_is_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        OPENAI.decode(body)


def test_an_error_with_status_200_is_its_fault() -> None:
    for read in (OPENAI.decode, OPENAI.glance):
        with pytest.raises(Throttled, match="Provider returned error"):
            read(recorded("loose_error_in_200.json"))
    with pytest.raises(Rejected):
        OPENAI.decode(b'{"object": "error", "message": "x", "type": "BadRequestError", "code": 400}')
    with pytest.raises(Overloaded):
        OPENAI.decode(b'{"error": "out of memory"}')


def test_what_other_providers_say_is_rendered_where_clients_look_for_it() -> None:
    parts = [
        Reasoning("hm, ", "anthropic:c2ln"),
        Reasoning("yes"),
        Reasoning(redacted="anthropic:ZGF0YQ=="),
        Reasoning(signature="gemini:c2Vhb"),
        Text("A "),
        Text("picture."),
        Image(data="QUE=", media_type="image/png"),
        Image(url="https://x/y.png"),
    ]
    choice = Choice([*parts], "pause_turn", logprobs=Raw(b'{"content":null}'))
    usage = Usage(5, 7, cached_tokens=3, cache_write_tokens=1, reasoning_tokens=2)
    assert json.loads(OPENAI.render(ChatReply("r", "m", [choice], usage, 12, "default"))) == {
        "id": "r",
        "object": "chat.completion",
        "created": 12,
        "model": "m",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "finish_reason": "pause_turn",
                "logprobs": {"content": None},
                "message": {
                    "role": "assistant",
                    "content": "A picture.",
                    "refusal": None,
                    "reasoning_content": "hm, yes",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "hm, ", "signature": "anthropic:c2ln"},
                        {"type": "reasoning.encrypted", "data": "anthropic:ZGF0YQ=="},
                        {"type": "reasoning.text", "text": "", "signature": "gemini:c2Vhb"},
                    ],
                    "images": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUE="}},
                        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    ],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


@pytest.mark.parametrize(
    ("parts", "reason"),
    [([RefusalText("No.")], "stop"), ([Text("The poi")], "content_filter")],
)
def test_a_refusal_in_words_stops_and_one_without_was_filtered(parts: list[Any], reason: str) -> None:
    rendered = json.loads(OPENAI.render(ChatReply("r", "m", [Choice(parts, "refusal")], Usage())))
    assert rendered["choices"][0]["finish_reason"] == reason


# Embeddings


@pytest.mark.parametrize(
    ("given", "inputs", "tokens"),
    [
        ("abcde", ["abcde"], 2),
        (["a", "äöü"], ["a", "äöü"], 3),
        ([1, 2, 3], [[1, 2, 3]], 3),
        ([[1, 2], [3]], [[1, 2], [3]], 3),
    ],
)
def test_embedding_inputs_are_lists(given: Any, inputs: Any, tokens: int) -> None:
    body = json.dumps({"model": "m", "input": given, "encoding_format": "base64", "later": 1, "user": None}).encode()
    request = OPENAI.parse_embedding(body)
    assert (request.inputs, request.input_tokens, request.encoding_format) == (inputs, tokens, "base64")
    assert (request.dialect, request.model, request.body) == ("openai", "m", body)
    assert {name: bytes(raw) for name, raw in request.extra.items()} == {"later": b"1"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": ""}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["x", ""]}, "input"),
        ({"model": "m", "input": [[]]}, "input"),
        ({"model": "m", "input": ["x", 1]}, "input"),
        ({"model": "m", "input": ["x"] * 2049}, "input"),
        ({"model": "m", "input": "x", "dimensions": 0}, "dimensions"),
        ({"model": "m", "input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_a_wrong_embedding_request_is_told_where(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        OPENAI.parse_embedding(json.dumps(fields).encode())
    assert caught.value.param == param


@pytest.mark.parametrize("name", names("embeddings_*.json"))
def test_embedding_tokens_are_seen_at_a_glance(name: str) -> None:
    assert OPENAI.glance_embedding(recorded(name)) == OPENAI.decode_embedding(recorded(name)).usage == Usage(8)


def test_vectors_stand_in_the_order_of_their_numbers() -> None:
    body = b'{"data": [{"embedding": [2], "index": 1}, {"embedding": [1], "index": 0}]}'
    assert OPENAI.decode_embedding(body) == EmbeddingReply("", [[1.0], [2.0]], Usage())
    assert OPENAI.decode_embedding(b'{"data": [{"embedding": [2]}]}').vectors == [[2.0]]


@pytest.mark.parametrize(
    "data", ["[]", '[{"embedding": [1], "index": 1}]', '[{"embedding": "QUE"}]', '[{"embedding": "QUE="}]', "[1]"]
)
def test_vectors_that_cannot_be_placed_or_read_are_garbled(data: str) -> None:
    with pytest.raises(Garbled):
        OPENAI.decode_embedding(f'{{"data": {data}}}'.encode())


def test_an_empty_or_failed_embedding_answer_is_a_fault() -> None:
    with pytest.raises(Garbled):
        OPENAI.glance_embedding(b"{}")
    with pytest.raises(Throttled):
        OPENAI.glance_embedding(recorded("loose_error_in_200.json"))
    with pytest.raises(Rejected):
        OPENAI.decode_embedding(b'{"object": "error", "message": "x", "type": "BadRequestError", "code": 400}')


def test_sources_travel_both_ways() -> None:
    source = {"url": "https://x/a", "title": "A", "start_index": 3, "end_index": 7}
    notes = [{"type": "url_citation", "url_citation": source}, {"type": "later"}]
    message = {"role": "assistant", "content": "Ça est.", "annotations": notes}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    reply = OPENAI.decode(json.dumps(body).encode())
    assert reply.choices[0].citations == [Citation("https://x/a", "A", 3, 7)]
    assert json.loads(OPENAI.render(reply))["choices"][0]["message"]["annotations"] == notes[:1]


def test_a_vector_has_the_wires_order_of_bytes_on_any_machine() -> None:
    wire = b"\x00\x00\x80\x3f\x00\x00\x00\x40"  # 1.0 and 2.0
    native = array("f", [1.0, 2.0])
    assert little_endian(array("f", native), sys.byteorder).tobytes() == wire
    # Another machine's memory, in which they stand the other way round; and back again.
    other = little_endian(array("f", wire), "big")
    assert other.tobytes() == b"\x3f\x80\x00\x00\x40\x00\x00\x00"
    assert little_endian(other, "big").tobytes() == wire
