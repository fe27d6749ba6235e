"""Whatever a body says, its sender is answered or refused: no way in has a defect, and no provider is blamed for it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.driving import OPENAI, PIXEL, World

GEMINI_PATH = f"/v1beta/models/{OPENAI.replace('/', '%2F')}:"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
SOURCE = {"type": "base64", "media_type": "image/png", "data": PIXEL}
#: A body of each way in that uses most of what it understands.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}, IMAGE]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "d"},
        ],
        **{"tools": [TOOL], "tool_choice": "auto", "temperature": 1, "top_p": 1, "stop": ["x"], "n": 1, "seed": 1},
        **{"max_tokens": 5, "response_format": {"type": "json_object"}, "metadata": {"a": "b"}, "user": "u"},
        **{"stream": False, "stream_options": None, "logprobs": False, "reasoning_effort": "low"},
    },
    "/v1/messages": {
        "max_tokens": 5,
        "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "image", "source": SOURCE}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "d"}]},
        ],
        **{"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"}},
        **{"temperature": 1, "stop_sequences": ["x"], "metadata": {"user_id": "u"}, "stream": False},
    },
    "/v1/responses": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "d"},
        ],
        **{"instructions": "b", "tools": [{"type": "function", "name": "f", "parameters": {}}], "store": False},
        **{"text": {"format": {"type": "text"}}, "reasoning": {"effort": "low"}, "max_output_tokens": 20},
    },
    f"{GEMINI_PATH}generateContent": {
        "systemInstruction": {"parts": [{"text": "a"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "b"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
        "generationConfig": {"temperature": 1, "maxOutputTokens": 5, "stopSequences": ["x"], "candidateCount": 1},
    },
    "/v1/embeddings": {"input": ["a", "b"], "encoding_format": "float", "dimensions": 3, "user": "u"},
    "/v1/completions": {"prompt": ["a", "b"], "max_tokens": 5, "echo": True, "logprobs": 1, "suffix": None, "n": 1},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "a"}], "tools": [], "system": "b"},
    f"{GEMINI_PATH}countTokens": {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
    "/v1beta/models/sim-embed:embedContent": {
        "content": {"parts": [{"text": "a"}]},
        "outputDimensionality": 3,
        "title": "b",
    },
    "/v1beta/models/sim-embed:batchEmbedContents": {
        "requests": [{"model": "models/sim-embed", "content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING"}]
    },
    "/v1/responses/input_tokens": {"input": [{"role": "user", "content": "a"}], "instructions": "b", "tools": []},
    "/v1/moderations": {"input": [{"type": "text", "text": "a"}]},
    "/v1/images/generations": {"prompt": "a", "n": 1, "size": "1x1", "response_format": "b64_json"},
    "/v1/audio/speech": {"input": "a", "voice": "b", "response_format": "mp3", "speed": 1},
    "/api/llm/orchestrate": {
        **{"prompt": "a", "providers": ["sim-openai"], "mode": "route", "strategy": "cost", "session_id": None},
        **{"objective": {"latency": 1, "cost": 0, "errors": 0, "quality": 0}, "cache": {"ttl": 1, "refresh": True}},
        **{"timeout": 5, "metadata": {"a": "b"}, "temperature": 0, "stop": "x", "tools": [TOOL], "stream": False},
    },
}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "\x00", "\ud800", "data:,", "auto", "user", "text", "function", "object", "-1", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for step, inner in steps for found in places(inner, (*path, step)))]


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The tree with something else at that place; Ellipsis: with nothing."""
    if not path:
        return value
    made = copy.deepcopy(tree)
    holder = made
    for step in path[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return made


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.rpartition("/")[2].rpartition(":")[2])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_body_with_anything_anywhere_is_answered_or_refused(world: World, path: str, data: st.DataObject) -> None:
    body = {"model": "sim-embed" if "embed" in path else OPENAI, **BODIES[path]}
    for _ in range(data.draw(st.integers(1, 2))):
        spots = places(body)[1:]
        if spots:
            place = data.draw(st.sampled_from(spots))
            body = changed(body, place, data.draw(st.just(...) | ANYTHING))
    answer = world.post(path, json.dumps(body).encode())
    assert answer.status < 500, (body, answer.body)
    if answer.status >= 400:
        assert answer.json["error"]["message"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(BODIES)), st.binary(max_size=60), st.integers(0, 400))
def test_bytes_that_are_no_json_are_refused(world: World, path: str, junk: bytes, at: int) -> None:
    good = json.dumps({"model": OPENAI, **BODIES[path]}).encode()
    answer = world.post(path, good[:at] + junk + good[at + len(junk) :])
    assert answer.status < 500, answer.body
