"""Texts in JSON bodies: all of them are found, and nothing else is changed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.guardrails import spots
from gateway.guardrails.matching import Blocked, Matcher, Rule
from gateway.guardrails.patterns import KNOWN, own
from gateway.guardrails.spots import TooMany, edited, scan, written

EMAIL, CARD = "alice@example.com", 4111111111111111
REDACTS = Matcher([Rule("g", KNOWN[name], redacts=True) for name in ("email", "card")])


def purged(body: object) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(REDACTS.purged(raw, lambda _: None))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"content": f"I am {EMAIL}"}, {"content": "I am [email]"}),
        (b'{"content": "alice\\u0040example.com"}', {"content": "[email]"}),
        ({"stop": [EMAIL, "x"]}, {"stop": ["[email]", "x"]}),
        ({"id": EMAIL, "model": EMAIL, "type": EMAIL}, {"id": EMAIL, "model": EMAIL, "type": EMAIL}),
        ({"input": {"id": EMAIL, "n": CARD}}, {"input": {"id": "[email]", "n": "[card]"}}),
        ({"args": {EMAIL: 1}}, {"args": {"[email]": 1}}),
        ({"input": [{"id": EMAIL}]}, {"input": [{"id": EMAIL}]}),
        ({"arguments": json.dumps({"to": EMAIL, "n": CARD})}, {"arguments": '{"to": "[email]", "n": "[card]"}'}),
        ({"arguments": json.dumps({"name": EMAIL, EMAIL: [1]})}, {"arguments": '{"name": "[email]", "[email]": [1]}'}),
        ({"arguments": f"not JSON {EMAIL}"}, {"arguments": "not JSON [email]"}),
        ({"signature": EMAIL, "data": "data:image/png;base64," + "A" * 300}, None),
        ({"data": "QUJD" * 100 + str(CARD)}, None),
        ({"data": f"data:;base64, {EMAIL}"}, {"data": "data:;base64, [email]"}),
        ({"data": f"data:{EMAIL};base64,{'A' * 300}"}, {"data": f"data:[email];base64,{'A' * 300}"}),
        ({"data": f"data:text/plain;charset=utf-8;base64,{'A' * 300}"}, None),
        (
            {"data": f"data:text/plain;base64,{'A' * 256} {EMAIL}"},
            {"data": f"data:text/plain;base64,{'A' * 256} [email]"},
        ),
        ({"data": f"{'A' * 300} {EMAIL}"}, {"data": f"{'A' * 300} [email]"}),
        (
            rb'{"data": "data:text\/plain;base64,%b4111111111111111"}' % (rb"AAA\/" * 100),
            {"data": f"data:text/plain;base64,{'AAA/' * 100}{CARD}"},
        ),
        ({"data": f"data:;base64,{CARD}"}, {"data": "data:;base64,[card]"}),
        ({"content": "no-space-" * 40 + str(CARD)}, {"content": "no-space-" * 40 + "[card]"}),
        ({"input": ["no-space-" * 40 + str(CARD)]}, {"input": ["no-space-" * 40 + "[card]"]}),
        ({"input": {"text": "QUJD" * 100 + str(CARD)}}, None),
        ({"prompt": {"variables": {"name": EMAIL}}}, {"prompt": {"variables": {"name": "[email]"}}}),
        ({"arguments": r'["alice\u0040example.com"]'}, {"arguments": '["[email]"]'}),
        ({"content": r' {"id": "alice\u0040example.com"}'}, {"content": ' {"id": "[email]"}'}),
        ({"content": r'["\u0040", "alice@example.com" ]'}, {"content": r'["\u0040", "[email]" ]'}),
        ({"content": r"{no JSON \u0040 alice@example.com"}, {"content": r"{no JSON \u0040 [email]"}),
        ({"data": f"plain text of {EMAIL}"}, {"data": "plain text of [email]"}),
        ({"created": CARD, "x": 0.4111111111111111, "y": -1}, None),
        ([EMAIL], ["[email]"]),
    ],
)
def test_texts_are_redacted_and_names_stay(body: object, expected: object) -> None:
    assert purged(body) == (body if expected is None else expected)


def test_every_other_byte_stays() -> None:
    body = b'{ "a" : 1.0, "big": 12345678901234567890123, "t":"x alice@example.com",\n "u": "\\u00e9", "e":1e2 }'
    assert REDACTS.purged(body, lambda _: None) == body.replace(b"alice@example.com", b"[email]")


def test_a_key_that_is_there_twice_hides_nothing() -> None:
    clean = REDACTS.purged(b'{"content":"alice@example.com","content":"x"}', lambda _: None)
    assert clean == b'{"content":"[email]","content":"x"}'


def test_what_tells_the_tokens_once_more_is_left_out() -> None:
    choice = {"text": EMAIL, "logprobs": {"content": [{"token": EMAIL, "logprobs": []}]}, "index": 0}
    assert purged({"choices": [choice], "logprobs": [1]}) == {
        "choices": [{"text": "[email]", "logprobs": None, "index": 0}],
        "logprobs": [],
    }


def test_where_two_overlap_all_of_both_is_redacted() -> None:
    both = Matcher([Rule("a", own("a", "one two", 9), redacts=True), Rule("b", own("b", "two three", 9), redacts=True)])
    assert both.cleaned("zero one two three four", lambda _: None) == "zero [a] four"


def test_what_is_looked_for_between_texts_of_json_is_found_in_a_text_that_is_json() -> None:
    pair = Matcher([Rule("a", own("pair", r'"user": *"\w+"', 32), redacts=True)])
    clean = pair.purged(json.dumps({"content": r'{"user": "x", "y": "\u0040"}'}).encode(), lambda _: None)
    assert json.loads(clean) == {"content": r'{[pair], "y": "\u0040"}'}


def test_what_blocks_goes_before_what_redacts() -> None:
    both = Matcher([Rule("a", KNOWN["email"], redacts=True), Rule("b", own("b", "example", 9), redacts=False)])
    with pytest.raises(Blocked, match="b"):
        both.cleaned(EMAIL, lambda _: None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.booleans())
def test_every_text_has_its_place(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    found = scan(body).spots
    for spot in found:
        token = json.loads(body[spot.start : spot.end])
        assert str(token).encode("utf-8", "replace").decode() or token == ""
    same = edited(body, [(one.start, one.end, written(one.text)) for one in found if not one.is_number])
    assert len(json.dumps(json.loads(same))) == len(json.dumps(json.loads(body)))


def test_a_list_of_numbers_is_no_effort_and_a_card_among_them_is_found() -> None:
    body = b'{"input":[' + b"1,-2.5,3e4, " * 200_000 + b"4111111111111111,5]}"
    assert [one.text for one in scan(body).spots] == ["4111111111111111"]


def test_a_body_of_nothing_but_parts_is_not_looked_through_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spots, "_MOST", 1_000)
    assert len(scan(b'["a"' + b',"a"' * 400 + b"]").spots) == 401
    with pytest.raises(TooMany):
        scan(b'["a"' + b',"a"' * 600 + b"]")


LONG = ("x" * 3_000, '\\ " \n é' * 100, '"' * 2_000, "\\" * 2_001, "x" * 1_024, "x" * 1_023 + "\\" + "x" * 1_025 + '"')


@pytest.mark.parametrize("long", LONG, ids=range(len(LONG)))
@pytest.mark.parametrize("readable", [True, False])
def test_long_texts_end_where_they_end(long: str, readable: bool) -> None:
    body = {long: [long, {"content": f"{long} {EMAIL} {long}"}, EMAIL], "n": [1, 2, CARD], long + "2": EMAIL}
    raw = json.dumps(body, ensure_ascii=not readable).encode()
    clean = {
        long: [long, {"content": f"{long} [email] {long}"}, "[email]"],
        "n": [1, 2, "[card]"],
        long + "2": "[email]",
    }
    assert purged(raw) == clean
    for cut in (1, 10, 3_500, len(raw) - 5):
        scan(raw[:-cut])  # whatever has no end is no text


def test_pictures_and_long_texts_are_not_read_a_sign_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expressions take some thirty times as long as what is done to all bytes at once, and everybody waits."""
    seen: list[int] = []

    class Counting:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def finditer(self, body: bytes, *at: int) -> Any:
            for found in self.inner.finditer(body, *at):
                seen.append(found.end() - found.start())
                yield found

        def fullmatch(self, text: str) -> Any:
            seen.append(len(text))
            return self.inner.fullmatch(text)

        def match(self, body: bytes, at: int) -> Any:
            found = self.inner.match(body, at)
            seen.append(0 if found is None else found.end() - found.start())
            return found

    for name in [name for name, one in vars(spots).items() if isinstance(one, re.Pattern)]:
        monkeypatch.setattr(spots, name, Counting(getattr(spots, name)))
    picture, prose = "QUJD" * 100_000, 'He said: "Yes."\n' * 10_000
    for long, told in ((picture, []), ("data:image/png;base64," + picture, []), (prose, [prose])):
        seen.clear()
        body = json.dumps({"url": long, "text": EMAIL}).encode()
        assert [spot.text for spot in spots.scan(body).spots] == [*told, EMAIL]
        assert sum(seen) < 200
