"""The client's types of answers, from the gateway's OpenAPI document: an annotation of Python for each schema.

The types are written once and read by people, so they are committed; `python -m tests.client` writes them anew when an
answer has changed, and a test says when that is due.
"""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "client" / "steelyard_client" / "answers"
#: A file of types → the addresses whose answers it describes; a type that several need is in the first one's.
AREAS: Mapping[str, tuple[str, ...]] = {
    "routing": ("/api/llm/orchestrate", "/api/llm/providers", "/api/llm/models", "/api/llm/routes"),
    "dwa": ("/api/llm/dwa/",),
    "records": ("/api/db/", "/api/sessions", "/api/feedback"),
    "responses": ("/v1/responses/{response_id}",),
    "health": ("/api/health", "/health"),
    "workflows": ("/api/workflows",),
    "executions": (
        "/api/executions",
        "/api/step-executions",
        "/api/checkpoints",
        "/api/metrics/",
        "/api/workflows/{slug}/execute",
    ),
    "schedules": ("/api/schedules",),
    "mcp": ("/api/mcp-servers", "/api/mcp-tools"),
    "spend": ("/api/spend",),
    "keys": ("/api/keys",),
    "audit": ("/api/audit",),
    "administration": ("/api/admin/",),
}
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def area_of(path: str) -> str | None:
    """Which file describes an address's answers: the one that names most of it."""
    found = [(len(start), area) for area, starts in AREAS.items() for start in starts if path.startswith(start)]
    return max(found)[1] if found else None


def annotation(schema: Mapping[str, Any]) -> str:
    """The type of what a schema describes."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if options := schema.get("oneOf") or schema.get("anyOf"):
        return _union([annotation(one) for one in options])
    if "enum" in schema:
        return f"Literal[{', '.join(repr(one) for one in schema['enum'])}]"
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([annotation({**schema, "type": one}) for one in kind])
    if kind == "array":
        return f"list[{annotation(schema.get('items', {}))}]"
    if kind == "object":
        return f"dict[str, {annotation(schema.get('additionalProperties') or {})}]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    return _PLAIN.get(str(kind), "Any")


def _union(options: list[str]) -> str:
    unlike = list(dict.fromkeys(options))
    if "Any" in unlike:
        return "Any"
    return " | ".join(sorted(unlike, key=lambda one: one == "None"))


def fields_of(schema: Mapping[str, Any]) -> dict[str, str]:
    """Field → annotation; what may be left out may be None."""
    required = schema.get("required", ())
    return {
        name: kind if name in required else _union([*kind.split(" | "), "None"])
        for name, one in schema.get("properties", {}).items()
        for kind in [annotation(one)]
        if not keyword.iskeyword(name)
    }


def references(value: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document leads to."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield str(inner).rsplit("/", 1)[-1]
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def answered(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Area → the schemas of its answers, each in one area, what is needed before who needs it."""
    schemas = document["components"]["schemas"]
    found: dict[str, list[str]] = {area: [] for area in AREAS}
    seen: set[str] = set()

    def add(area: str, name: str) -> None:
        if name not in seen:
            seen.add(name)
            for needed in references(schemas[name]):
                add(area, needed)
            found[area].append(name)

    for area in AREAS:
        for path, item in sorted(document["paths"].items()):
            if area_of(path) == area:
                for operation in item.values():
                    good = [one for status, one in operation.get("responses", {}).items() if status < "3"]
                    for name in references(good):
                        add(area, name)
    return {area: names for area, names in found.items() if names}


def pages(document: Mapping[str, Any]) -> dict[str, str]:
    """File → text, before formatting."""
    schemas = document["components"]["schemas"]
    areas = answered(document)
    home = {name: area for area, names in areas.items() for name in names}
    return {f"{area}.py": _page(area, names, schemas, home) for area, names in areas.items()}


def _page(area: str, names: list[str], schemas: Mapping[str, Any], home: Mapping[str, str]) -> str:
    bodies = "\n\n".join(_class(name, schemas[name]) for name in names)
    foreign: dict[str, list[str]] = {}
    for name in dict.fromkeys(needed for one in names for needed in references(schemas[one])):
        if home[name] != area:
            foreign.setdefault(home[name], []).append(name)
    head = [f'"""Answers: {area}. Written by `python -m tests.client` from the gateway\'s OpenAPI document."""', ""]
    head += ["from __future__ import annotations", "", "from dataclasses import dataclass"]
    head += ["from datetime import datetime"] if "datetime" in bodies else []
    head += ["from typing import Any, Literal", ""]  # what is not used is taken out by ruff
    for other, needed in sorted(foreign.items()):
        head.append(f"from steelyard_client.answers.{other} import {', '.join(sorted(needed))}")
    return "\n".join(head) + "\n\n" + bodies + "\n"


def _class(name: str, schema: Mapping[str, Any]) -> str:
    said = schema.get("description") or f"{name}."
    lines = ["@dataclass(kw_only=True)", f"class {name}:", _docstring(said)]
    required = schema.get("required", ())
    for field, kind in fields_of(schema).items():
        lines.append(f"    {field}: {kind}" + ("" if field in required else " = None"))
    return "\n".join(lines) + "\n"


def _docstring(said: str) -> str:
    first, *rest = [" ".join(part.split()) for part in said.split("\n\n")]
    wrapped = ["\n".join(textwrap.wrap(part, 114)) for part in (first, *rest)]
    body = "\n\n".join(wrapped)
    closing = "\n" if "\n" in body else ""
    return textwrap.indent(f'"""{body}{closing}"""', "    ")
