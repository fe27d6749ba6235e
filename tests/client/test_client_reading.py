"""Reading answers: what is known is typed, what is new is kept, what is missing is None, and nothing is an error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from steelyard_client.asking import Ask
from steelyard_client.reading import read


@dataclass(kw_only=True)
class Inner:
    at: datetime
    kind: Literal["a", "b"]


@dataclass(kw_only=True)
class Outer:
    name: str
    one: Inner | None
    many: list[Inner]
    named: dict[str, Inner]
    any: Any
    either: str | int
    left_out: str | None = None


AT = "2026-11-21T12:00:00.5Z"
MOMENT = datetime(2026, 11, 21, 12, 0, 0, 500_000, UTC)


def test_it_is_read_to_the_bottom() -> None:
    inner = {"at": AT, "kind": "a"}
    value = {"name": "x", "one": inner, "many": [inner], "named": {"k": inner}, "any": {"at": AT}, "either": 3}
    made = read(Outer, value)
    known = Inner(at=MOMENT, kind="a")
    assert made == Outer(name="x", one=known, many=[known], named={"k": known}, any={"at": AT}, either=3)


def test_what_is_new_is_an_attribute_and_what_is_missing_is_none() -> None:
    made = read(Outer, {"name": "x", "one": None, "future": {"a": 1}})
    assert made.future == {"a": 1}
    assert made.one is made.many is made.left_out is None


def test_what_is_of_another_kind_stays_as_it_came() -> None:
    made = read(Outer, {"name": 3, "one": "later", "many": {"not": "a list"}, "named": [1], "any": None})
    assert (made.name, made.one, made.many, made.named) == (3, "later", {"not": "a list"}, [1])
    assert read(Inner, {"at": "soon", "kind": "c"}).at == "soon"


def test_a_request_leaves_out_what_is_not_given() -> None:
    ask = Ask(
        method="GET",
        address="/a/{name}",
        place={"name": "x/y z"},
        query={"since": MOMENT, "flag": True, "none": None, "text": "a&b"},
        answer=str,
    )
    assert ask.request().path == "/a/x%2Fy%20z?since=2026-11-21T12%3A00%3A00.500000%2B00%3A00&flag=true&text=a%26b"


def test_a_time_without_a_zone_is_no_moment() -> None:
    asked = Ask(method="GET", address="/a", query={"since": datetime(2026, 1, 1)}, answer=str)
    with pytest.raises(ValueError, match="zone"):
        asked.request()


def test_what_json_cannot_say_is_told() -> None:
    with pytest.raises(TypeError, match="set has no form in JSON"):
        Ask(method="POST", address="/a", body={"x": {1}}, answer=str).request()
