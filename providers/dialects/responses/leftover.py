"""Which fields of a Responses request no conversation has a name for: they are refused, or dropped aloud.

Left out without a word, beyond what `openai.leftover` leaves out, is what asks for nothing here:
- `max_tool_calls` bounds calls of built-in tools, and those are refused; likewise the parts of `include` that tell of
  them;
- `id`, `status`, `phase`, `annotations` and `logprobs` of items, and how a picture was drawn: the API writes them in
  its answers;
- `prompt_cache_retention` and `prompt_cache_options`: hints.

A built-in tool is named by its place and its type: `tools[0] (web_search)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from providers.dialects.openai.leftover import Kinds, names, walk
from providers.dialects.responses.custom import CALLED
from providers.dialects.responses.shapes import SEARCHES, Json
from providers.dialects.wire import read_request
from providers.searching import PLACE

#: What may be included: thoughts are sealed, pictures repeated and probabilities told without being asked twice.
LOGPROBS = "message.output_text.logprobs"
_INCLUDABLE = frozenset(
    {
        LOGPROBS,
        "reasoning.encrypted_content",
        "message.input_image.image_url",
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
    }
)
_MARK = "prompt_cache_breakpoint"
_PARTS = [
    Kinds(
        "type",
        {
            "input_text": names("type", "text", _MARK),
            "input_image": names("type", "image_url", "detail", _MARK),
            "input_file": names("type", "file_data", "file_url", "file_id", "filename", _MARK),
            "input_audio": names("type", input_audio=names("data", "format")),
            "output_text": names("type", "text", "annotations", "logprobs"),
            "refusal": names("type", "refusal"),
        },
    )
]
_OUTPUT = [Kinds("type", {kind: _PARTS[0].known[kind] for kind in ("input_text", "input_image", "input_file")})]
_ITEMS = [
    Kinds(
        "type",
        {
            "message": names("type", "id", "status", "role", "phase", content=_PARTS),
            "function_call": names(
                *("type", "id", "status", "call_id", "name", "arguments"),
                caller=Kinds("type", {"direct": names("type")}),
                extra_content=names(google=names("thought_signature")),
            ),
            "function_call_output": names(
                *("type", "id", "status", "call_id", "name"),
                caller=Kinds("type", {"direct": names("type")}),
                output=_OUTPUT,
            ),
            "custom_tool_call": names(
                *("type", "id", "status", "call_id", "name", "input"),
                extra_content=names(google=names("thought_signature")),
            ),
            "custom_tool_call_output": names("type", "id", "status", "call_id", "name", output=_OUTPUT),
            "reasoning": names("type", "id", "status", "summary", "content", "encrypted_content"),
            "image_generation_call": names(
                *("type", "id", "status", "result", "output_format"),
                *("action", "background", "quality", "revised_prompt", "size"),
            ),
            "item_reference": names("type", "id"),
        },
    )
]
_FORMATS = Kinds(
    "type",
    {
        "text": names("type"),
        "json_object": names("type"),
        "json_schema": names("type", "name", "description", "schema", "strict"),
    },
)
_SHAPE = names(
    *("model", "instructions", "parallel_tool_calls", "max_output_tokens", "temperature", "top_p", "top_logprobs"),
    *("truncation", "metadata", "user", "safety_identifier", "service_tier", "store", "stream"),
    *("previous_response_id", "include", "max_tool_calls"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    input=_ITEMS,
    tools=[
        Kinds(
            "type",
            {
                "function": names("type", "name", "description", "parameters", "strict"),
                "custom": names("type", "name", "description", format=Kinds("type", {"text": names("type")})),
                **dict.fromkeys(
                    SEARCHES,
                    names(
                        *("type", "search_context_size"),
                        user_location=names("type", *PLACE),
                        filters=names("allowed_domains"),
                    ),
                ),
            },
        )
    ],
    tool_choice=Kinds(
        "type",
        {
            **dict.fromkeys(CALLED, names("type", "name")),
            "allowed_tools": names("type", "mode", tools=[Kinds("type", dict.fromkeys(CALLED, names("type", "name")))]),
        },
    ),
    text=names(format=_FORMATS),
    reasoning=names("effort", "summary", "generate_summary"),
    stream_options=names("include_obfuscation"),
)
#: Documented defaults: sending them asks for nothing.
_NEUTRAL = {"background": False, "text.verbosity": "medium", "tool_choice": "auto"}

_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


def leftover(body: bytes) -> dict[str, Raw]:
    """Path → JSON of every field that has no name in a `Conversation`. Raises `InvalidRequest` for broken UTF-8."""
    return {path: Raw(_encoder.encode(value)) for path, value in _found(read_request(_decoder, body))}


def _found(fields: Json) -> Iterator[tuple[str, Any]]:
    for path, value in walk(fields, _SHAPE, ""):
        if path not in _NEUTRAL or value != _NEUTRAL[path]:
            yield path, value
    for wanted in fields.get("include") or ():
        if wanted not in _INCLUDABLE:
            yield f"include ({wanted})", wanted
