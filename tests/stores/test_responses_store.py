"""Responses kept and found again: the same laws on both engines."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from store_faults import DAY

from gateway.store import responses, retention
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.responses import Stored


def stored(number: int, previous: int | None = None, **changes: Any) -> Stored:
    facts: dict[str, Any] = {
        "id": f"resp_{number}",
        "previous": None if previous is None else f"resp_{previous}",
        "input": [{"id": f"msg_{number}_i0", "text": f"question {number} \U0001f9f0"}],
        "response": {"id": f"resp_{number}", "output": [{"text": f"answer {number}"}]},
    }
    return Stored(**(facts | changes))


async def put(database: Database, *many: Stored, tenant: str = "acme") -> None:
    for one in many:
        await responses.put(database, tenant, one, now=DAY)


async def test_a_response_comes_back_as_it_was_kept(database: Database) -> None:
    one, other = stored(1), stored(2, 1)
    await put(database, one, other)
    found = await responses.load(database, "acme", ["resp_2", "resp_1", "resp_3"])
    assert sorted(found, key=lambda each: each.id) == [one, other]


async def test_a_chain_is_told_oldest_first(database: Database) -> None:
    await put(database, stored(1), stored(2, 1), stored(3, 2), stored(4, 2), stored(5, 4))
    found = await responses.chain(database, "acme", "resp_5", longest=10)
    assert [one.id for one in found] == ["resp_1", "resp_2", "resp_4", "resp_5"]
    assert found[-1] == stored(5, 4)
    assert await responses.chain(database, "acme", "resp_9", longest=10) == []


async def test_a_chain_ends_where_one_is_missing_or_it_is_too_long(database: Database) -> None:
    await put(database, stored(1), *(stored(number, number - 1) for number in range(2, 7)))
    long = await responses.chain(database, "acme", "resp_6", longest=3)
    assert [one.id for one in long] == ["resp_4", "resp_5", "resp_6"]
    assert await responses.remove(database, "acme", "resp_3")
    broken = await responses.chain(database, "acme", "resp_6", longest=10)
    assert (broken[0].id, broken[0].previous) == ("resp_4", "resp_3")


async def test_a_tenants_responses_are_its_own(database: Database) -> None:
    await put(database, stored(1), stored(2, 1))
    await put(database, stored(1, response={"id": "theirs"}), stored(3, 2), tenant="other")
    assert [one.response["id"] for one in await responses.load(database, "other", ["resp_1", "resp_2"])] == ["theirs"]
    # Nobody's conversation goes on through another's.
    assert [one.id for one in await responses.chain(database, "other", "resp_3", longest=10)] == ["resp_3"]
    assert not await responses.remove(database, "other", "resp_2")
    assert await responses.remove(database, "other", "resp_1")
    assert [one.id for one in await responses.load(database, "acme", ["resp_1"])] == ["resp_1"]


async def test_an_id_is_kept_once(database: Database) -> None:
    await put(database, stored(1))
    with pytest.raises(IntegrityError):
        await put(database, stored(1))


async def test_text_no_engine_takes_does_no_harm(database: Database) -> None:
    words = "a\0b\ud800"
    await put(database, stored(1, input=[{"text": words}]), tenant=words)
    (found,) = await responses.load(database, words, ["resp_1", words])
    assert found.input[0]["text"].startswith("a")
    assert await responses.chain(database, words, words, longest=3) == []
    assert not await responses.remove(database, words, words)


async def test_a_database_that_is_away_says_so(tmp_path: Any) -> None:
    empty = Database(f"sqlite+aiosqlite:///{tmp_path}/none.db")
    for work in (
        responses.put(empty, "t", stored(1), now=DAY),
        responses.load(empty, "t", ["x"]),
        responses.chain(empty, "t", "x", longest=3),
        responses.remove(empty, "t", "x"),
    ):
        with pytest.raises(StoreUnavailable):
            await work
    await empty.dispose()


async def _left(database: Database, tenant: str = "acme") -> list[str]:
    found = await responses.load(database, tenant, [f"resp_{number}" for number in range(200)])
    return sorted((one.id for one in found), key=lambda each: int(each.removeprefix("resp_")))


async def _put_at(database: Database, age_days: float, one: Stored, tenant: str = "acme") -> None:
    await responses.put(database, tenant, one, now=DAY - age_days * 86_400)


async def test_old_responses_are_forgotten_and_young_ones_stay(database: Database) -> None:
    for number, age in enumerate((0, 9.9, 10, 10.1, 400)):
        await _put_at(database, age, stored(number))
    assert await retention.tidy_responses(database, DAY, 10) == 2
    assert await _left(database) == ["resp_0", "resp_1", "resp_2"]
    assert await retention.tidy_responses(database, DAY, 10) == 0


async def test_without_a_retention_no_response_is_forgotten(database: Database) -> None:
    await _put_at(database, 4_000, stored(1))
    assert await retention.tidy_responses(database, DAY, None) == 0
    assert await _left(database) == ["resp_1"]


async def test_a_conversation_that_is_still_held_is_kept_whole(database: Database) -> None:
    # 1 ← 2 ← 3, of which 3 is young; 2 ← 4 ← 5, all old: the branch that nobody went on with goes.
    for number, previous, age in ((1, None, 90), (2, 1, 60), (3, 2, 1), (4, 2, 50), (5, 4, 40)):
        await _put_at(database, age, stored(number, previous))
    assert await retention.tidy_responses(database, DAY, 30) == 2
    assert await _left(database) == ["resp_1", "resp_2", "resp_3"]
    assert len(await responses.chain(database, "acme", "resp_3", longest=10)) == 3


async def test_another_tenants_conversation_keeps_nothing_of_mine(database: Database) -> None:
    await _put_at(database, 90, stored(1))
    await _put_at(database, 1, stored(2, 1), tenant="other")
    assert await retention.tidy_responses(database, DAY, 30) == 1
    assert (await _left(database), await _left(database, "other")) == ([], ["resp_2"])


async def test_more_responses_than_go_at_once_go_one_after_the_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS", 3)
    monkeypatch.setattr(retention, "_PAUSE", 0)
    for number in range(10):
        await _put_at(database, 60, stored(number, number - 1 if number % 5 else None))
    assert await retention.tidy_responses(database, DAY, 30) == 10
    assert await _left(database) == []
