"""OpenAI's endpoints beside chat in the OpenAPI document: what is asked and answered, by the main fields."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_STREAM: dict[str, Any] = {"type": "boolean", "default": False}
_MODEL: dict[str, Any] = {"type": "string", "description": "A model, `provider/model`, a route, or `auto`."}
_ANY_MODEL: dict[str, Any] = {"type": "string", "description": "Left out: whoever is configured to be able."}
_LIST: dict[str, Any] = {"type": "array", "items": {"type": "object"}}


class Endpoint(Struct, frozen=True):
    """One endpoint: the body and its form, the answer and the types it comes in."""

    summary: str
    body: dict[str, Any]
    answer: dict[str, Any]
    form: str = "application/json"
    kinds: tuple[str, ...] = ("application/json", "text/event-stream")


def _open(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": True}


_RESPONSE = _open(
    ("model", "input"),
    model=_MODEL,
    input={"anyOf": [_TEXT, _LIST]},
    instructions=_TEXT,
    previous_response_id=_TEXT,
    stream=_STREAM,
    store={"type": "boolean", "default": True},
    tools=_LIST,
    text={"type": "object"},
    reasoning={"type": "object"},
    max_output_tokens={"type": "integer", "minimum": 1},
    temperature={"type": "number"},
)
_COMPLETION = _open(
    ("model", "prompt"),
    model=_MODEL,
    prompt={"anyOf": [_TEXT, {"type": "array", "items": {}}]},
    stream=_STREAM,
    max_tokens={"type": "integer", "minimum": 1, "default": 16},
    n={"type": "integer", "minimum": 1, "default": 1},
    echo={"type": "boolean", "default": False},
    logprobs=_COUNT,
    temperature={"type": "number"},
)
_COMPLETED = _open(
    ("id", "object", "choices"), id=_TEXT, object={"const": "text_completion"}, choices=_LIST, usage={"type": "object"}
)
_IMAGE = _open(("prompt",), model=_ANY_MODEL, prompt=_TEXT, n=_COUNT, stream=_STREAM)
_SOUND: dict[str, Any] = {"type": "string", "format": "binary"}
_SPEECH = _open(("input", "voice"), model=_ANY_MODEL, input=_TEXT, voice={}, response_format=_TEXT)
_FORM = _open(("file",), model=_ANY_MODEL, file=_SOUND, response_format=_TEXT, stream=_STREAM)
#: What `POST /v1/responses` answers is what it keeps; the document has it already.
_KEPT: dict[str, Any] = {"$ref": "#/components/schemas/ResponseAnswer"}
ENDPOINTS = {
    "/v1/responses": Endpoint("Create a response", _RESPONSE, _KEPT),
    "/v1/responses/input_tokens": Endpoint(
        "Count a response's input tokens",
        _RESPONSE,
        _open(("object", "input_tokens"), object={"const": "response.input_tokens"}, input_tokens=_COUNT),
        kinds=("application/json",),
    ),
    "/v1/completions": Endpoint("Create a completion", _COMPLETION, _COMPLETED),
    "/v1/moderations": Endpoint(
        "Classify text",
        _open(("input",), model=_ANY_MODEL, input={}),
        _open(("results",), id=_TEXT, results=_LIST),
        kinds=("application/json",),
    ),
    "/v1/images/generations": Endpoint(
        "Generate images", _IMAGE, _open(("created",), created=_COUNT, data=_LIST, usage={"type": "object"})
    ),
    "/v1/audio/speech": Endpoint("Speak a text", _SPEECH, _SOUND, kinds=("audio/*", "text/event-stream")),
    "/v1/audio/transcriptions": Endpoint(
        "Transcribe sound",
        _FORM,
        _open((), text=_TEXT, usage={"type": "object"}),
        form="multipart/form-data",
        kinds=("application/json", "text/plain", "text/event-stream"),
    ),
}
