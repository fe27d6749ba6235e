"""`X-Steelyard-*` headers: each means something, or is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.preferences import PREFIX, read
from gateway.errors import BadRequest
from gateway.exchange import Preferences

HEADERS = ("strategy", "objective", "providers", "timeout-ms", "cache", "cache-ttl", "session-id", "drop-params")


def one(name: str, value: str) -> Preferences:
    return read([(f"x-steelyard-{name}".encode(), value.encode("latin-1"))])


@pytest.mark.parametrize(
    ("name", "value", "field", "meaning"),
    [
        ("strategy", "cost", "strategy", "cost"),
        ("strategy", "  cost ", "strategy", "cost"),
        ("objective", "cheapest", "objective", "cheapest"),
        ("providers", "a", "providers", ("a",)),
        ("providers", " b/m , a,,", "providers", ("b/m", "a")),
        ("timeout-ms", "1500", "timeout", 1.5),
        ("timeout-ms", "0.5", "timeout", 0.0005),
        ("cache", "on", "cache", "on"),
        ("cache", "OFF", "cache", "off"),
        ("cache", " refresh ", "cache", "refresh"),
        ("cache-ttl", "30", "cache_ttl", 30.0),
        ("session-id", "chat-7", "session_id", "chat-7"),
        ("drop-params", "true", "drop_params", True),
        ("drop-params", "1", "drop_params", True),
        ("drop-params", "On", "drop_params", True),
        ("drop-params", "false", "drop_params", False),
        ("drop-params", "0", "drop_params", False),
        ("drop-params", "off", "drop_params", False),
    ],
)
def test_each_header_sets_its_one_wish(name: str, value: str, field: str, meaning: object) -> None:
    assert one(name, value) == Preferences(**{field: meaning})  # pyright: ignore[reportArgumentType] - by name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", ""),
        ("strategy", "   "),
        ("objective", ""),
        ("providers", ""),
        ("session-id", " "),
        *((name, bad) for name in ("timeout-ms", "cache-ttl") for bad in ("", "0", "-1", "nan", "inf", "-inf", "soon")),
        ("timeout-ms", "1e999"),
        ("cache", ""),
        ("cache", "yes"),
        ("cache", "true"),
        ("drop-params", ""),
        ("drop-params", "maybe"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_the_headers_name(name: str, value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        one(name, value)
    assert caught.value.param is not None
    assert caught.value.param.lower() == f"x-steelyard-{name}"
    assert caught.value.param in caught.value.message


@pytest.mark.parametrize("value", [",", " , ,"])
def test_a_list_of_no_providers_means_nothing(value: str) -> None:
    with pytest.raises(BadRequest):
        one("providers", value)


@pytest.mark.parametrize("value", ["x" * 129, "a b", "a/b", "ä"])
def test_a_session_id_is_the_same_in_header_and_body(value: str) -> None:
    with pytest.raises(BadRequest):
        one("session-id", value)


def test_a_timeout_is_at_most_a_day_in_header_and_body() -> None:
    with pytest.raises(BadRequest):
        one("timeout-ms", "86400001")


def test_an_unknown_name_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(BadRequest, match="'x-steelyard-strategie'") as caught:
        one("strategie", "cost")
    for name in HEADERS:
        assert f"x-steelyard-{name}" in caught.value.message.lower()


def test_other_headers_are_nothing_to_us() -> None:
    assert read([(b"host", b"x"), (b"x-steely", b"y"), (b"authorization", b"Bearer z")]) == Preferences()


def test_wishes_add_up_and_the_last_of_a_name_counts() -> None:
    pairs = [(b"x-steelyard-cache", b"on"), (b"x-steelyard-strategy", b"cost"), (b"x-steelyard-cache", b"off")]
    assert read(pairs) == Preferences(cache="off", strategy="cost")


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(BadRequest) as caught:
        one("timeout-ms", "x" * 5000)
    assert len(caught.value.message) < 200


@given(
    name=st.sampled_from([*HEADERS, "other", ""]) | st.text(st.characters(codec="latin-1"), max_size=8),
    value=st.binary(max_size=40),
)
def test_whatever_is_sent_is_understood_or_refused(name: str, value: bytes) -> None:
    try:
        found = read([(PREFIX + name.encode("latin-1"), value)])
    except BadRequest:
        return
    assert found.timeout is None or 0 < found.timeout < float("inf")
    assert found.cache in {None, "on", "off", "refresh"}
