"""Google's schema objects → JSON Schema, and what of JSON Schema has to be said otherwise to Google.

`parameters` and `responseSchema` hold a subset of OpenAPI 3.0 with Google's spelling: types in capitals, `nullable`,
counts that may be strings (they are 64 bits wide), names in camelCase or snake_case. Everything else is JSON Schema
already; `propertyOrdering` and `example` stay, since JSON Schema ignores what it does not know.

The other way it takes JSON Schema as it is, but for a reference with neighbours, which is refused with a 400 ("$ref was
set alongside unsupported fields"): such a reference is the one branch of an `anyOf`, which means the same.
"""

from __future__ import annotations

from typing import cast

from providers.chat import Json
from providers.dialects.gemini.names import camel
from providers.dialects.schemas import rewritten

_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_RENAMED = {"defs": "$defs", "ref": "$ref"}


def json_schema(schema: Json) -> Json:
    """The same schema in JSON Schema's words."""
    written: Json = {}
    for given, value in schema.items():
        name = camel(given)
        written[_RENAMED.get(name, name)] = _value(name, value)
    if written.get("type") == "type_unspecified":
        del written["type"]
    if written.pop("nullable", False) is True:
        _nullable(written)
    return written


def _value(name: str, value: object) -> object:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name in _COUNTS and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if name in ("properties", "defs", "$defs") and isinstance(value, dict):
        return {key: _schema(inner) for key, inner in cast("Json", value).items()}
    if name in ("items", "additionalProperties"):
        return _schema(value)
    if name in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
        return [_schema(inner) for inner in cast("list[object]", value)]
    return value


def _schema(value: object) -> object:
    return json_schema(cast("Json", value)) if isinstance(value, dict) else value


def _nullable(schema: Json) -> None:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if isinstance(schema.get("anyOf"), list):
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [*schema["enum"], None]


def alone(schema: Json) -> Json:
    """The same schema, with every reference by itself."""
    return rewritten(schema, _alone)


def _alone(schema: Json) -> Json:
    ref = schema.get("$ref")
    if not isinstance(ref, str) or "anyOf" in schema or all(name.startswith("$") for name in schema):
        return schema
    del schema["$ref"]
    return {**schema, "anyOf": [{"$ref": ref}]}
