"""Completions towards callers: what is written of answers in the older shape."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from providers.chat import Begin, ChatReply, Choice, Finish, RefusalDelta, Text, TextDelta, Usage
from providers.dialect import InvalidRequest
from providers.dialects.completions import read
from providers.errors import Garbled

ROWS = [
    {"token": "A", "logprob": -0.5, "top_logprobs": [{"token": "A", "logprob": -0.5}]},
    {"token": "bc", "logprob": -1},
]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "prompt": "P", **fields}).encode()


def test_probabilities_begin_behind_the_echo() -> None:
    _, form = read(body(echo=True, prompt=["One", "Two!"]))
    rows = Raw(json.dumps({"content": ROWS}).encode())
    reply = ChatReply("x", "m", [Choice([Text("Abc")], "stop", None, rows) for _ in range(4)], Usage())
    choices = json.loads(form.render(reply))["choices"]
    assert [choice["text"] for choice in choices] == ["OneAbc", "OneAbc", "Two!Abc", "Two!Abc"]
    assert [choice["logprobs"]["text_offset"] for choice in choices] == [[3, 4], [3, 4], [4, 5], [4, 5]]
    assert choices[0]["logprobs"]["tokens"] == ["A", "bc"]
    assert choices[0]["logprobs"]["token_logprobs"] == [-0.5, -1]
    assert choices[0]["logprobs"]["top_logprobs"] == [{"A": -0.5}, {}]


def test_every_streamed_choice_begins_with_the_echo_once() -> None:
    (request,), form = read(body(echo=True, stream=True))
    encoder = form.stream_encoder(request)
    chunks: list[Any] = [Begin("x", "m", 7), TextDelta("a"), RefusalDelta("No", choice=1), TextDelta("b")]
    chunks += [Finish("stop"), Finish("stop", 1), Finish("length", 2)]
    written = b"".join(encoder.encode(chunk) for chunk in chunks)
    texts = ["", "", ""]
    for line in written.splitlines():
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                texts[choice["index"]] += choice["text"]
    assert texts == ["Pab", "PNo", "P"]


@pytest.mark.parametrize("rows", ['{"content":[{"token":null}]}', "[]", '{"content":1}'])
def test_probabilities_that_are_none_are_garbled(rows: str) -> None:
    _, form = read(body(logprobs=1))
    with pytest.raises(Garbled):
        form.render(ChatReply("x", "m", [Choice([Text("A")], "stop", None, Raw(rows.encode()))], Usage()))


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"best_of": 2}, ["best_of"]),
        ({"best_of": 2, "n": 2}, []),
        ({"echo": True, "logprobs": 0}, ["logprobs (of the echoed prompt)"]),
        ({"suffix": "x", "logit_bias": {"1": 2}}, ["suffix", "logit_bias"]),
        ({"suffix": "", "logit_bias": {}, "echo": False, "best_of": 1, "logprobs": None}, []),
        ({"prompt": [1, 2]}, ["prompt (token ids)"]),
    ],
    ids=str,
)
def test_what_no_chat_can_say_stays_aside(fields: dict[str, Any], lost: list[str]) -> None:
    (request, *_), _ = read(body(**fields))
    assert list(request.conversation().extra) == lost


@pytest.mark.parametrize("prompt", [["a", 5], ["a", [5]], [5, [5]]], ids=str)
def test_a_prompt_is_texts_or_tokens_and_never_some_of_both(prompt: list[Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(json.dumps({"model": "m", "prompt": prompt}).encode())
    assert (caught.value.param, caught.value.code) == ("prompt", "invalid_type")
