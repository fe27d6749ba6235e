"""What a definition means, checked when it is saved: nothing of this may first show in the middle of a paid execution.

Edges lead from node to node and make no circle; branches belong to forks that have them; templates and expressions can
be parsed and read only what is there by then: inputs of the schema, and outputs of nodes that come before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from dwa import STRATEGIES, Objective
from gateway import schemas
from gateway.settings.names import nearest
from gateway.workflows import shape
from gateway.workflows.graph import DEFAULT, Graph, branches
from gateway.workflows.kept import Failure
from gateway.workflows.problems import BadDefinition, Problem, at
from gateway.workflows.reads import Read, reads
from gateway.workflows.salvage import salvaged
from gateway.workflows.spec import (
    WEIGHTS,
    Definition,
    Edge,
    Json,
    Loop,
    Map,
    Node,
    Prompt,
    Schema,
    Switch,
    Template,
    Vote,
    members,
)
from gateway.workflows.templates import METHODS, BadTemplate, Reference, references


def checked(tree: Json) -> Definition:
    """The definition that a JSON tree spells. Raises `BadDefinition` with all that is wrong with it."""
    misshapen = shape.problems(tree)
    if misshapen:
        left = salvaged(tree, misshapen)
        more = left.told(_problems(left.definition, in_order=left.in_order)) if left else []
        raise BadDefinition(sorted({*misshapen, *more}))
    try:
        definition = msgspec.convert(tree, Definition)
    except msgspec.ValidationError as exc:
        # To JSON Schema 1.0 is a whole number; to what reads it, it is none.
        told, _, where = str(exc).rpartition(" - at `")
        raise BadDefinition([Problem(where.removesuffix("`") or at(), told or str(exc))]) from exc
    problems = sorted(set(_problems(definition)))
    if problems:
        raise BadDefinition(problems)
    return definition


def _problems(definition: Definition, *, in_order: bool = True) -> Iterator[Problem]:
    """Without `in_order` edges are missing, and nothing can be said of what comes before what."""
    yield from _of_schema(definition.input_schema, ("input_schema",))
    graph = Graph(definition)
    first: dict[Edge, int] = {}
    for place, edge in enumerate(definition.edges):
        yield from _of_edge(definition, place, edge)
        if first.setdefault(edge, place) != place:
            yield Problem(at("edges", place), "This edge is there twice.")
    for key, node in definition.nodes.items():
        yield from _of_node(node, ("nodes", key))
        if in_order and node.on_error == "branch" and not any(edge.on == "error" for edge in graph.out_of[key]):
            yield Problem(at("nodes", key, "on_error"), "No edge with 'on': 'error' leads away from this node.")
    circle = graph.circle()
    if circle:
        yield Problem(at("edges"), f"These nodes wait for each other: {' → '.join([*circle, circle[0]])}.")
        return
    for key, fork in graph.never().items() if in_order else ():
        hint = f'it joins ways of \'{fork}\' that exclude each other; use "join": "any"'
        yield Problem(at("nodes", key, "join"), f"This node can never run: {hint}.")
    before = graph.ancestors() if in_order else {key: set(graph.keys) for key in graph.keys}
    yield from _of_votes(definition, before)
    yield from _of_reads(definition, before)


def _of_votes(definition: Definition, ancestors: Mapping[str, set[str]]) -> Iterator[Problem]:
    for key, node in definition.nodes.items():
        if not isinstance(node, Vote):
            continue
        rated = definition.nodes.get(node.of)
        asked = rated.node if isinstance(rated, Map | Loop) else rated
        if rated is None:
            yield Problem(at("nodes", key, "of"), _unknown("node", node.of, definition.nodes))
        elif not isinstance(asked, Prompt):
            yield Problem(at("nodes", key, "of"), f"Node '{node.of}' asks no model: there is no answer to rate.")
        elif node.of not in ancestors[key]:
            message = f"Node '{node.of}' does not come before this: no edges lead from there to here."
            yield Problem(at("nodes", key, "of"), message)


def _of_edge(definition: Definition, place: int, edge: Edge) -> Iterator[Problem]:
    for end in ("source", "target"):
        key = getattr(edge, end)
        if key not in definition.nodes:
            yield Problem(at("edges", place, end), _unknown("node", key, definition.nodes))
    if edge.source == edge.target:
        yield Problem(at("edges", place), "An edge leads to another node; to repeat one, use a 'loop'.")
    source = definition.nodes.get(edge.source)
    if source is None:
        return
    if edge.on == "error" and source.on_error != "branch":
        yield Problem(at("edges", place, "on"), f'Node \'{edge.source}\' needs "on_error": "branch" for this edge.')
    if edge.branch is not None and edge.branch not in branches(source):
        there = branches(source)
        what = f"There are {', '.join(there)}." if there else f"Node '{edge.source}' is no fork."
        yield Problem(at("edges", place, "branch"), f"There is no branch '{edge.branch:.60}'. {what}")


def _of_node(node: Node, where: tuple[str, ...]) -> Iterator[Problem]:
    yield from _of_default(node, where)
    for name in ("output_schema", "form_schema"):
        yield from _of_schema(getattr(node, name, None) or {}, (*where, name))
    match node:
        case Prompt():
            yield from _either(node, "prompt", "messages", where)
            yield from _of_choosing(node, where)
            if node.mode == "fallback" and not node.providers:
                yield Problem(at(*where, "providers"), "Mode 'fallback' needs 'providers', in the order to try them.")
        case Template():
            yield from _either(node, "template", "output", where)
        case Switch(cases=cases):
            if DEFAULT in cases:
                yield Problem(at(*where, "cases", DEFAULT), "'default' is what is followed when no case holds.")
        case Map(node=inner) | Loop(node=inner):
            yield from _of_node(inner, (*where, "node"))
            if inner.on_error == "branch":
                yield Problem(at(*where, "node", "on_error"), "No edge leads away from within a map or a loop.")
        case _:
            pass


def _of_choosing(node: Prompt, where: tuple[str, ...]) -> Iterator[Problem]:
    """By which measure a provider is chosen. Which objectives have names is the gateway's own affair: see `Library`."""
    if node.strategy is not None and node.strategy not in STRATEGIES:
        known = f"There are {', '.join(sorted(STRATEGIES))}."
        yield Problem(at(*where, "strategy"), f"There is no strategy '{node.strategy:.60}'. {known}")
    if isinstance(node.objective, dict):
        known = f"There are {', '.join(WEIGHTS)}."
        for name in sorted(node.objective.keys() - set(WEIGHTS)):
            yield Problem(at(*where, "objective", name), f"There is no weight '{name:.60}'. {known}")
        weigh = dict.fromkeys(WEIGHTS, 0.0) | node.objective
        try:
            Objective("custom", weigh["latency"], weigh["cost"], weigh["errors"], weigh["quality"])
        except ValueError as exc:
            yield Problem(at(*where, "objective"), f"This objective cannot be used: {exc}.")


def _of_default(node: Node, where: tuple[str, ...]) -> Iterator[Problem]:
    if node.default is not None and node.on_error != "default":
        yield Problem(at(*where, "default"), 'A default is used with "on_error": "default" only.')
    ways = branches(node)
    if ways and node.on_error == "default" and node.default not in ways:
        yield Problem(at(*where, "default"), f"The default of a fork is one of its branches: {', '.join(ways)}.")


def _either(node: Node, one: str, other: str, where: tuple[str, ...]) -> Iterator[Problem]:
    if (getattr(node, one) is None) == (getattr(node, other) is None):
        yield Problem(at(*where, one), f"Give exactly one of '{one}' and '{other}'.")


def _of_schema(schema: Schema, where: tuple[str, ...]) -> Iterator[Problem]:
    try:
        schemas.Validator(schema)
    except schemas.BadSchema as exc:
        yield Problem(at(*where), f"This is no JSON Schema: {exc}")


def _of_reads(definition: Definition, ancestors: Mapping[str, set[str]]) -> Iterator[Problem]:
    for read in reads(definition):
        known = None if read.known_at is None else ancestors[read.known_at]
        if known is not None and read.inclusive:
            known = {*known, str(read.known_at)}
        try:
            found = references(read.text, expression=read.expression)
        except BadTemplate as exc:
            yield Problem(read.path, f"This cannot be read: {exc}")
            continue
        for reference in found:
            message = _of_reference(definition, read, reference, known)
            if message:
                yield Problem(read.path, message)


def _of_reference(definition: Definition, read: Read, reference: Reference, known: set[str] | None) -> str | None:
    """What is wrong with it, if anything."""
    root, *steps = reference.steps
    if root not in read.names:
        return f"There is no '{root}' here; there are {', '.join(sorted(read.names))}."
    if root == "input":
        return _of_field(steps, definition.input_schema, "input")
    if root != "nodes":
        return None
    if not steps:
        # All of them would be another value each time, by who was first.
        return "Say which node, by its name: nodes.<key>.output."
    key, *rest = steps
    node = definition.nodes.get(str(key))
    if node is None:
        return _unknown("node", str(key), definition.nodes)
    if known is not None and key not in known:
        return f"Node '{key}' does not come before this: no edges lead from there to here."
    if not rest:
        return f"Say what of '{key}': nodes.{key}.output."
    if rest[0] == "error":
        return _of_field(rest[1:], _ERROR, f"nodes.{key}.error")
    if rest[0] != "output":
        return f"A node has 'output' and 'error', not '{rest[0]}': nodes.{key}.output."
    return _of_field(rest[1:], output_schema(node), f"nodes.{key}.output")


def output_schema(node: Node) -> Schema:
    """What is known of the output of a node before it has run; `{}`: nothing."""
    match node:
        case Prompt(output_schema=schema) if schema is not None:
            return schema
        case Template(output=output) if output is not None:
            return {}
        case _:
            fields = _FIELDS.get(type(node).__struct_config__.tag, ())
            return {"properties": {name: {} for name in fields}} if fields else {}


_ERROR: Schema = {"properties": {name: {} for name in Failure.__struct_fields__}}
_FIELDS: Mapping[object, tuple[str, ...]] = {
    "prompt": ("text", "provider", "model", "finish_reason", "tool_calls"),
    "tool": ("text", "content", "structured"),
    "http": ("status", "headers", "body"),
    "condition": ("branch",),
    "switch": ("branch",),
    "template": ("text",),
    "approval": ("decision", "data", "decided_by", "decided_at"),
    "vote": ("votes",),
    "map": ("items", "failed"),
    "loop": ("output", "iterations", "done"),
}
#: Types without fields; a text has methods.
_FLAT = ("string", "number", "integer", "boolean", "null", "array")
_OPEN = ("additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if")


def _of_field(steps: list[str | int], schema: Json, so_far: str) -> str | None:
    """Whether a schema that names its fields names this one, too; what it leaves open is taken as there."""
    for step in steps:
        said = members(schema) or {}
        if said.get("type") in _FLAT and isinstance(step, str) and not (said["type"] == "string" and step in METHODS):
            return f"'{so_far}' is of type {said['type']} and has no '{step}'."
        fields = members(said.get("properties"))
        if fields is None or any(said.get(word, False) is not False for word in _OPEN):
            return None
        if step not in fields:
            return f"'{so_far}' has no '{step}'; there are {', '.join(map(str, sorted(fields)))}."
        schema, so_far = fields[str(step)], f"{so_far}.{step}"
    return None


def _unknown(what: str, name: str, names: Mapping[str, object]) -> str:
    meant = nearest(name, names)
    return f"There is no {what} '{name:.60}'" + (f"; did you mean '{meant}'?" if meant else ".")
