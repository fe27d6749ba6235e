"""The laws of cache keys: what can change the answer changes the key, and what nobody knows forbids one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cache import key_of
from cache.keys import ASKED, UNASKED

#: Text as JSON and headers can carry it.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(sorted(ASKED)), JSON, max_size=6)
PINS = st.lists(TEXT, min_size=3, max_size=3)


def key(
    body: dict[str, Any], *, tenant: str = "t", surface: str = "chat", model: str = "m", pins: tuple[str, ...] = ()
) -> str:
    verdict = key_of(json.dumps(body).encode(), tenant=tenant, surface=surface, model=model, pins=pins)
    assert verdict.key is not None, verdict.why
    return verdict.key


def canonical(value: Any) -> str:
    """Values count by their bytes."""
    return json.dumps(value)


@given(BODIES, TEXT, TEXT)
def test_another_tenant_is_another_key(body: dict[str, Any], one: str, other: str) -> None:
    assume(one != other)
    assert key(body, tenant=one) != key(body, tenant=other)


@given(BODIES, TEXT, TEXT)
def test_another_surface_is_another_key(body: dict[str, Any], one: str, other: str) -> None:
    assume(one != other)
    assert key(body, surface=one) != key(body, surface=other)


@given(BODIES, TEXT, TEXT)
def test_another_model_asked_for_is_another_key(body: dict[str, Any], one: str, other: str) -> None:
    # Where the model stands in the URL, the body does not tell.
    assume(one != other)
    assert key(body, model=one) != key(body, model=other)


@given(BODIES, PINS, PINS)
def test_other_pins_are_another_key(body: dict[str, Any], one: list[str], other: list[str]) -> None:
    assume(one != other)
    assert key(body, pins=tuple(one)) != key(body, pins=tuple(other))


@given(BODIES, st.sampled_from(sorted(ASKED)), JSON)
def test_another_value_of_an_asked_field_is_another_key(body: dict[str, Any], name: str, value: Any) -> None:
    assume(canonical(body.get(name)) != canonical(value))
    assert key(body) != key({**body, name: value})


@given(BODIES, st.sampled_from(sorted(ASKED)))
def test_a_field_that_is_null_is_not_a_field_left_out(body: dict[str, Any], name: str) -> None:
    without = {one: value for one, value in body.items() if one != name}
    assert key(without) != key({**without, name: None})


@given(BODIES, st.dictionaries(st.sampled_from(sorted(UNASKED)), JSON, max_size=4))
def test_who_asks_and_how_it_is_billed_never_changes_the_key(body: dict[str, Any], beside: dict[str, Any]) -> None:
    assert key({**beside, **body}) == key(body)


@given(BODIES, st.randoms(use_true_random=False))
def test_the_order_of_fields_and_the_space_between_them_do_not_matter(body: dict[str, Any], rng: Any) -> None:
    shuffled = list(body.items())
    rng.shuffle(shuffled)
    spaced = "{ \n" + ",\t".join(f" {json.dumps(name)} : {json.dumps(value)} " for name, value in shuffled) + "}\n"
    verdict = key_of(spaced.encode(), tenant="t", surface="chat", model="m")
    assert verdict.key == key(body)


@given(BODIES, TEXT, JSON)
def test_a_field_nobody_knows_forbids_a_key_and_is_named(body: dict[str, Any], name: str, value: Any) -> None:
    assume(name not in ASKED | UNASKED)
    verdict = key_of(json.dumps({**body, name: value}).encode(), tenant="t", surface="chat", model="m")
    assert verdict.key is None
    assert f"'{name}'" in verdict.why


@given(BODIES, BODIES, PINS, PINS, st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_different_questions_never_run_together(
    one: dict[str, Any],
    other: dict[str, Any],
    pins: list[str],
    other_pins: list[str],
    who: tuple[str, str],
    other_who: tuple[str, str],
) -> None:
    same = (
        {name: canonical(value) for name, value in one.items()}
        == {name: canonical(value) for name, value in other.items()}
        and pins == other_pins
        and who == other_who
    )
    keys = [
        key(body, pins=tuple(given_pins), tenant=tenant, surface=surface)
        for body, given_pins, (tenant, surface) in ((one, pins, who), (other, other_pins, other_who))
    ]
    assert (keys[0] == keys[1]) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"tenant": "ab", "surface": "c"}, {"tenant": "a", "surface": "bc"}),
        ({"tenant": "", "surface": "abc"}, {"tenant": "abc", "surface": ""}),
        ({"pins": ("ab", "")}, {"pins": ("a", "b")}),
        ({"pins": ("", "x")}, {"pins": ("x", "")}),
        ({"pins": ("a",)}, {"pins": ("a", "")}),
    ],
)
def test_text_does_not_flow_over_its_borders(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key({}, **one) != key({}, **other)


def test_a_pin_is_never_taken_for_a_field() -> None:
    assert key({}, pins=("temperature", "0")) != key({"temperature": 0})


def test_two_spellings_of_one_value_miss_each_other() -> None:
    one = key_of(b'{"temperature":1}', tenant="t", surface="chat", model="m")
    other = key_of(b'{"temperature":1.0}', tenant="t", surface="chat", model="m")
    assert one.key != other.key


def test_a_field_spelled_with_escapes_is_the_same_field() -> None:
    plain = key_of(b'{"model":"m"}', tenant="t", surface="chat", model="m")
    escaped = key_of(b'{"mod\\u0065l":"m"}', tenant="t", surface="chat", model="m")
    assert plain == escaped


def test_the_key_begins_with_the_model() -> None:
    assert key({}, model="gpt-4o-mini").startswith("gpt-4o-mini|")


def test_no_field_is_both_asked_and_not() -> None:
    assert not ASKED & UNASKED


def test_a_key_is_the_same_in_every_process() -> None:
    # Shared by workers through Redis: nothing of a process (hash seeds, addresses) may enter it. The digest stays
    # put as long as the recipe does: whoever changes the recipe changes this line.
    verdict = key_of(b'{"model":"m","temperature":0}', tenant="t", surface="chat", model="m", pins=("", "", "False"))
    again = key_of(b'{"temperature": 0, "model": "m"}', tenant="t", surface="chat", model="m", pins=("", "", "False"))
    assert verdict == again
    assert verdict.key is not None
    assert len(verdict.key.removeprefix("m|")) == 40
