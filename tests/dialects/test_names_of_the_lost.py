"""What cannot be said is named in the caller's own words: a field of the body that was sent, whatever was lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import ChatRequest
from providers.dialect import InvalidRequest, Profile, Target
from providers.dialects import ANTHROPIC, DIALECTS, OPENAI
from providers.dialects.gemini import parse_call
from providers.dialects.responses import parse
from tests.fidelity.run import FEATURES
from tests.fidelity.wire import Json

_TARGETS = {
    "openai": Target("openai", "gpt", Profile(parallel_tool_calls=False, reasoning_effort=False, json_schema=False)),
    "anthropic": Target("anthropic", "claude-sonnet-5", Profile(), 8192),
    "gemini": Target("gemini", "gemini-3-pro", Profile()),
}
_PARSERS: dict[str, Callable[[bytes], ChatRequest]] = {
    "openai": OPENAI.parse,
    "anthropic": ANTHROPIC.parse,
    "gemini": lambda body: parse_call(body, "m", stream=False),
    "responses": lambda body: parse(body).chat(),
}
#: Every question of the fidelity suite, by its format.
_ASKED = {
    name: [{"model": "m", **feature.ask[name]} for feature in FEATURES if name in feature.ask] for name in _PARSERS
}


def _merged(questions: list[Json]) -> Json:
    """One question that asks for all of it: fields of the later ones count, turns come after one another."""
    merged: Json = {}
    for asked in questions:
        for name, value in asked.items():
            if isinstance(value, list) and isinstance(merged.get(name), list):
                merged[name] = [*merged[name], *value]
            elif isinstance(value, dict) and isinstance(merged.get(name), dict):
                merged[name] = {**merged[name], **value}
            else:
                merged[name] = value
    return merged


@pytest.mark.parametrize("caller", _PARSERS)
@given(data=st.data())
def test_whatever_is_lost_has_the_name_of_a_field_that_was_sent(caller: str, data: st.DataObject) -> None:
    asked = _merged(data.draw(st.lists(st.sampled_from(_ASKED[caller]), min_size=1, max_size=4)))
    with suppress(InvalidRequest):
        request = _PARSERS[caller](json.dumps(asked).encode())
        for name, target in _TARGETS.items():
            if name == caller:
                continue
            for lost in DIALECTS[name].encode(request, target, drop=True).dropped:
                _check(lost, asked)


def _check(lost: str, asked: Any) -> None:
    first, *rest = re.findall(r"\w+", lost.partition(" (")[0])
    assert first in asked, lost
    text = json.dumps(asked[first])
    for name in rest:
        assert name.isdigit() or f'"{name}"' in text, lost
