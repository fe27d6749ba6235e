"""Has a definition the shape that `spec` describes? All that has not is told at once, which a decoder does not do.

The structs are the only description: their JSON Schema is made from them, and each node is checked against its own
kind's, since "matches none of ten kinds" would say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from gateway import schemas
from gateway.settings.names import nearest
from gateway.workflows.problems import Problem, at
from gateway.workflows.spec import INNER, KINDS, Definition, Json, elements, members

_NODE: dict[str, Json] = {"type": "object"}
#: Fields that hold a node: checked by its own kind.
_HOLDERS = {"map", "loop"}


def problems(tree: Json) -> list[Problem]:
    """All that keeps a JSON tree from spelling a definition; what one means is `check`'s business."""
    return sorted(_problems(tree))


def published() -> dict[str, Json]:
    """The JSON Schema 2020-12 of definitions, for editors and for models that draft one."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Definition)}


def _problems(tree: Json) -> Iterator[Problem]:
    yield from _told(_DEFINITION, tree, ())
    nodes = members((members(tree) or {}).get("nodes")) or {}
    for key, node in nodes.items():
        if (fields := members(node)) is not None:
            yield from _of_node(fields, ("nodes", key), tuple(KINDS))


def _of_node(node: Mapping[str, Json], where: tuple[str, ...], kinds: tuple[str, ...]) -> Iterator[Problem]:
    kind = node.get("type")
    if kind not in kinds:
        meant = nearest(kind, kinds) if isinstance(kind, str) else None
        hint = f"did you mean '{meant}'?" if meant else f"use one of {', '.join(kinds)}."
        said = "A node needs a 'type'" if kind is None else f"There is no kind '{kind!s:.60}' here"
        yield Problem(at(*where, "type"), f"{said}; {hint}")
        return
    yield from _told(_KINDS[kind], node, where)
    inner = members(node.get("node"))
    if kind in _HOLDERS and inner is not None:
        yield from _of_node(inner, (*where, "node"), INNER)


def _told(validator: schemas.Validator, value: Json, where: tuple[str, ...]) -> Iterator[Problem]:
    for error in validator.errors(value):
        hints = [(name, nearest(name, error.known)) for name in error.unknown]
        for name, meant in hints:
            known = f"did you mean '{meant}'?" if meant else f"there are {', '.join(sorted(error.known))}."
            yield Problem(at(*where, *error.path, name), f"There is no field '{name:.60}' here; {known}")
        if not hints:
            yield Problem(at(*where, *error.path), error.message)


def _schemas() -> tuple[schemas.Validator, dict[str, schemas.Validator]]:
    made = msgspec.json.schema_components([Definition, *KINDS.values()], ref_template="#/$defs/{name}")[1]
    for name in ("Map", "Loop"):
        made[name]["properties"]["node"] = _NODE
    definition = made["Definition"]["properties"]
    definition["nodes"]["additionalProperties"] = _NODE
    parts = {name: _nullable(schema) for name, schema in made.items()}

    def validator(name: str) -> schemas.Validator:
        return schemas.Validator({"$ref": f"#/$defs/{name}", "$defs": parts})

    return validator("Definition"), {kind: validator(struct.__name__) for kind, struct in KINDS.items()}


def _nullable(schema: Json) -> Json:
    """`anyOf` something or null, said in a way whose errors tell what the something is."""
    if (listed := elements(schema)) is not None:
        return [_nullable(one) for one in listed]
    named = members(schema)
    if named is None:
        return schema
    options = elements(named.get("anyOf")) or []
    if len(options) == 2 and options[1] == {"type": "null"} and "type" in options[0]:
        kept = {name: value for name, value in named.items() if name != "anyOf"}
        return {**kept, **_nullable(options[0]), "type": [options[0]["type"], "null"]}
    return {name: _nullable(value) for name, value in named.items()}


_DEFINITION, _KINDS = _schemas()
