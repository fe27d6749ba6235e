"""OpenAI's, Anthropic's and Gemini's answers in the OpenAPI document, by main fields; providers may add others."""

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def _open(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    """An object with further fields; all named ones are required but the `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": True}


_CHOICE = _open(
    {
        "index": _COUNT,
        "message": _open(
            {
                "role": {"const": "assistant"},
                "content": _TEXT_OR_NULL,
                "refusal": _TEXT_OR_NULL,
                "tool_calls": {
                    "type": "array",
                    "items": _open(
                        {
                            "id": _TEXT,
                            "type": {"const": "function"},
                            "function": _open({"name": _TEXT, "arguments": {"type": "string", "description": "JSON."}}),
                        }
                    ),
                },
            },
            "refusal",
            "tool_calls",
        ),
        "finish_reason": _TEXT_OR_NULL,
    }
)
CHAT_COMPLETION = _open(
    {
        "id": _TEXT,
        "object": {"const": "chat.completion"},
        "created": {"type": "integer", "description": "Unix seconds."},
        "model": _TEXT,
        "choices": {"type": "array", "items": _CHOICE},
        "usage": _open({"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT}),
    },
    "usage",
)
_VECTOR: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "number"}},
        {"type": "string", "description": "32-bit floats, little endian, as base64."},
    ]
}
EMBEDDINGS = _open(
    {
        "object": {"const": "list"},
        "model": _TEXT,
        "data": {
            "type": "array",
            "items": _open({"object": {"const": "embedding"}, "index": _COUNT, "embedding": _VECTOR}),
        },
        "usage": _open({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
    },
    "usage",
)
MESSAGE = _open(
    {
        "id": _TEXT,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": _TEXT,
        "content": {"type": "array", "items": _open({"type": _TEXT})},
        "stop_reason": _TEXT_OR_NULL,
        "stop_sequence": _TEXT_OR_NULL,
        "usage": _open({"input_tokens": _COUNT, "output_tokens": _COUNT}),
    },
    "stop_sequence",
)
MESSAGE_TOKENS = _open({"input_tokens": _COUNT})
_CANDIDATE = _open(
    {
        "index": _COUNT,
        "content": _open({"role": _TEXT, "parts": {"type": "array", "items": {"type": "object"}}}),
        "finishReason": _TEXT,
    },
    "index",
    "content",
    "finishReason",
)
GENERATED = _open(
    {
        "candidates": {"type": "array", "items": _CANDIDATE},
        "promptFeedback": _open({"blockReason": _TEXT}),
        "usageMetadata": _open(
            {
                "promptTokenCount": _COUNT,
                "candidatesTokenCount": _COUNT,
                "totalTokenCount": _COUNT,
                "thoughtsTokenCount": _COUNT,
                "cachedContentTokenCount": _COUNT,
            },
            "candidatesTokenCount",
            "thoughtsTokenCount",
            "cachedContentTokenCount",
        ),
        "modelVersion": _TEXT,
        "responseId": _TEXT,
    },
    "candidates",
    "promptFeedback",
    "usageMetadata",
    "modelVersion",
    "responseId",
)
#: Without `alt=sse`.
GENERATED_PIECES: dict[str, Any] = {"type": "array", "items": GENERATED}
_VALUES = _open({"values": {"type": "array", "items": {"type": "number"}}})
_EMBEDDED_TOKENS = _open({"promptTokenCount": _COUNT})
EMBEDDED = _open({"embedding": _VALUES, "usageMetadata": _EMBEDDED_TOKENS}, "usageMetadata")
EMBEDDED_MANY = _open(
    {"embeddings": {"type": "array", "items": _VALUES}, "usageMetadata": _EMBEDDED_TOKENS}, "usageMetadata"
)
TOTAL_TOKENS = _open({"totalTokens": _COUNT})
