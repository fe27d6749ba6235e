"""Drafts: a model writes a definition for a goal, and it is checked like any other. Nothing is saved.

A draft with problems is sent back once, with all of them: most of what models get wrong they mend when told, and what
is wrong twice is wrong a third time. The cost of both is told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from inspect import getdoc
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errands import Asking, Errands, words
from gateway.errors import GatewayError, Invalid
from gateway.exchange import Exchange
from gateway.governance.keys import Principal
from gateway.workflows import spec
from gateway.workflows.library import understood
from gateway.workflows.shape import published
from gateway.workflows.spec import Json

SURFACE = "workflow"
#: How often a draft with problems is sent back.
_AGAIN = 1


class DraftFailed(GatewayError):
    """The model wrote no definition that can be kept."""

    status, type, code, source = 502, "api_error", "draft_invalid", "provider"


class Draft(Struct):
    """A definition that can be kept as it is, and what it took; `tries` counts answers."""

    definition: dict[str, Json]
    tries: int
    cost_usd: float
    provider: str | None
    model: str | None
    request_ids: list[str]


class Drafts:
    """Asks for drafts."""

    def __init__(
        self,
        pipeline: Callable[[], Asking],
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """By this pipeline, which may be another one after a reload."""
        self._errands = Errands(pipeline, SURFACE, wall=wall, monotonic=monotonic, rng=rng)

    async def draft(self, goal: str, model: str, by: Principal) -> Draft:
        """A definition for the goal. Raises `DraftFailed` with the problems, and what the pipeline raises."""
        messages: list[Json] = [{"role": "system", "content": instructions()}, {"role": "user", "content": goal}]
        cost, names, problems = 0.0, list[str](), list[dict[str, str]]()
        for tries in range(1, _AGAIN + 2):
            exchange = self._errands.exchange(by.name, model, {"workflow": "draft"}, caller=by)
            try:
                said = await self._ask(exchange, model, messages)
            finally:
                cost += exchange.cost
            names.append(exchange.id)
            try:
                definition = await asyncio.to_thread(understood, _tree(said))
            except Invalid as exc:
                problems = exc.problems
            else:
                tree: dict[str, Json] = msgspec.to_builtins(definition)
                return Draft(tree, tries, cost, exchange.provider, exchange.model, names)
            messages += [{"role": "assistant", "content": said}, {"role": "user", "content": _told(problems)}]
        failed = DraftFailed(f"The draft still has problems after {_AGAIN + 1} tries, which cost {cost:g} USD.")
        failed.problems = problems
        raise failed

    async def _ask(self, exchange: Exchange, model: str, messages: list[Json]) -> str:
        form = {"name": "workflow", "schema": published(), "strict": False}
        wish = {"type": "json_schema", "json_schema": form}
        body = msgspec.json.encode({"model": model, "messages": messages, "response_format": wish})
        return words(await self._errands.chat(exchange, body))


def instructions() -> str:
    """What a model must know to write a definition: the kinds of nodes, in the words of their own documentation."""
    kinds = [f"- `{name}`: {getdoc(kind)}" for name, kind in spec.KINDS.items()]
    parts = [
        "You write definitions of workflows. Answer with one JSON object and nothing else.",
        getdoc(spec) or "",
        "Kinds of nodes (field `type`):\n" + "\n".join(kinds),
        "All nodes have: " + (getdoc(spec.Node) or ""),
        "Edges: " + (getdoc(spec.Edge) or ""),
        "The definition: " + (getdoc(spec.Definition) or ""),
        "A node may read the output only of nodes that lead to it by edges. Slugs are lower case, with dashes.",
    ]
    return "\n\n".join(parts)


def _tree(said: str) -> Json:
    """The JSON in an answer, in a fence or not. Raises `Invalid`."""
    text = said[said.find("{") : said.rfind("}") + 1]
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        problems = [("$", f"The answer is no JSON object: {exc}.")]
        raise Invalid("This is no definition.", problems, param="definition", code="invalid_definition") from exc


def _told(problems: list[dict[str, Any]]) -> str:
    lines = "\n".join(f"- {one['path']}: {one['message']}" for one in problems)
    return f"This cannot be kept:\n{lines}\nMend all of it, and answer with the whole definition."
