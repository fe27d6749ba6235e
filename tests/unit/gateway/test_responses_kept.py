"""Responses that are kept: no answer waits for a database that hangs, and what is cut begins where somebody asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paused_time import run

from gateway import responses as under_test
from gateway.responses import Responses, trimmed
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.responses import Stored

RESPONSE: dict[str, Any] = {"id": "resp_1", "previous_response_id": None, "output": []}


def kept(monkeypatch: pytest.MonkeyPatch, put: Any) -> tuple[bool, float]:
    """What `keep` says of a store that does this, and how long it took on a clock that only waiting moves."""
    monkeypatch.setattr(under_test.responses, "put", put)

    async def work() -> tuple[bool, float]:
        began = asyncio.get_running_loop().time()
        done = await Responses(cast("Database", None), wall=lambda: 0.0).keep("t", RESPONSE, [])
        return done, asyncio.get_running_loop().time() - began

    return run(work())


def test_what_was_taken_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Stored] = []

    async def put(_database: Database, _tenant: str, stored: Stored, *, now: float) -> None:
        taken.append(stored)

    assert kept(monkeypatch, put)[0]
    assert taken == [Stored("resp_1", None, [], RESPONSE)]


def test_a_database_that_is_away_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(*_: object, now: float) -> None:
        raise StoreUnavailable("away")

    assert kept(monkeypatch, put) == (False, 0.0)


def test_a_database_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(*_: object, now: float) -> None:
        await asyncio.sleep(3_600)

    done, waited = kept(monkeypatch, put)
    assert not done
    assert waited == pytest.approx(under_test._PATIENCE, abs=0.1)  # pyright: ignore[reportPrivateUsage] - the promise


def test_a_defect_is_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(*_: object, now: float) -> None:
        raise TypeError

    with pytest.raises(TypeError):
        kept(monkeypatch, put)


items = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text("ab", max_size=200)})
    | st.fixed_dictionaries({"type": st.sampled_from(["function_call", "function_call_output"])}),
    max_size=12,
)


@given(items, st.lists(st.none() | st.integers(1, 400), max_size=3), st.integers(0, 300))
def test_what_is_left_is_the_end_and_begins_with_a_question(said: list[Any], windows: list[Any], own: int) -> None:
    left = trimmed(said, windows, own)
    assert left == said[len(said) - len(left) :]
    if len(left) < len(said):
        assert not left or left[0].get("role") == "user"
        largest = max((window or 8_192 for window in windows), default=8_192)
        assert sum(len(json.dumps(one, separators=(",", ":"))) for one in left) <= max(0, largest * 0.75 - own) * 4
