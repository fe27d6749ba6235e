"""Every endpoint, from the document that a gateway serves at `/openapi.json`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from docsite.tables import code, paragraphs, slug, table
from gateway.app import create_app
from gateway.settings import Settings

Json = dict[str, Any]
VERBS = ("get", "post", "put", "patch", "delete")
_PLACE = "#/components/schemas/"
_HEAD = """\
# Endpoints

Written from the document that every gateway serves at `/openapi.json` (and shows at `/docs`) when this site is built.
Bodies of OpenAI's, Anthropic's and Gemini's formats are told by the fields that the gateway reads; further fields are
passed on. Every error has a body in the format of the caller: [failures and streams](../failures.md) says which. Names
of bodies lead to [their fields](bodies.md). Beside these there is one WebSocket, `/ws/workflow/{execution_id}`, of
which [workflows](../workflows.md#addresses) tells.
"""
_BODIES = """\
# Bodies

What the [endpoints](endpoints.md) take and answer, field by field; written from the same document.
"""


def document() -> Json:
    """What a gateway answers at `/openapi.json`."""
    pieces: list[bytes] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pieces.append(message.get("body", b""))

    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/openapi.json",
        "raw_path": b"/openapi.json",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    # Nothing of it is started: the document needs neither a database nor a provider.
    asyncio.run(create_app(Settings())(scope, receive, send))
    return json.loads(b"".join(pieces))


def operations(told: Json) -> Iterator[tuple[str, str, Json]]:
    """(verb, path, operation) of all."""
    for path, item in told["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield verb.upper(), path, item[verb]


def page(told: Json) -> str:
    """The page."""
    schemas: Mapping[str, Json] = told["components"]["schemas"]
    groups: dict[str, list[tuple[str, str, Json]]] = {}
    for verb, path, operation in sorted(operations(told), key=lambda one: (one[1], VERBS.index(one[0].lower()))):
        groups.setdefault(operation.get("tags", ["Other"])[0], []).append((verb, path, operation))
    parts = [_HEAD]
    for group in sorted(groups):
        parts.append(f"\n## {group}\n")
        parts += [_operation(verb, path, one, schemas) for verb, path, one in groups[group]]
    return "\n".join(parts)


def bodies(told: Json) -> str:
    """The page of what they take and answer."""
    parts = [_BODIES]
    for name, schema in sorted(told["components"]["schemas"].items()):
        parts.append(f"\n## {name} {{ #{slug(name)} }}\n\n{paragraphs(schema.get('description', ''))}\n")
        if schema.get("properties"):
            parts.append(table(("Field", "Type", "Meaning"), _fields(schema)))
        else:
            parts.append(f"{typed(schema)}\n")
    return "\n".join(parts)


def anchor(verb: str, path: str) -> str:
    """The name of an operation's place in the page."""
    return slug(f"{verb} {path}")


def _operation(verb: str, path: str, operation: Json, schemas: Mapping[str, Json]) -> str:
    parts = [f"### {verb} {path} {{ #{anchor(verb, path)} }}\n", f"{operation['summary']}.\n"]
    if words := operation.get("description"):
        parts.append(f"{paragraphs(words)}\n")
    parts.append(table(("Parameter", "In", "Type", "Meaning"), _parameters(operation)))
    parts += [_body(content, schemas) for content in operation.get("requestBody", {}).get("content", {}).items()]
    parts.append(table(("Status", "When", "Body"), _answers(operation)))
    return "\n".join(part for part in parts if part)


def _parameters(operation: Json) -> Iterator[tuple[str, str, str, str]]:
    for one in operation.get("parameters", ()):
        need = "Required. " if one["required"] and one["in"] != "path" else ""
        yield code(one["name"]), one["in"], typed(one["schema"]), need + one.get("description", "")


def _body(content: tuple[str, Json], schemas: Mapping[str, Json]) -> str:
    kind, said = content
    schema = said.get("schema", {})
    name = schema.get("$ref", "").removeprefix(_PLACE)
    schema = schemas.get(name, schema)
    words = paragraphs(schema.get("description", ""))
    lead = f"Body: `{kind}`" + (f" ({_named(name)})" if name else "")
    return f"{lead}. {words}\n\n" + table(("Field", "Type", "Meaning"), _fields(schema))


def _fields(schema: Json) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for field, one in schema.get("properties", {}).items():
        need = " (required)" if field in required and "default" not in one else ""
        yield code(field) + need, typed(one), one.get("description", "")


def _named(name: str) -> str:
    return f"[`{name}`](bodies.md#{slug(name)})"


def _answers(operation: Json) -> Iterator[tuple[str, str, str]]:
    for status, one in sorted(operation["responses"].items()):
        kinds = (
            f"{typed(said.get('schema', {}))} (`{kind}`)" if kind != "application/json" else typed(said["schema"])
            for kind, said in one.get("content", {}).items()
        )
        yield status, one.get("description", ""), ", ".join(kinds)


def typed(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return _named(schema["$ref"].removeprefix(_PLACE))
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            kinds = [typed(one) for one in schema[joined] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds)) + _bounds(schema)
    if "enum" in schema:
        return " or ".join(code(str(one)) for one in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {typed(schema.get('items', {}))}"
    kinds = cast("list[str]", kind) if isinstance(kind, list) else [str(kind)]
    words = " or ".join(one for one in kinds if one != "null")
    return words + _bounds(schema)


def _bounds(schema: Json) -> str:
    said = [
        f"{words} {schema[name]:g}"
        for name, words in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if name in schema
    ]
    if schema.get("default") is not None:
        said.append(f"default `{json.dumps(schema['default'])}`")
    return f" ({', '.join(said)})" if said else ""
