"""The laws of keys: who is who, and who may do what."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import Forbidden, GatewayError, Unauthorized
from gateway.governance.keys import ANONYMOUS, Principal, Principals, require_admin

SALT = b"0123456789abcdef"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KEYS = (("ann", "key-of-ann"), ("bob", "key-of-bob"))


def principals(
    keys: tuple[tuple[str, str], ...] = KEYS,
    admin_key: str | None = "key-of-admin",
    *,
    open_to_all: bool = False,
    salt: bytes = SALT,
) -> Principals:
    named = [(Principal(name), key) for name, key in keys]
    return Principals(named, admin_key, open_to_all=open_to_all, salt=salt, wall=lambda: 0.0)


@pytest.mark.parametrize("open_to_all", [True, False])
@pytest.mark.parametrize(
    ("key", "principal"),
    [
        ("key-of-ann", Principal("ann")),
        ("key-of-bob", Principal("bob")),
        ("key-of-admin", Principal("admin", admin=True)),
    ],
)
def test_a_key_names_its_principal(key: str, principal: Principal, open_to_all: bool) -> None:
    assert principals(open_to_all=open_to_all).find(key) == principal


@pytest.mark.parametrize("open_to_all", [True, False])
@pytest.mark.parametrize("key", ["", "wrong", "key-of-ann ", "KEY-OF-ANN", "key-of-an", "key-of-ann\x00", "ann", "clé"])
def test_an_invalid_key_is_refused_even_where_none_is_needed(key: str, open_to_all: bool) -> None:
    with pytest.raises(Unauthorized) as caught:
        principals(open_to_all=open_to_all).find(key)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


def test_without_a_key_nobody_enters() -> None:
    with pytest.raises(Unauthorized):
        principals().find(None)


def test_without_a_key_everyone_enters_where_it_is_open_to_all_but_is_no_administrator() -> None:
    assert principals(open_to_all=True).find(None) == Principal(ANONYMOUS)
    assert principals((), open_to_all=True).find(None) == Principal(ANONYMOUS)
    assert principals(admin_key=None, open_to_all=True).find(None) == Principal(ANONYMOUS)


@pytest.mark.parametrize("key", [None, "", "any", "key-of-admin"])
@pytest.mark.parametrize("open_to_all", [True, False])
def test_where_there_are_no_keys_at_all_everyone_may_do_everything(key: str | None, open_to_all: bool) -> None:
    found = principals((), None, open_to_all=open_to_all).find(key)
    assert found == Principal(ANONYMOUS, admin=True)
    require_admin(found)


def test_an_admin_key_alone_closes_the_gateway_to_others() -> None:
    alone = principals(())
    assert alone.find("key-of-admin").admin
    for key in (None, "key-of-ann"):
        with pytest.raises(Unauthorized):
            alone.find(key)


def test_without_an_admin_key_no_caller_with_a_key_is_an_administrator() -> None:
    everyone = principals(admin_key=None)
    for _, key in KEYS:
        with pytest.raises(Forbidden):
            require_admin(everyone.find(key))


def test_only_the_admin_key_opens_administrative_routes() -> None:
    require_admin(principals().find("key-of-admin"))
    for _, key in KEYS:
        with pytest.raises(Forbidden) as caught:
            require_admin(principals().find(key))
        assert caught.value.status == 403


def test_a_caller_named_like_the_administrator_is_none() -> None:
    assert not principals((("admin", "key-of-ann"),)).find("key-of-ann").admin


def test_a_key_that_is_also_the_admin_key_opens_as_admin() -> None:
    assert principals((("ann", "same"),), "same").find("same").admin


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6, unique_by=lambda pair: pair[1]), TEXT)
def test_every_key_finds_its_own_principal_and_no_other_text_finds_one(keys: list[tuple[str, str]], guess: str) -> None:
    assume(keys)
    everyone = principals(tuple(keys), None)
    for name, key in keys:
        assert everyone.find(key).name == name
    if guess not in {key for _, key in keys}:
        with pytest.raises(GatewayError):
            everyone.find(guess)


def test_a_key_brings_along_how_its_caller_is_served() -> None:
    ann = Principal("ann", strategy="cost", objective="cheapest")
    everyone = Principals([(ann, "key-of-ann")], "key-of-admin", open_to_all=True, salt=SALT, wall=lambda: 0.0)
    assert everyone.find("key-of-ann") == ann
    assert (everyone.find(None).strategy, everyone.find("key-of-admin").objective) == (None, None)


@pytest.mark.parametrize("salt", [b"x" * 16, b"x" * 64])
def test_a_salt_of_16_to_64_bytes_serves(salt: bytes) -> None:
    assert principals(salt=salt).find("key-of-ann") == Principal("ann")


def test_bytes_that_are_no_text_are_an_invalid_key_and_no_defect() -> None:
    with pytest.raises(Unauthorized):
        principals().find(b"\xff\xfe".decode("utf-8", "surrogateescape"))


def steps(of: Principals, key: str) -> list[tuple[str, int]]:
    """Every line of ours that is run to refuse a key."""
    run: list[tuple[str, int]] = []

    def tell(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            run.append((frame.f_code.co_name, frame.f_lineno))
        return tell

    before = sys.gettrace()
    # Others have it call them, whenever it comes to collect.
    gc.disable()
    sys.settrace(tell)
    try:
        with pytest.raises(Unauthorized):
            of.find(key)
    finally:
        sys.settrace(before)
        gc.enable()
    return run


def test_how_much_of_a_guess_is_right_changes_nothing_of_what_is_done() -> None:
    """So its time says nothing: what is compared is a digest, of which a guesser does not know a bit."""
    many = tuple((f"caller-{number}", f"key-of-{number:0>20}") for number in range(100))
    known, right = principals(many), many[70][1]
    wrong = steps(known, "x" * len(right))
    assert wrong
    for guess in (right[:-1] + "x", "x" + right[1:], right[:3] + "x" * (len(right) - 3), right[::-1]):
        assert steps(known, guess) == wrong
    # Nor does it matter how many keys there are.
    assert steps(principals(), "x" * len(right)) == wrong


def test_no_key_is_kept_or_told() -> None:
    everyone = principals()
    kept = repr(vars(everyone))
    with pytest.raises(Unauthorized) as caught:
        everyone.find("a-wrong-guess-of-mine")
    for secret in ("key-of-ann", "key-of-admin"):
        assert secret not in kept
    assert "a-wrong-guess-of-mine" not in f"{caught.value} {caught.value!r}"
