"""A node's fields with everything filled in from what is known. Pure: the same states give the same call.

`nodes.<key>.output` is there of a node that has succeeded; of one that was skipped, failed and branches, or that a join
of `any` did not wait for, it is null, so that such a join may write `{{ nodes.a.output or nodes.b.output }}`.
`nodes.<key>.error` says why one failed (`type`, `message`, `code`, `status`), also where a default stands in; else it
is null.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from gateway.workflows.plan import FAILED, State
from gateway.workflows.reads import reads, strings
from gateway.workflows.spec import Definition, Edge, Json, Node, Switch, Vote, keep_as, members
from gateway.workflows.templates import BadTemplate, evaluate, fill, references

Scope = dict[str, Any]
_ENDED = ("succeeded", "skipped", *FAILED)
_AnyNode = TypeVar("_AnyNode", bound=Node)


def completed(definition: Definition, inputs: Json) -> Json:
    """The inputs, with what the schema says stands for those that were left out: its default, or null.

    So a template that passed the check finds every input that the schema names.
    """
    fields = members(definition.input_schema.get("properties")) or {}
    given = members(inputs)
    if given is None:
        return inputs
    return {name: (members(one) or {}).get("default") for name, one in fields.items() if name not in given} | given


def scope(inputs: Json, states: Mapping[str, State], **more: Json) -> Scope:
    """What templates see; the inputs are `completed`."""
    known = {key: {"output": one.output, "error": one.error} for key, one in states.items() if one.status in _ENDED}
    return {"input": inputs, "nodes": known, **more}


def readable(definition: Definition, inputs: Json, states: Mapping[str, State]) -> Scope:
    """What a node that begins now sees: `scope`, and null of every node that it did not wait for.

    Those are on ways that were not taken, though nobody has said so of them yet, or not taken so far (a join of `any`).
    """
    known = scope(inputs, states)
    absent = {key: {"output": None, "error": None} for key in definition.nodes}
    return {**known, "nodes": absent | known["nodes"]}


def bound(node: _AnyNode, known: Scope) -> _AnyNode:
    """The node with its templates filled in. Raises `BadTemplate`."""
    filled: dict[str, Any] = {name: fill(getattr(node, name), known) for name in node.TEMPLATES}
    kept = keep_as(node)
    if kept is not None:
        name = fill(kept.name, known)
        filled["artifact"] = replace(kept, name=name if isinstance(name, str) else json.dumps(name))
    return replace(node, **filled)


def still_read(definition: Definition, done: Collection[str]) -> set[str]:
    """The nodes whose outputs may yet be read, by whatever is not among those that are `done`."""
    found = {one.of for key, one in definition.nodes.items() if key not in done and isinstance(one, Vote)}
    for read in reads(definition):
        if read.known_at in done and not read.inclusive:
            continue
        for one in references(read.text, expression=read.expression):
            if one.steps[0] == "nodes":
                found |= {str(one.steps[1])} if len(one.steps) > 1 else definition.nodes.keys()
    if not definition.outputs:
        found |= definition.nodes.keys() - {edge.source for edge in definition.edges}
    return found


def holds(edge: Edge, known: Scope) -> bool:
    """Whether its condition holds. Raises `BadTemplate`."""
    return edge.condition is None or bool(evaluate(edge.condition, known))


def case(node: Switch, known: Scope) -> str | None:
    """The first case that holds. Raises `BadTemplate`."""
    return next((name for name, expression in node.cases.items() if evaluate(expression, known)), None)


def outputs(definition: Definition, inputs: Json, states: Mapping[str, State]) -> dict[str, Json]:
    """What comes out of an execution whose nodes ended so. Raises `BadTemplate`."""
    if not definition.outputs:
        sources = {edge.source for edge in definition.edges}
        ends = (key for key in definition.nodes if key not in sources and key in states)
        return {key: states[key].output for key in ends if states[key].status == "succeeded"}
    known = scope(inputs, states)
    gone = {key for key in definition.nodes if states.get(key, State()).status != "succeeded"}
    return {name: _output(tree, known, gone) for name, tree in definition.outputs.items()}


def _output(tree: Json, known: Scope, gone: set[str]) -> Json:
    try:
        return fill(tree, known)
    except BadTemplate:
        if _needed(tree) & gone:
            return None
        raise


def _needed(tree: Json) -> set[str]:
    """The nodes whose outputs a tree of templates reads."""
    found = (one for _, text in strings(tree, ()) for one in references(text, expression=False))
    return {str(one.steps[1]) for one in found if one.steps[0] == "nodes" and len(one.steps) > 1}
