"""Whether this gateway has what a definition needs beside what `check` and `Library` look at: MCP servers, models.

A server, and a tool of a server that has told its tools, are there or not: what is not is a problem, and the definition
is not kept. Models and providers are the operator's, who may bring them by a reload of the settings, or has them where
the definition will run: what is not there is a warning, and is told again by the step that meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct, field

from gateway.mcp.servers import Servers
from gateway.pipeline import Pipeline
from gateway.workflows.problems import Problem, at
from gateway.workflows.spec import Definition, Loop, Map, Node, Prompt, Tool


class Around(Struct):
    """What is missing: problems keep a definition from being saved, warnings do not."""

    problems: list[Problem] = field(default_factory=list[Problem])
    warnings: list[Problem] = field(default_factory=list[Problem])


Look = Callable[[Definition], Around]


def nowhere(definition: Definition) -> Around:
    """Look at nothing."""
    return Around()


def around(definition: Definition, servers: Servers, pipeline: Pipeline) -> Around:
    """What these do not have of what the definition needs."""
    found = Around()
    for where, node in inner_nodes(definition):
        if isinstance(node, Tool) and (lacking := servers.lacks(node.server, node.tool)) is not None:
            found.problems.append(Problem(at(*where, lacking[0]), lacking[1]))
        elif isinstance(node, Prompt):
            for one in pipeline.amiss(node.model, node.providers):
                found.warnings.append(Problem(at(*where, *one.where), one.message))
    return found


def inner_nodes(definition: Definition) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every node that does something itself, also within maps and loops, and where it stands."""
    for key, node in definition.nodes.items():
        if isinstance(node, Map | Loop):
            yield ("nodes", key, "node"), node.node
        else:
            yield ("nodes", key), node
