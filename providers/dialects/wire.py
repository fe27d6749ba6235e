"""Reading and editing JSON bodies, for every dialect.

Law: an edit changes the named top-level fields and nothing else. Every other value keeps its bytes, numbers included
(a decode to Python and back would turn 1.0 into 1 or lose digits of a long integer).
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from providers.dialect import InvalidRequest
from providers.errors import Garbled

T = TypeVar("T")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
#: msgspec's words for a value of the right type that is out of bounds.
_BOUND = re.compile(r"of length|[<>]=? ?-?\d|matching regex|Invalid enum")
_PATH = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*?)`)?$", re.DOTALL)


def read_request(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The caller's body as the decoder's type. Raises `InvalidRequest` that names the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise invalid(exc) from exc
    except msgspec.DecodeError as exc:
        if not body.strip():
            raise InvalidRequest("The request body is empty; it must be a JSON object.", code="invalid_json") from exc
        raise InvalidRequest(f"The request body is not valid JSON: {exc}.", code="invalid_json") from exc
    except (UnicodeDecodeError, RecursionError) as exc:
        raise InvalidRequest(f"The request body is not valid JSON: {exc}.", code="invalid_json") from exc


def invalid(exc: msgspec.ValidationError) -> InvalidRequest:
    """A validation error in the caller's terms: what is wrong and the path of the field."""
    match = _PATH.match(str(exc))
    what, path = (match["what"], match["path"]) if match else (str(exc), None)
    param = path.removeprefix("$").removeprefix(".") if path else None
    missing = re.search(r"missing required field `(.+?)`", what)
    if missing:
        param = f"{param}.{missing[1]}" if param else missing[1]
        return InvalidRequest(f"Missing required field: '{param}'.", param=param, code="missing_required_parameter")
    unknown = re.search(r"unknown field `(.+?)`", what)
    if unknown:
        param = f"{param}.{unknown[1]}" if param else unknown[1]
        return InvalidRequest(f"Unknown field: '{param}'.", param=param, code="unknown_parameter")
    where = f" at '{param}'" if param else ""
    code = "invalid_value" if _BOUND.search(what) else "invalid_type"
    return InvalidRequest(f"Invalid request{where}: {what}.", param=param, code=code)


def read_answer(decoder: msgspec.json.Decoder[T], body: bytes, dialect: str) -> T:
    """The provider's body as the decoder's type. Raises `Garbled`."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Garbled(f"The provider's answer is not in the {dialect} format: {exc}.") from exc


def fields(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level fields of a JSON object, each as its bytes. Raises `InvalidRequest` when it is none."""
    return read_request(_FIELDS, body)


def edit(body: bytes, changes: dict[str, object]) -> bytes:
    """The JSON object with these top-level fields set, in place or at the end."""
    found: dict[str, object] = dict(fields(body))
    found.update(changes)
    return _ENCODER.encode(found)
