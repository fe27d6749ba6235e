"""What a Claude takes of sampling and of budgets, by its name: never what its API answers with a 400.

The simulator's reader, written after the real API and not after our table, judges what we send.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_recorded import foreign

from providers.chat import Conversation, Effort, Text, Turn
from providers.dialect import Inexpressible, Profile, Target
from providers.dialects.anthropic import ANTHROPIC
from providers.simulator import anthropic_ask
from providers.simulator.wire import Complaint

_ALL = ("temperature", "top_p", "top_k")
#: Of names here and at resellers: which of the three are lost when all are asked for at once.
_MODELS = {
    "claude-3-7-sonnet-20250219": (),
    "claude-sonnet-4-20250514": (),
    "claude-opus-4-0": (),
    "anthropic.claude-opus-4-20250514-v1:0": (),
    "claude-opus-4-1-20250805": ("top_p",),
    "claude-haiku-4-5": ("top_p",),
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": ("top_p",),
    "claude-opus-4-6": ("top_p",),
    "claude-opus-4-7": _ALL,
    "anthropic/claude-opus-4-8": _ALL,
    "claude-sonnet-5": _ALL,
    "claude-sonnet-5@20260701": _ALL,
    "claude-opus-5-5": _ALL,
    "claude-fable-5-1": _ALL,
    # Another's model behind the same API.
    "kimi-k2": (),
    "sim-claude-large": (),
}
_THOUGHT = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
_EFFORTS = [None, Effort("low"), Effort("high"), Effort(budget=2048), Effort(enabled=False)]


def _target(model: str) -> Target:
    return Target("anthropic", model, Profile())


def _said(**fields: Any) -> Conversation:
    return Conversation([Turn("user", [Text("Hi")])], max_tokens=9000, **fields)


def _complaint(body: bytes) -> str:
    try:
        anthropic_ask.messages(body, {b"anthropic-version": b"2023-06-01"}, count=False)
    except Complaint as exc:
        return exc.reply.body.decode()
    return ""


@pytest.mark.parametrize(("model", "lost"), _MODELS.items())
def test_what_a_model_refuses_is_named_and_not_sent(model: str, lost: tuple[str, ...]) -> None:
    asked = {"temperature": 0.5, "top_p": 0.9, "top_k": 40}
    request = foreign(_said(**asked))
    call = ANTHROPIC.encode(request, _target(model), drop=True)
    assert call.dropped == lost
    sent = json.loads(call.body)
    assert {name: sent[name] for name in _ALL if name in sent} == {n: v for n, v in asked.items() if n not in lost}
    if lost:
        with pytest.raises(Inexpressible, match=", ".join(lost)) as caught:
            ANTHROPIC.encode(request, _target(model), drop=False)
        assert "This model takes" in caught.value.why


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.parametrize("effort", _EFFORTS)
def test_the_api_has_nothing_against_what_is_sent(model: str, effort: Effort | None) -> None:
    for fields in ({}, {"temperature": 1.0, "top_p": 0.5}, {"temperature": 0.5, "top_p": 1.0}, {"top_k": 3}):
        call = ANTHROPIC.encode(foreign(_said(effort=effort, **fields)), _target(model), drop=True)
        assert _complaint(call.body) == ""


@pytest.mark.parametrize("model", ["claude-sonnet-5", "claude-haiku-4-5"])
def test_defaults_ask_for_nothing_and_stay_out_of_the_way(model: str) -> None:
    call = ANTHROPIC.encode(foreign(_said(temperature=1.0, top_p=1.0)), _target(model), drop=False)
    assert not {*_ALL} & json.loads(call.body).keys()
    half = ANTHROPIC.encode(foreign(_said(temperature=1.0, top_p=0.5)), _target("claude-haiku-4-5"), drop=False)
    assert {name: json.loads(half.body).get(name) for name in _ALL[:2]} == {"temperature": None, "top_p": 0.5}


def test_the_reason_is_the_one_there_is() -> None:
    said = _said(effort=Effort(enabled=False), temperature=0.5, top_p=0.5)
    with pytest.raises(Inexpressible) as caught:
        ANTHROPIC.encode(foreign(said), _target("claude-haiku-4-5"), drop=False)
    assert (caught.value.fields, "not both" in caught.value.why) == (("top_p",), True)


def test_a_temperature_too_hot_leaves_the_other_to_be_had() -> None:
    call = ANTHROPIC.encode(foreign(_said(temperature=1.5, top_p=0.5)), _target("claude-haiku-4-5"), drop=True)
    assert (call.dropped, json.loads(call.body)["top_p"]) == (("temperature",), 0.5)


@pytest.mark.parametrize("model", ["claude-3-7-sonnet-20250219", "claude-haiku-4-5", "claude-opus-4-6"])
def test_no_claude_samples_otherwise_while_it_thinks(model: str) -> None:
    said = _said(effort=Effort(budget=2048), temperature=0.5, top_k=3)
    with pytest.raises(Inexpressible) as caught:
        ANTHROPIC.encode(foreign(said), _target(model), drop=False)
    assert (caught.value.fields, "while it thinks" in caught.value.why) == (("temperature", "top_k"), True)
    narrow, wide = (_said(effort=Effort(budget=2048), top_p=top_p) for top_p in (0.5, 0.95))
    assert ANTHROPIC.encode(foreign(narrow), _target(model), drop=True).dropped == ("top_p",)
    assert json.loads(ANTHROPIC.encode(foreign(wide), _target(model), drop=False).body)["top_p"] == 0.95
    others = ANTHROPIC.encode(foreign(said), _target("kimi-k2"), drop=False)
    assert json.loads(others.body)["temperature"] == 0.5


def test_a_budget_beside_a_word_is_lost_where_only_words_are_known() -> None:
    request = foreign(_said(effort=Effort("low", 2048)))
    call = ANTHROPIC.encode(request, _target("claude-opus-4-7"), drop=True)
    assert call.dropped == ("effort.budget",)
    body = json.loads(call.body)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        ("claude-opus-4-7", {"temperature": 0.0}, "`temperature` is deprecated"),
        ("claude-sonnet-5", {"top_p": 0.9}, "`top_p` is deprecated"),
        ("claude-opus-5-5", {"top_k": 3}, "`top_k` is deprecated"),
        ("claude-opus-4-8", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.type.adaptive"),
        ("claude-haiku-4-5-20251001", {"temperature": 0.5, "top_p": 0.9}, "cannot both be specified"),
        ("claude-haiku-4-5", {"temperature": 0.5, **_THOUGHT}, "may only be set to 1"),
        ("claude-3-7-sonnet-20250219", {"top_k": 3, **_THOUGHT}, "must be unset"),
        ("claude-opus-4-6", {"top_p": 0.5, **_THOUGHT}, "greater than or equal to 0.95"),
    ],
)
def test_the_simulator_refuses_what_the_api_refuses(model: str, fields: Any, words: str) -> None:
    asked = {"model": model, "max_tokens": 4000, "messages": [{"role": "user", "content": "Hi"}], **fields}
    assert words in _complaint(json.dumps(asked).encode())
    assert _complaint(json.dumps({**asked, "model": "kimi-k2"}).encode()) == ""
    # In its own words a request stays the caller's, byte for byte.
    request = ANTHROPIC.parse(json.dumps(asked).encode())
    assert ANTHROPIC.encode(request, _target(model), drop=False).body == request.body
