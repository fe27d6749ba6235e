"""Definitions of workflows and their versions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from store_faults import DAY
from workflow_world import execution, running

from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.workflows import attempts, definitions, executions
from gateway.store.workflows.definitions import Kept, Saved, Version


def tree(text: str = "a") -> dict[str, Any]:
    return {"slug": "review", "nodes": {"draft": {"type": "prompt", "prompt": text, "temperature": 1.0}}}


async def save(database: Database, text: str, slug: str = "review", **facts: Any) -> Saved | None:
    return await definitions.save(database, slug, tree(text), by="app", now=DAY, **facts)


async def test_a_definition_comes_back_as_it_was_saved(database: Database) -> None:
    assert await save(database, "a") == Saved(1, changed=True)
    found = await definitions.load(database, "review")
    assert found == Kept("review", 1, 1, False, tree("a"), DAY, "app")
    assert await definitions.load(database, "other") is None
    assert await definitions.versions(database, "other") == []


async def test_only_what_differs_is_a_new_version(database: Database) -> None:
    await save(database, "a")
    assert await save(database, "a") == Saved(1, changed=False)
    assert await save(database, "b") == Saved(2, changed=True)
    assert await save(database, "a") == Saved(3, changed=True)
    assert await definitions.versions(database, "review") == [Version(n, DAY, "app") for n in (3, 2, 1)]
    old = await definitions.load(database, "review", 2)
    assert old is not None
    assert (old.definition, old.version, old.latest) == (tree("b"), 2, 3)
    assert await definitions.load(database, "review", 4) is None


async def test_a_new_definition_takes_no_slug_that_is_taken(database: Database) -> None:
    assert await save(database, "a", new=True) == Saved(1, changed=True)
    assert await save(database, "b", new=True) is None
    assert await save(database, "a", new=True) is None
    assert len(await definitions.versions(database, "review")) == 1


async def test_who_saves_at_once_is_numbered_one_after_the_other(database: Database) -> None:
    saved = await asyncio.gather(*(save(database, str(number % 3)) for number in range(6)), save(database, "x", "new"))
    numbers = sorted(one.version for one in saved[:6] if one is not None and one.changed)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 3
    assert [one.version for one in await definitions.versions(database, "review")] == numbers[::-1]
    fresh = await asyncio.gather(*(save(database, str(number), "only", new=True) for number in range(4)))
    assert sum(one is not None for one in fresh) == 1


async def test_definitions_are_listed_by_slug_in_pages(database: Database) -> None:
    for slug in ("c", "a", "d", "b"):
        await save(database, "x", slug)
    await save(database, "y", "b")
    await definitions.archive(database, "c", now=DAY)
    first = await definitions.listed(database, limit=2)
    assert [(one.slug, one.version) for one in first] == [("a", 1), ("b", 2)]
    assert [one.slug for one in await definitions.listed(database, after="b")] == ["d"]


async def test_an_archived_definition_keeps_its_versions_and_comes_back_with_the_next(database: Database) -> None:
    await save(database, "a")
    assert await definitions.archive(database, "review", now=DAY) == 0
    assert await definitions.archive(database, "review", now=DAY) is None
    assert await definitions.load(database, "review") is None
    old = await definitions.load(database, "review", 1)
    assert old is not None
    assert old.archived
    assert await save(database, "a", new=True) == Saved(2, changed=True)
    found = await definitions.load(database, "review")
    assert found is not None
    assert (found.version, found.archived) == (2, False)


async def test_a_definition_with_executions_that_go_on_is_archived_only_by_force(database: Database) -> None:
    await save(database, "a")
    fence = await running(database)
    await executions.submit(database, execution(2))
    assert await definitions.archive(database, "review", now=DAY) == 2
    assert await definitions.load(database, "review") is not None
    assert await definitions.archive(database, "review", now=DAY, force=True) == 2
    assert await definitions.load(database, "review") is None
    assert await attempts.end(database, fence, "completed", now=DAY)


async def test_text_no_engine_takes_does_no_harm(database: Database) -> None:
    words = "a\0b\ud800"
    assert await definitions.save(database, words, {words: words}, by=words, now=DAY) == Saved(1, changed=True)
    assert await definitions.save(database, words, {words: words}, by=words, now=DAY) == Saved(1, changed=False)
    assert await definitions.load(database, words) is not None


async def test_a_database_that_is_away_says_so(tmp_path: Any) -> None:
    empty = Database(f"sqlite+aiosqlite:///{tmp_path}/none.db")
    for work in (
        save(empty, "a"),
        definitions.load(empty, "review"),
        definitions.listed(empty),
        definitions.versions(empty, "review"),
        definitions.archive(empty, "review", now=DAY),
    ):
        with pytest.raises(StoreUnavailable):
            await work
    await empty.dispose()
