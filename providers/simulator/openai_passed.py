"""OpenAI's endpoints beside chat: completions, moderations, images, speech, transcriptions.

The answers are in the real shapes and say nothing: a picture of one point, the text that was to be spoken as the bytes
of the sound, and of a transcription the size of what was heard. Fields are judged as far as an answer needs them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from providers.simulator.openai_ask import error, invalid
from providers.simulator.wire import SSE, Complaint, Event, Reply
from providers.simulator.writing import Answer, pieces

_json = msgspec.json.Encoder()
_object = msgspec.json.Decoder(dict[str, Any])
#: A valid 1×1 PNG.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_FINISH = {"length": "length", "filter": "content_filter"}
_CREATED = 1_767_225_600  # 2026-01-01
_FIELD = re.compile(rb'name="(\w+)"(; filename="[^"]*")?')


def answer(variant: str, body: bytes, headers: Mapping[bytes, bytes]) -> tuple[str, str, Reply]:
    """See `wire.Passer`."""
    fields = _form(body, headers) if variant == "audio/transcriptions" else _plain(body)
    kind, make = MAKERS[variant]
    name = fields.get("model")
    if not isinstance(name, str):
        raise invalid("you must provide a model parameter")
    return name, kind, make(fields)


def _plain(body: bytes) -> dict[str, Any]:
    try:
        return _object.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise invalid("We could not parse the JSON body of your request.") from exc


def _form(body: bytes, headers: Mapping[bytes, bytes]) -> dict[str, Any]:
    kind, _, boundary = headers.get(b"content-type", b"").partition(b"; boundary=")
    if kind != b"multipart/form-data" or not boundary:
        raise Complaint(error(415, "Unsupported Media Type", "invalid_request_error"))
    fields: dict[str, Any] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        if found := _FIELD.search(head):
            fields[found[1].decode()] = value if found[2] else value.decode()
    if not isinstance(fields.get("file"), bytes):
        raise invalid("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    return fields


def _moderation(fields: dict[str, Any]) -> Reply:
    given = fields.get("input")
    texts = cast("list[Any]", given) if isinstance(given, list) else [given]
    results = [
        {
            "flagged": "violence" in str(text),
            "categories": {"violence": "violence" in str(text)},
            "category_scores": {"violence": 0.9 if "violence" in str(text) else 0.1},
            "category_applied_input_types": {"violence": ["text"]},
        }
        for text in texts
    ]
    return Reply(200, _json.encode({"id": "modr-sim", "model": fields["model"], "results": results}))


def _image(fields: dict[str, Any]) -> Reply:
    usage = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
    usage |= {"input_tokens_details": {"text_tokens": 10, "image_tokens": 0}}
    if fields.get("stream"):
        told = {"b64_json": PIXEL, "created_at": _CREATED, "usage": usage}
        event = b"event: image_generation.completed\ndata: "
        event += _json.encode({"type": "image_generation.completed", **told}) + b"\n\n"
        return Reply(200, event, content_type=SSE)
    data = [{"b64_json": PIXEL}] * int(fields.get("n") or 1)
    return Reply(200, _json.encode({"created": _CREATED, "data": data, "usage": usage}))


def _speech(fields: dict[str, Any]) -> Reply:
    if not isinstance(fields.get("input"), str) or not isinstance(fields.get("voice"), str):
        raise invalid("Missing required parameter: 'voice'.", "voice", "missing_required_parameter")
    kind = {"wav": b"audio/wav", "opus": b"audio/opus"}.get(str(fields.get("response_format")), b"audio/mpeg")
    return Reply(200, b"\xff\xfb" + fields["input"].encode() * 200, content_type=kind)


def _transcription(fields: dict[str, Any]) -> Reply:
    text = f"[simulated] heard {len(fields['file'])} bytes"
    if fields.get("response_format") in ("text", "srt", "vtt"):
        return Reply(200, text.encode() + b"\n", content_type=b"text/plain; charset=utf-8")
    usage = {"type": "tokens", "input_tokens": 40, "output_tokens": 8, "total_tokens": 48}
    if fields.get("stream") == "true":
        done = {"type": "transcript.text.done", "text": text, "usage": usage}
        return Reply(200, b"data: " + _json.encode(done) + b"\n\n", content_type=SSE)
    return Reply(200, _json.encode({"text": text, "usage": usage}))


#: Path below the version → the kind of model it takes, and what it makes of the fields.
MAKERS: Mapping[str, tuple[str, Callable[[dict[str, Any]], Reply]]] = {
    "moderations": ("moderation", _moderation),
    "images/generations": ("image", _image),
    "audio/speech": ("speech", _speech),
    "audio/transcriptions": ("transcription", _transcription),
}


def completion(number: int, created: int, model: str, answers: Sequence[Answer], usage: dict[str, Any]) -> bytes:
    """A whole answer of `/completions`."""
    choices = [
        {"text": one.text, "index": n, "logprobs": None, "finish_reason": _FINISH.get(one.finish, "stop")}
        for n, one in enumerate(answers)
    ]
    return _json.encode({**_head(number, created, model), "choices": choices, "usage": usage})


def completion_events(
    number: int, created: int, model: str, answers: Sequence[Answer], usage: dict[str, Any] | None
) -> Iterator[Event]:
    """The same as a stream; with its tokens when `usage` is given."""
    head = _head(number, created, model)
    for n, one in enumerate(answers):
        for piece in pieces(one.text):
            choice = {"text": piece, "index": n, "logprobs": None, "finish_reason": None}
            yield b"data: " + _json.encode({**head, "choices": [choice]}) + b"\n\n", 1
        choice = {"text": "", "index": n, "logprobs": None, "finish_reason": _FINISH.get(one.finish, "stop")}
        yield b"data: " + _json.encode({**head, "choices": [choice]}) + b"\n\n", 0
    if usage is not None:
        yield b"data: " + _json.encode({**head, "choices": [], "usage": usage}) + b"\n\n", 0
    yield b"data: [DONE]\n\n", 0


def _head(number: int, created: int, model: str) -> dict[str, Any]:
    return {"id": f"cmpl-sim{number:08x}", "object": "text_completion", "created": created, "model": model}
