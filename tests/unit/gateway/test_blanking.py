"""Bodies that are logged say no key and no address, however they are written; else they stay as they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import blanking
from gateway.blanking import MASK, blanked

SECRETS = [
    "jane.doe+x@mail.example.org",
    "o'neil@example.co.uk",
    "sk-proj-abcdefghijklmnop1234",
    "sk-sy-ABCDEFGHIJKLMNOP_1234-abcd",
    "sk_live_abcdefghijklmnop1234",
    "xai-abcdefghijklmnop1234",
    "AIzaSyA1234567890abcdefghijk",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "xoxb-123456789012-abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
]


def masked(body: Any) -> Any:
    made = blanked(json.dumps(body).encode())
    assert made is not None
    return json.loads(made)


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_masked_wherever_it_stands(secret: str) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": f"It is {secret}, keep it."}]}]}
    assert masked(body)["messages"][0]["content"][0]["text"] == f"It is {MASK}, keep it."
    assert masked({secret: 1}) == {MASK: 1}
    assert secret.encode() not in (blanked(f"say {secret} now".encode()) or b"")
    form = b"--x\r\n\r\n\xff\xfe" + secret.encode() + b"\r\n--x--"
    assert secret.encode() not in (blanked(form) or b"")


def test_prose_is_not_worth_a_slow_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRETS", "_KEYS"):
        monkeypatch.setattr(blanking, name, None)  # who looked would fail
    said = b'{"a":"Through the night the author sought a key, and passed the right answer on."}'
    assert blanked(said) == said


def test_escapes_hide_nothing() -> None:
    assert blanked(rb'{"a": "jane\u0040example.org"}') == b'{"a":"********"}'
    assert blanked(rb'{"a": "\u0073k-abcdefghijklmnop1234"}') == b'{"a":"********"}'


@pytest.mark.parametrize(
    "name", ["api_key", "apiKey", "X-Api-Key", "Authorization", "password", "access_token", "openai_api_key"]
)
def test_what_has_a_secrets_name_is_masked_whatever_it_looks_like(name: str) -> None:
    body = {"tools": [{"type": "mcp", "headers": {name: "hunter2"}, name: 7, "note": "hunter2"}]}
    told = masked(body)["tools"][0]
    assert told == {"type": "mcp", "headers": {name: MASK}, name: 7, "note": "hunter2"}
    assert masked({name: ["hunter2", 7, {"note": "hunter3"}]}) == {name: [MASK, 7, {"note": "hunter3"}]}


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m",  "max_tokens": 5, "messages": [{"role": "user", "content": "2 @ 3, a@b, key words"}]}',
        b'data: {"choices": [{"delta": {"content": "Hello @you"}}]}\n\ndata: [DONE]\n\n',
        b"RIFF\x00\xff\xfe@@@",
        b"",
        b"{",
    ],
)
def test_what_holds_none_stays_as_it_was(body: bytes) -> None:
    assert blanked(body) == body


def streamed(pieces: Sequence[str]) -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def said(stream: bytes) -> str:
    lines = [line[6:] for line in stream.decode().splitlines() if line.startswith("data: {")]
    return "".join(json.loads(line)["choices"][0]["delta"]["content"] for line in lines)


@given(st.sampled_from(SECRETS), st.lists(st.integers(1, 40), max_size=12))
def test_a_stream_that_cuts_it_in_pieces_does_not_say_it(secret: str, cuts: list[int]) -> None:
    text = f"Take {secret} and go."
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    pieces = [text[begin:end] for begin, end in pairwise(places)]
    made = blanked(streamed(pieces))
    assert made is not None
    assert said(made) == f"Take {MASK} and go."
    assert made.count(b"data: ") == len(pieces) + 1


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_what_ends_a_line_elsewhere_ends_no_event(end: str) -> None:
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in (f"hi{end} jane@exam", "ple.org!")]
    lines = [b"data: %s\n\n" % json.dumps(event, ensure_ascii=False).encode() for event in events]
    made = blanked(b"".join(lines))
    assert made is not None
    told = [json.loads(line[6:]) for line in made.decode().split("\n") if line]
    assert [one["choices"][0]["delta"]["content"] for one in told] == [f"hi{end} {MASK}", "!"]


def test_parts_that_come_in_turns_are_not_taken_for_one() -> None:
    events = [
        {"choices": [{"index": number % 2, "delta": {"content": piece}}]}
        for number, piece in enumerate(["ja", "wo", "ne@exa", "rd", "mple.org", "s"])
    ]
    made = blanked(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)) or b""
    assert said(made).replace(MASK, "") == "words"
    assert MASK.encode() in made


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 300_000, "a@" * 100_000, "a.a" * 100_000 + "@", "-----BEGIN PRIVATE KEY-----" * 9_000, "eyJ" * 90_000),
        *(
            "eyJabcdefgh-" * 30_000,
            "eyJabcdefgh.a-" * 30_000,
            "api_key" * 50_000,
            "://a:" * 60_000,
            "://" + "a:" * 90_000,
        ),
    ],
)
def test_no_text_takes_long(text: str) -> None:
    # What would be quadratic runs into the timeout of every test.
    blanked(json.dumps({"a": text}).encode())


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_comes_stays_json(tree: Any) -> None:
    body = json.dumps({"a": tree}).encode()
    made = blanked(body)
    assert made is not None
    json.loads(made)
