"""Counting tokens in Anthropic's words: a message without its bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_recorded import CONVERSATIONS, TARGET, foreign
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import Text, Turn
from providers.dialect import InvalidRequest
from providers.dialects.anthropic import ANTHROPIC
from providers.errors import Garbled

_SAID: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
#: The parameters of the API reference; the official SDK has no others outside its betas.
_COUNTED = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}


def _body(**more: Any) -> bytes:
    return json.dumps({**_SAID, **more}).encode()


def test_a_prompt_needs_no_bound_and_has_none() -> None:
    request = ANTHROPIC.parse_count(_body(system="Be brief."))
    assert (request.model, request.max_tokens) == ("m", None)
    said = request.conversation()
    assert said.max_tokens is None
    assert said.turns == [Turn("system", [Text("Be brief.")]), Turn("user", [Text("Hello")])]


def test_the_estimate_is_the_one_of_a_message() -> None:
    for text in ("", "a" * 1000):
        body = _body(system=text)
        assert ANTHROPIC.parse_count(body).input_tokens - len(body) // 4 in (0, -1)


def test_a_bound_that_was_sent_travels_on() -> None:
    body = _body(max_tokens=7)
    assert ANTHROPIC.encode_count(ANTHROPIC.parse_count(body), TARGET, drop=False).body.endswith(b'"max_tokens":7}')


def test_its_own_bytes_change_in_the_models_name_only() -> None:
    request = ANTHROPIC.parse_count(b'{"model": "m", "messages": [{"role": "user", "content": "1.0"}], "new": 1.0}')
    request.headers = (("anthropic-beta", "x"),)
    call = ANTHROPIC.encode_count(request, TARGET, drop=False)
    assert (call.path, call.headers) == ("/v1/messages/count_tokens", (("anthropic-beta", "x"),))
    assert call.body == (
        b'{"model":"%s","messages":[{"role": "user", "content": "1.0"}],"new":1.0}' % TARGET.upstream.encode()
    )


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_what_is_translated_is_the_prompt_and_nothing_else(case: str) -> None:
    said = CONVERSATIONS[case]
    count = json.loads(ANTHROPIC.encode_count(foreign(said), TARGET, drop=True).body)
    message = json.loads(ANTHROPIC.encode(foreign(said), TARGET, drop=True).body)
    assert count == {name: value for name, value in message.items() if name in _COUNTED}
    assert count.keys() >= {"model", "messages"}


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": "m"}', b'{"model": "m", "messages": []}'])
def test_a_wrong_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ANTHROPIC.parse_count(body)


@given(st.integers(-(2**40), 2**40))
def test_a_count_is_no_less_than_nothing(tokens: int) -> None:
    body = ANTHROPIC.render_count(tokens)
    if tokens >= 0:
        assert ANTHROPIC.decode_count(body) == tokens
    else:
        with pytest.raises(Garbled):
            ANTHROPIC.decode_count(body)
