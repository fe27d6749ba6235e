"""The definitions: saved in versions that never change, found, checked, and what their inputs must be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway import schemas
from gateway.errors import Conflict, Invalid, NotFound
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.workflows import definitions
from gateway.store.workflows.definitions import Kept, Version
from gateway.workflows.check import checked
from gateway.workflows.problems import BadDefinition, Problem, at
from gateway.workflows.spec import Definition, Json, Prompt, SubWorkflow
from gateway.workflows.surroundings import Look, inner_nodes, nowhere

#: Definitions kept ready, by slug and version, which never change. At some 20 kB each, 5 MB.
_READY = 256


class Found(Struct, frozen=True):
    """A definition ready to be run, and what is kept of it."""

    kept: Kept
    definition: Definition
    #: What this gateway cannot do of it now, told when it is saved.
    warnings: list[Problem] = []


class Library:
    """All definitions."""

    def __init__(
        self,
        database: Database,
        *,
        wall: Callable[[], float],
        objectives: Callable[[], Collection[str]] | None = None,
        look: Look = nowhere,
    ) -> None:
        """Kept in this database; `look` sees whether this gateway has what a definition needs.

        Prompts may name these objectives, or any where nobody says which there are.
        """
        self._look = look
        self._database = database
        self._wall = wall
        self._objectives = objectives
        self._ready: dict[tuple[str, int], Definition] = {}

    async def save(
        self, tree: Json, *, by: str, slug: str | None = None, new: bool = False, act: Act | None = None
    ) -> tuple[Found, bool]:
        """Keep a definition; whether that made a version, whose `act` is kept with it. `slug`: what the address says.

        Raises `Invalid` with all that is wrong, and `Conflict` when a `new` one is there already.
        """
        # In a thread: some seconds, where a template is long.
        definition = await asyncio.to_thread(understood, tree)
        if slug is not None and definition.slug != slug:
            raise Invalid(
                "The slug is part of the address.", [(at("slug"), f"must be '{slug}'")], param="slug", code=_BAD
            )
        if definition.slug in _TAKEN:
            said = f"'{definition.slug}' is an address of its own; call it something else"
            raise Invalid("This slug is taken.", [(at("slug"), said)], param="slug", code=_BAD)
        around = self._look(definition)
        problems = [*around.problems, *self._unknown_objectives(definition), *await self._unknown_children(definition)]
        if problems:
            told = [(one.path, one.message) for one in sorted(problems)]
            raise Invalid("This definition cannot be kept.", told, param="nodes", code=_BAD)
        written = msgspec.to_builtins(definition)
        saved = await definitions.save(
            self._database, definition.slug, written, by=by, now=self._wall(), new=new, act=act
        )
        if saved is None:
            raise Conflict(f"There is a workflow '{definition.slug}'. PUT /api/workflows/{definition.slug} changes it.")
        found = await self.get(definition.slug, saved.version)
        return replace(found, warnings=around.warnings), saved.changed

    async def get(self, slug: str, version: int | None = None) -> Found:
        """A definition, the newest unless a version is named. Raises `NotFound`."""
        kept = await definitions.load(self._database, slug, version)
        if kept is None:
            which = "" if version is None else f" version {version}"
            raise NotFound(f"There is no workflow '{slug:.80}'{which}. GET /api/workflows lists them.")
        known = self._ready.get((kept.slug, kept.version))
        if known is None:
            if len(self._ready) >= _READY:
                self._ready.clear()
            known = self._ready[kept.slug, kept.version] = msgspec.convert(kept.definition, Definition)
        return Found(kept, known)

    async def listed(self, *, after: str | None, limit: int) -> tuple[list[Kept], str | None]:
        """A page by slug, and behind which slug the next begins."""
        found = await definitions.listed(self._database, after=after or "", limit=limit + 1)
        return found[:limit], (found[limit - 1].slug if len(found) > limit else None)

    async def versions(self, slug: str) -> list[Version]:
        """All versions, newest first. Raises `NotFound`."""
        found = await definitions.versions(self._database, slug)
        if not found:
            raise NotFound(f"There is no workflow '{slug:.80}'. GET /api/workflows lists them.")
        return found

    async def archive(self, slug: str, *, force: bool, act: Act | None = None) -> None:
        """Let no execution begin any more. Raises `NotFound`, and `Conflict` while some have not ended."""
        live = await definitions.archive(self._database, slug, now=self._wall(), force=force, act=act)
        if live is None:
            raise NotFound(f"There is no workflow '{slug:.80}'.")
        if live and not force:
            raise Conflict(
                f"{live} executions of '{slug}' have not ended. Cancel them, or add ?force=true to let them end."
            )

    def _unknown_objectives(self, definition: Definition) -> list[Problem]:
        """Those that prompts name must be there; what they weigh themselves `check` has seen."""
        if self._objectives is None:
            return []
        known = self._objectives()
        there = f"There are {', '.join(known)}."
        return [
            Problem(at(*where, "objective"), f"There is no objective '{node.objective:.60}'. {there}")
            for where, node in inner_nodes(definition)
            if isinstance(node, Prompt) and isinstance(node.objective, str) and node.objective not in known
        ]

    async def _unknown_children(self, definition: Definition) -> list[Problem]:
        """The workflows it runs must be there, but for itself: a loop that the depth ends is allowed."""
        problems: list[Problem] = []
        for where, node in inner_nodes(definition):
            if not isinstance(node, SubWorkflow) or node.slug == definition.slug:
                continue
            if await definitions.load(self._database, node.slug, node.version) is None:
                problems.append(Problem(at(*where, "slug"), f"There is no workflow '{node.slug}'; save it first."))
        return problems


_BAD = "invalid_definition"
#: What stands where a slug does in addresses: `POST /api/workflows/plan`.
_TAKEN = ("plan",)


def understood(tree: Json) -> Definition:
    """The definition that a JSON tree spells. Raises `Invalid` with all that is wrong."""
    try:
        return checked(tree)
    except BadDefinition as exc:
        problems = [(one.path, one.message) for one in exc.problems]
        raise Invalid("This definition cannot be kept.", problems, param="definition", code=_BAD) from exc


def check_inputs(definition: Definition, inputs: Json) -> None:
    """Raise `Invalid` unless the inputs follow the definition's schema."""
    schema: dict[str, Any] = {"type": "object", **definition.input_schema}
    errors = list(schemas.Validator(schema).errors(inputs))
    if errors:
        problems = [(schemas.json_path(("inputs", *one.path)), one.message) for one in errors]
        raise Invalid(
            "The inputs do not follow the workflow's schema.", problems, param="inputs", code="invalid_inputs"
        )


def check_form(schema: Json, data: Json) -> None:
    """Raise `Invalid` unless what a person decided with follows the form of the approval, if it has one."""
    errors = list(schemas.Validator(schema).errors(data)) if schema else []
    if errors:
        problems = [(schemas.json_path(("data", *one.path)), one.message) for one in errors]
        raise Invalid("The data do not follow the form.", problems, param="data", code="invalid_data")
