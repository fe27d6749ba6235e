"""Votes kept and listed: the same laws on both engines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, text
from sqlalchemy.exc import IntegrityError
from store_faults import DAY, exchange

from gateway.store import feedback
from gateway.store.engine import Database
from gateway.store.feedback import MAX_COMMENT, Vote
from gateway.store.tables import exchanges
from gateway.store.writing import Lane


async def requests(database: Database, *numbers: int) -> None:
    lane = Lane(database, deadline=10)
    assert await lane.store([exchange(n) for n in numbers]) == []
    await lane.close()


def vote(number: int, **changes: Any) -> Vote:
    facts: dict[str, Any] = {
        "id": f"fb_{number:03}",
        "created_at": DAY + number,
        "updated_at": DAY + number,
        "request_id": exchange(1).id,
        "tenant": "acme",
        "source": f"acme/{number}",
        "metric": "overall",
        "score": 0.25,
        "comment": None,
        "provider": "openai",
        "model": "gpt-4o-mini",
        "route": "auto",
    }
    return Vote(**(facts | changes))


async def names(database: Database, **filters: Any) -> list[str]:
    return [one.id for one in (await feedback.listed(database, **filters)).items]


async def test_what_was_kept_is_what_is_read(database: Database) -> None:
    await requests(database, 1)
    kept = vote(1, created_at=DAY + 0.123456, comment="☃ fine", score=1 / 3)
    assert await feedback.put(database, kept) is None
    assert (await feedback.listed(database)).items == [kept]
    await feedback.weigh(database, kept.id, 0.75)
    assert (await feedback.listed(database)).items == [replace(kept, weight=0.75)]


async def test_a_second_vote_replaces_the_first_and_keeps_its_name(database: Database) -> None:
    await requests(database, 1)
    first = vote(1, comment="bad")
    await feedback.put(database, first)
    await feedback.weigh(database, first.id, 0.5)
    second = vote(2, source=first.source, score=1.0)
    assert await feedback.put(database, second) == replace(first, weight=0.5)
    assert (await feedback.listed(database)).items == [
        replace(first, score=1.0, comment=None, updated_at=second.updated_at, weight=0.5)
    ]


@pytest.mark.parametrize("field", ["source", "metric", "request_id"])
async def test_votes_that_differ_in_source_metric_or_request_stand_side_by_side(database: Database, field: str) -> None:
    await requests(database, 1, 2)
    await feedback.put(database, vote(1, source="s"))
    other = {"source": "t", "metric": "tone", "request_id": exchange(2).id}[field]
    assert await feedback.put(database, vote(2, **{"source": "s", field: other})) is None
    assert len(await names(database)) == 2


async def test_the_same_vote_at_once_is_kept_once(database: Database) -> None:
    await requests(database, 1)
    earlier = await asyncio.gather(*(feedback.put(database, vote(n, source="s")) for n in range(8)))
    assert sum(one is None for one in earlier) == 1
    assert len(await names(database)) == 1


async def test_no_text_is_unwritable_and_a_comment_is_bounded(database: Database) -> None:
    await requests(database, 1)
    await feedback.put(database, vote(1, comment="a\0b\ud800" + "x" * MAX_COMMENT, source="u\0\ud800"))
    (kept,) = (await feedback.listed(database)).items
    assert (kept.comment or "").startswith("a\ufffdb?xx")
    assert (len(kept.comment or ""), kept.source) == (MAX_COMMENT, "u\ufffd?")
    assert await feedback.put(database, vote(2, source="u\0\ud800")) is not None


async def test_filters_narrow(database: Database) -> None:
    await requests(database, 1, 2)
    await feedback.put(database, vote(1))
    await feedback.put(database, vote(2, tenant="other"))
    await feedback.put(database, vote(3, request_id=exchange(2).id))
    assert await names(database) == ["fb_003", "fb_002", "fb_001"]
    assert await names(database, tenant="acme") == ["fb_003", "fb_001"]
    assert await names(database, request_id=exchange(1).id) == ["fb_002", "fb_001"]
    assert await names(database, tenant="acme", since=DAY + 2) == ["fb_003"]
    assert await names(database, tenant="\0") == []


async def test_pages_do_not_shift_while_votes_arrive_or_change(database: Database) -> None:
    await requests(database, 1)
    for number in range(7):
        # Three of one instant, so that the id must decide between them.
        await feedback.put(database, vote(number, created_at=DAY + number // 3))
    first = await feedback.listed(database, limit=3)
    await feedback.put(database, vote(50))
    await feedback.put(database, vote(60, source="acme/2", score=1.0))
    second = await feedback.listed(database, cursor=first.next, limit=3)
    third = await feedback.listed(database, cursor=second.next, limit=3)
    pages = [[one.id for one in page.items] for page in (first, second, third)]
    assert pages == [["fb_006", "fb_005", "fb_004"], ["fb_003", "fb_002", "fb_001"], ["fb_000"]]
    assert third.next is None


async def test_a_cursor_no_page_gave_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await feedback.listed(database, cursor="2026-01-01~a")


async def test_votes_go_with_their_request(database: Database) -> None:
    await requests(database, 1)
    await feedback.put(database, vote(1))
    async with database.write() as connection:
        await connection.execute(delete(exchanges))
    assert await names(database) == []
    with pytest.raises(IntegrityError):
        await feedback.put(database, vote(2))


@pytest.mark.parametrize("column", ["", "tenant", "request_id"])
async def test_a_listing_walks_an_index(database: Database, column: str) -> None:
    await requests(database, 1, 2)
    async with database.write() as connection:
        rows = [
            feedback._values(vote(n, request_id=exchange(1 + n % 2).id))  # pyright: ignore[reportPrivateUsage] - rows as they are written
            for n in range(1000)
        ]
        await connection.execute(feedback.feedback.insert(), rows)
        if database.dialect == "postgresql":
            await connection.execute(text("ANALYZE feedback"))
        explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[database.dialect]
        where = f"WHERE {column} = 'x'" if column else ""
        plan = await connection.execute(
            text(f"{explain} SELECT id FROM feedback {where} ORDER BY created_at DESC, id DESC LIMIT 50")
        )
        lines = " ".join(str(row) for row in plan)
    expected = {
        "": "ix_feedback_created_at_id",
        "tenant": "ix_feedback_tenant_created_at",
        "request_id": "request_id_source_metric" if database.dialect == "postgresql" else "sqlite_autoindex_feedback",
    }
    assert expected[column] in lines
