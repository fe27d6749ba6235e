"""Every place of a definition where something is read of what an execution knows, and what is known there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gateway.workflows.problems import at
from gateway.workflows.spec import Definition, Json, Loop, Map, Node, elements, keep_as, members

_KNOWN = frozenset({"input", "nodes"})


class Read(Struct, frozen=True):
    """A template or an expression.

    `names` may be read there; of `nodes` those before `known_at`, itself too if `inclusive`; without it all.
    """

    path: str
    text: str
    expression: bool
    names: frozenset[str] = _KNOWN
    known_at: str | None = None
    inclusive: bool = False


def reads(definition: Definition) -> Iterator[Read]:
    """All of them."""
    for key, node in definition.nodes.items():
        yield from _of_node(node, ("nodes", key), key, _KNOWN)
    for place, edge in enumerate(definition.edges):
        if edge.condition is not None and edge.source in definition.nodes:
            path = at("edges", place, "condition")
            yield Read(path, edge.condition, True, known_at=edge.source, inclusive=True)
    for path, text in strings(definition.outputs, ("outputs",)):
        yield Read(path, text, False)


def _of_node(node: Node, where: tuple[str, ...], key: str, names: frozenset[str]) -> Iterator[Read]:
    for name in node.TEMPLATES:
        for path, text in strings(getattr(node, name), (*where, name)):
            yield Read(path, text, False, names, key)
    for name in node.EXPRESSIONS:
        more = {"output", "iteration"} if name == "until" else set[str]()
        for path, text in strings(getattr(node, name), (*where, name.rstrip("_"))):
            yield Read(path, text, True, names | more, key)
    if (kept := keep_as(node)) is not None:
        place = ("artifact",) if isinstance(node.artifact, str) else ("artifact", "name")
        yield Read(at(*where, *place), kept.name, False, names, key)
    if node.retry_if is not None:
        yield Read(at(*where, "retry_if"), node.retry_if, True, frozenset({"error"}), key)
    match node:
        case Map(node=inner):
            yield from _of_node(inner, (*where, "node"), key, names | {"item", "index"})
        case Loop(node=inner):
            yield from _of_node(inner, (*where, "node"), key, names | {"previous", "iteration"})
        case _:
            pass


def strings(tree: Json, where: tuple[str | int, ...]) -> Iterator[tuple[str, str]]:
    """Every string of a JSON tree, with its place."""
    if isinstance(tree, str):
        yield at(*where), tree
    steps: Iterable[tuple[str | int, Json]] = (members(tree) or {}).items()
    for step, value in (*steps, *enumerate(elements(tree) or ())):
        yield from strings(value, (*where, step))
