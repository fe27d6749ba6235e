"""Which fields of a request `unfold` has no name for: the other half of the law that nothing is lost in silence.

A shape is a tree of known names: None takes a value whole, a dict is an object, a list of one shape an array, and
`Kinds` an object whose known names depend on one of its fields. What stands beside the tree is left over.

Left out without a word is what asks for nothing: null, empty arrays and objects, and `_NEUTRAL`. Likewise hints, which
change what an answer costs or how it travels and never what it says: `prompt_cache_*`, `include_obfuscation`. And
`annotations`, which the API writes in its answers and does not read in the next request, and proofs of thought that
are not for the provider asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from providers.dialects.wire import read_request
from providers.searching import PLACE


class Kinds(Struct, frozen=True):
    """An object that says in the field `by` what it is; without it, it is the first of `known`."""

    by: str
    known: dict[str, Any]


def names(*plain: str, **more: object) -> dict[str, Any]:
    """An object of these fields: the `plain` ones taken whole, the others by their shapes."""
    return {**dict.fromkeys(plain), **more}


_CACHED = ("cache_control", "prompt_cache_breakpoint")
_TEXT = names("type", "text", *_CACHED)
_IMAGE = names("type", *_CACHED, image_url=names("url", "detail"))
_AUDIO = names("type", *_CACHED, input_audio=names("data", "format"))
_FILE = names("type", *_CACHED, file=names("file_data", "file_id", "filename"))
_REFUSAL = names("type", "refusal")
_ANSWERED = [Kinds("type", {"text": _TEXT, "image_url": _IMAGE, "file": _FILE})]
_PARTS = [Kinds("type", {**_ANSWERED[0].known, "input_audio": _AUDIO, "refusal": _REFUSAL})]
_SIGNED = names(google=names("thought_signature"))
_CALLED = names("id", "type", "index", function=names("name", "arguments"), extra_content=_SIGNED)
_ASSISTANT = names(
    "role",
    "name",
    "refusal",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "annotations",
    content=_PARTS,
    tool_calls=[Kinds("type", {"function": _CALLED})],
)
_SAID = names("role", "name", content=_PARTS)
_MESSAGES = {
    "system": _SAID,
    "developer": _SAID,
    "user": _SAID,
    "assistant": _ASSISTANT,
    "tool": names("role", "name", "tool_call_id", content=_ANSWERED),
}
_FUNCTION = names("name", "description", "parameters", "strict")
_SCHEMA = names("name", "description", "schema", "strict")
_NAMED = names("type", function=names("name"))
_ALLOWED = names("mode", tools=[Kinds("type", {"function": _NAMED})])
_SHAPE = names(
    "model",
    "stream",
    "parallel_tool_calls",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "n",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "user",
    "safety_identifier",
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "store",
    "prompt_cache_retention",
    messages=[Kinds("role", _MESSAGES)],
    stream_options=names("include_usage", "include_obfuscation"),
    web_search_options=names("search_context_size", user_location=names("type", approximate=names(*PLACE))),
    tools=[Kinds("type", {"function": names("type", "cache_control", function=_FUNCTION)})],
    tool_choice=Kinds("type", {"function": _NAMED, "allowed_tools": names("type", allowed_tools=_ALLOWED)}),
    response_format=Kinds(
        "type",
        {
            "text": names("type"),
            "json_object": names("type"),
            "json_schema": names("type", json_schema=_SCHEMA),
        },
    ),
)
#: Values that are the documented default, so that sending them asks for nothing. Some clients send them always.
_NEUTRAL: dict[str, object] = {"modalities": ["text"], "verbosity": "medium"}

_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


def leftover(body: bytes) -> dict[str, Raw]:
    """Path → JSON of every field that has no name in a `Conversation`. Raises `InvalidRequest` for broken UTF-8."""
    return {path: Raw(_encoder.encode(value)) for path, value in walk(read_request(_decoder, body), _SHAPE, "")}


def walk(value: Any, shape: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of everything that stands beside the shape."""
    if isinstance(value, list) and isinstance(shape, list):
        for at, item in enumerate(cast("list[Any]", value)):
            yield from walk(item, shape[0], f"{path}[{at}]")
    elif isinstance(value, dict) and shape is not None:
        fields = cast("dict[str, Any]", value)
        if isinstance(shape, Kinds):
            kind = fields.get(shape.by) or next(iter(shape.known))
            if kind not in shape.known:
                yield f"{path} ({kind})", fields
                return
            shape = shape.known[kind]
        yield from _fields(fields, shape, path)


def _fields(fields: dict[str, Any], known: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        where = f"{path}.{name}" if path else name
        if name in known:
            yield from walk(value, known[name], where)
        elif not (_is_nothing(value, path) or (path == "" and value == _NEUTRAL.get(name))):
            yield where, value


def _is_nothing(value: Any, path: str) -> bool:
    """Null or empty; within the body also an object of nulls only, as LiteLLM puts beside an answer it sends back.

    Not so at the top, where an object may switch something on by being there (`web_search_options`).
    """
    if path and isinstance(value, dict):
        return all(inner is None for inner in cast("dict[str, Any]", value).values())
    return value is None or value in ([], {})
