"""Requests that are passed on as they are: moderations, images, speech, transcriptions.

Read are the model's name in them, and the tokens in their answers; of the rest no more than a record needs. Two forms
of body: JSON, and `multipart/form-data` (RFC 7578), which carries files. An edit changes the model and no other byte of
a form's part or a field's value.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from providers.chat import Usage
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.openai.answers import Count
from providers.dialects.openai.faults import fault_in
from providers.dialects.openai.shapes import ABSENT, NULL

_BOUNDARY = re.compile(r'\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'(?:^|\r\n)content-disposition:[^\r\n]*?[; ]name="([^"\r\n]*)"', re.IGNORECASE)
_FILE = re.compile(rb"(?:^|\r\n)content-disposition:[^\r\n]*?[; ]filename\*?=", re.IGNORECASE)
#: Parts of a form; the API's forms have a dozen fields.
_MOST_PARTS = 200


class _Fields(Struct):
    model: str | None = None
    stream: bool | None = None
    stream_format: Any = None
    input: Any = None
    prompt: Any = None
    user: Any = None


class _Counted(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class _Answer(Struct):
    usage: _Counted | UnsetType | None = UNSET
    error: Raw = ABSENT


class Passing(Struct):
    """A body and the little that is read of it; without `boundary` it is JSON.

    `text` is what a model has to read, as far as it is plain text; `place` is where a form names its model.
    """

    body: bytes
    model: str | None
    stream: bool
    text: str = ""
    user: str | None = None
    response_format: str | None = None
    boundary: bytes | None = None
    place: tuple[int, int] | None = None

    def asking(self, model: str) -> bytes:
        """The body with this model in it."""
        if model == self.model:
            return self.body
        if self.boundary is None:
            return wire.edit(self.body, {"model": model})
        if self.place is not None:
            return self.body[: self.place[0]] + model.encode() + self.body[self.place[1] :]
        head = b'--%s\r\ncontent-disposition: form-data; name="model"\r\n\r\n' % self.boundary
        return head + model.encode() + b"\r\n" + self.body


_fields = msgspec.json.Decoder(_Fields)
_answer = msgspec.json.Decoder(_Answer)


def read_json(body: bytes) -> Passing:
    """A JSON body. Raises `InvalidRequest`."""
    found = wire.read_request(_fields, body)
    text = next((one for one in (found.input, found.prompt) if isinstance(one, str)), "")
    user = found.user if isinstance(found.user, str) else None
    return Passing(body, found.model, found.stream is True or found.stream_format == "sse", text, user)


def read_form(body: bytes, content_type: str) -> Passing:
    """A form. Raises `InvalidRequest`."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        raise InvalidRequest("Send this request as multipart/form-data, with a boundary.", code="invalid_content_type")
    boundary = (found[1] or found[2]).encode("latin-1", "replace")
    places = dict(_places(body, b"--" + boundary))
    said = {name: body[start:end].decode("utf-8", "replace") for name, (start, end) in places.items()}
    return Passing(
        body,
        said.get("model"),
        said.get("stream", "").strip().lower() in {"true", "1"},
        said.get("prompt", ""),
        response_format=said.get("response_format"),
        boundary=boundary,
        place=places.get("model"),
    )


def texts_of(form: Passing) -> list[tuple[int, int]]:
    """Where the values of a form's fields are, but for its files and its model. Raises `InvalidRequest`."""
    assert form.boundary is not None, "a form"
    return [place for name, place in _places(form.body, b"--" + form.boundary) if name != "model"]


def _places(body: bytes, delimiter: bytes) -> list[tuple[str, tuple[int, int]]]:
    """Where the values of the form's fields are; files are passed over. Raises `InvalidRequest`."""
    places: list[tuple[str, tuple[int, int]]] = []
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    for _ in range(_MOST_PARTS):
        at += len(delimiter)
        line = body.find(b"\r\n", at)
        if not body.startswith(delimiter, at - len(delimiter)) or line < 0:
            break
        if body.startswith(b"--", at):
            return places
        # An empty head is possible, and then its end is the line's own.
        ends = body.find(b"\r\n\r\n", line)
        following = body.find(b"\r\n" + delimiter, ends + 2)
        if ends < 0 or following < 0:
            break
        head = body[line:ends]
        if (name := _NAME.search(head)) and not _FILE.search(head):
            places.append((name[1].decode("utf-8", "replace"), (ends + 4, max(following, ends + 4))))
        at = following + 2
    else:
        raise InvalidRequest(f"The form has more than {_MOST_PARTS} parts.", code="invalid_form")
    if body.startswith(b"--", at) and at > len(delimiter) - 1:
        return places
    raise InvalidRequest("The request body is not a whole multipart form.", code="invalid_form")


def glance(body: bytes) -> Usage:
    """The tokens of an answer in JSON, zeros when it counts none. Raises `Garbled`, or the fault it holds."""
    answer = wire.read_answer(_answer, body, "openai")
    if bytes(answer.error) != NULL:
        raise fault_in(body)
    counted = answer.usage
    if not isinstance(counted, _Counted):
        return Usage()
    return Usage(
        counted.input_tokens or counted.prompt_tokens or 0, counted.output_tokens or counted.completion_tokens or 0
    )
