"""Whether this gateway has what a definition needs: MCP servers and tools, models, providers, strategies, objectives.

A server, a tool of a server that has told its tools, a strategy and what weighs are there or not: what is not is a
problem, and the definition is not kept. Models, providers and named objectives are the operator's, who may bring them
by a reload of the settings, or has them where the definition will run: what is not there is a warning, and is told
again by the step that meets it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from gateway.mcp.servers import Servers
from gateway.pipeline import Pipeline
from gateway.workflows.problems import Problem, at
from gateway.workflows.spec import Definition, Prompt, Tool


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
    for key, node in definition.nodes.items():
        inner = getattr(node, "node", node)
        where = ("nodes", key) if inner is node else ("nodes", key, "node")
        if isinstance(inner, Tool) and (lacking := servers.lacks(inner.server, inner.tool)) is not None:
            found.problems.append(Problem(at(*where, lacking[0]), lacking[1]))
        elif isinstance(inner, Prompt):
            for one in pipeline.amiss(inner.model, inner.providers, inner.strategy, inner.objective):
                told = found.warnings if one.passing else found.problems
                told.append(Problem(at(*where, *one.where), one.message))
    return found
