"""What is found by name, and what only looks like it."""

from __future__ import annotations

import sys

import pytest

from gateway.guardrails.patterns import KNOWN, own
from gateway.guardrails.regexes import BadRegex, compiled


def found(name: str, text: str) -> list[str]:
    return [text[start:end] for start, end in KNOWN[name].find(text)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("email", "to alice.b+x@mail.example.co.uk, or <bob@x.org>.", ["alice.b+x@mail.example.co.uk", "bob@x.org"]),
        ("email", "@alice, or alice@home", []),
        ("phone", "+49 151 2345-6789 and (212) 555-0187 and 212.555.0187", 3),
        ("phone", "in 2024, 1999 of 100 000 000", []),
        ("card", "4111111111111111", 1),
        ("card", "12 4111 1111 1111 1111 07", ["4111 1111 1111 1111"]),
        ("card", "3782-822463-10005 and 5555 5555 5555 4444", ["3782-822463-10005", "5555 5555 5555 4444"]),
        ("card", "4111111111111112", []),  # check digit
        ("card", "0000000000000000 9999999999999995", []),  # nobody's
        ("iban", "to DE89 3704 0044 0532 0130 00 EUR", ["DE89 3704 0044 0532 0130 00"]),
        ("iban", "gb29nwbk60161331926819.", ["gb29nwbk60161331926819"]),
        ("iban", "DE89 3704 0044 0532 0130 01", []),
        ("iban", "DE8937040044053201300099", []),
        ("api_key", "sk-proj-abcdefghij1234567890", 1),
        ("api_key", "AKIAIOSFODNN7EXAMPLE ghp_0123456789012345678901234567890123ab", 2),
        ("api_key", "sk-learn-pipeline-with-transformers", []),
        ("private_key", "x -----BEGIN RSA PRIVATE KEY-----\nMI-I\n-----END RSA PRIVATE KEY----- y", 1),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nMII and no end", 1),
        ("private_key", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----", []),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_", 1),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9", []),
        # As pages and PDFs write them.
        ("card", "4111\u00a01111\u00a01111\u00a01111 or 3782\u2011822463\u201110005", 2),
        ("iban", "DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00", 1),
        ("phone", "212\u2013555\u20130187, +49\u00a0151\u00a02345678 and ＋４９ １５１ ２３４５６７８", 3),
        ("phone", "+\u0669\u0668\u06f1\u06f2 345 6789", 1),
        ("email", "alice＠example．com", 1),
        # Within JSON that a text quotes.
        ("card", r'{"a": "Card:\n4111 1111 1111 1111"}', ["4111 1111 1111 1111"]),
        ("iban", r'{"a": "\tDE89370400440532013000\n"}', ["DE89370400440532013000"]),
        ("api_key", r'{"stdout": "\nsk-proj-abcdefghij1234567890\n"}', ["sk-proj-abcdefghij1234567890"]),
    ],
)
def test_known_patterns(name: str, text: str, expected: list[str] | int) -> None:
    these = found(name, text)
    assert (len(these) if isinstance(expected, int) else these) == expected


@pytest.mark.parametrize("text", ["1 " * 2_000, "4-1 " * 1_000, "4111 1111 1111 1112 " * 200])
def test_a_run_of_digits_is_little_work(text: str) -> None:
    """A prompt may be nothing else, and everybody waits."""
    calls = 0

    def count(_frame: object, _event: str, _arg: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        list(KNOWN["card"].find(text))
    finally:
        sys.setprofile(before)
    assert calls < 8 * len(text)


@pytest.mark.parametrize(("name", "bound"), [("jwt", 2), ("email", 64), ("api_key", 280)])
def test_a_long_word_is_not_held_back_for_what_it_cannot_become(name: str, bound: int) -> None:
    word = "QUJD-" * 2_000
    assert len(word) - KNOWN[name].may_begin(word) <= bound


@pytest.mark.parametrize("name", KNOWN)
def test_the_end_of_a_text_is_held_back_only_where_one_may_have_begun(name: str) -> None:
    pattern = KNOWN[name]
    samples = {
        "email": "a.b@mail.example.com",
        "phone": "+49 151 2345-6789",
        "card": "4111 1111 1111 1111",
        "iban": "DE89 3704 0044 0532 0130 00",
        "api_key": "sk-proj-abcdefghij1234567890",
        "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMII=\n-----END RSA PRIVATE KEY-----",
        "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    }
    before, one = "Well, it is! ", samples[name]
    for size in range(1, len(one)):
        assert pattern.may_begin(before + one[:size]) == len(before)
    calm = "Nothing of this kind, of course; "
    assert pattern.may_begin(calm) == len(calm)


def test_an_expression_of_ones_own_holds_back_as_much_as_it_says() -> None:
    assert own("x", "a+b", 5).may_begin("0123456789") == 6


@pytest.mark.parametrize("expression", ["(a", r"(?=a)", r"(a)\1", "a{1001}"])
def test_what_cannot_be_matched_in_linear_time_is_refused(expression: str) -> None:
    with pytest.raises(BadRegex):
        compiled(expression)


def test_an_expression_that_stops_other_engines_stops_nobody() -> None:
    assert compiled("^(a+)+$").search("a" * 50_000 + "!") is None
