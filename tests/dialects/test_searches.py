"""A search of the web in every format: what can be said is said, and what cannot is named as the caller wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.chat import ChatRequest
from providers.dialect import Inexpressible, Profile, Target
from providers.dialects import ANTHROPIC, DIALECTS, OPENAI
from providers.dialects.gemini import parse_call
from providers.dialects.responses import parse

Json = dict[str, Any]
PLACE = {"city": "Paris", "country": "FR"}
APPROXIMATE = {"type": "approximate", **PLACE}
HI = [{"role": "user", "content": "Hi"}]
TOOL = {"name": "find", "input_schema": {"type": "object", "properties": {}}}
TARGETS = {
    "openai": Target("openai", "gpt-5-search-api", Profile(web_search=True)),
    "anthropic": Target("anthropic", "claude-sonnet-5", Profile()),
    "gemini": Target("gemini", "gemini-3-pro", Profile()),
}


def chat(**options: Any) -> ChatRequest:
    return OPENAI.parse(json.dumps({"model": "m", "messages": HI, "web_search_options": options}).encode())


def claude(*more: Json, version: str = "web_search_20250305", **fields: Any) -> ChatRequest:
    tools = [*more, {"type": version, "name": "web_search", **fields}]
    return ANTHROPIC.parse(json.dumps({"model": "m", "max_tokens": 9, "messages": HI, "tools": tools}).encode())


def responses(kind: str = "web_search", *more: Json, **fields: Any) -> ChatRequest:
    tools = [{"type": kind, **fields}, *more]
    return parse(json.dumps({"model": "m", "input": "Hi", "tools": tools}).encode()).chat()


def gemini(*more: Json) -> ChatRequest:
    contents = [{"role": "user", "parts": [{"text": "Hi"}]}]
    return parse_call(
        json.dumps({"contents": contents, "tools": [*more, {"googleSearch": {}}]}).encode(), "m", stream=False
    )


def sent(request: ChatRequest, to: str, *, drop: bool = False) -> Json:
    return json.loads(DIALECTS[to].encode(request, TARGETS[to], drop=drop).body)


def lost(request: ChatRequest, to: str, target: Target | None = None) -> tuple[str, ...]:
    with pytest.raises(Inexpressible) as caught:
        DIALECTS[to].encode(request, target or TARGETS[to], drop=False)
    assert DIALECTS[to].encode(request, target or TARGETS[to], drop=True).dropped == caught.value.fields
    return caught.value.fields


@pytest.mark.parametrize("kind", ["web_search", "web_search_2025_08_26", "web_search_preview"])
def test_a_plain_search_is_one_everywhere(kind: str) -> None:
    callers = {"openai": chat(), "anthropic": claude(), "gemini": gemini(), "responses": responses(kind)}
    for caller, request in callers.items():
        for to in TARGETS:
            if to == caller:
                continue
            body = sent(request, to)
            if to == "openai":
                assert body["web_search_options"] == {}
                assert "tools" not in body
            elif to == "anthropic":
                assert body["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]
            else:
                assert body["tools"] == [{"googleSearch": {}}]


def test_it_stands_beside_the_callers_own_tools() -> None:
    both = claude(TOOL)
    assert [list(tool) for tool in sent(both, "gemini")["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert [tool["function"]["name"] for tool in sent(both, "openai")["tools"]] == ["find"]
    declared = gemini({"functionDeclarations": [{"name": "find"}]})
    assert [tool["name"] for tool in sent(declared, "anthropic")["tools"]] == ["find", "web_search"]
    namesake = gemini({"functionDeclarations": [{"name": "web_search"}]})
    assert lost(namesake, "anthropic") == ("tools.googleSearch",)


def test_places_and_sites_go_along_where_they_are_known() -> None:
    located = chat(user_location={"type": "approximate", "approximate": PLACE})
    assert sent(located, "anthropic")["tools"][0]["user_location"] == APPROXIMATE
    assert lost(located, "gemini") == ("web_search_options.user_location",)
    full = responses(user_location=APPROXIMATE, filters={"allowed_domains": ["a.org"]}, search_context_size="high")
    assert sent(full, "anthropic", drop=True)["tools"][0] == {
        "type": "web_search_20250305",
        "name": "web_search",
        "allowed_domains": ["a.org"],
        "user_location": APPROXIMATE,
    }
    assert lost(full, "anthropic") == ("tools[0].search_context_size",)
    assert sent(full, "openai", drop=True)["web_search_options"] == {
        "search_context_size": "high",
        "user_location": {"type": "approximate", "approximate": PLACE},
    }
    assert lost(full, "openai") == ("tools[0].filters.allowed_domains",)
    assert sorted(lost(full, "gemini")) == [
        "tools[0].filters.allowed_domains",
        "tools[0].search_context_size",
        "tools[0].user_location",
    ]


@pytest.mark.parametrize("version", ["web_search_20250305", "web_search_20260209", "web_search_20260318"])
def test_claudes_search_names_what_is_lost_of_it(version: str) -> None:
    asked = claude(
        TOOL,
        version=version,
        max_uses=3,
        blocked_domains=["b.org"],
        user_location={**APPROXIMATE, "planet": "Mars"},
        cache_control={"type": "ephemeral"},
        defer_loading=True,
    )
    assert lost(asked, "openai") == (
        "tools[1].blocked_domains",
        "tools[1].max_uses",
        "tools[1].defer_loading",
        "tools[1].user_location.planet",
    )
    assert "tools[1].user_location" in lost(asked, "gemini")


def test_a_second_search_is_refused_by_name() -> None:
    assert lost(responses("web_search", {"type": "web_search_preview"}), "gemini") == ("tools[1] (web_search_preview)",)
    second = {"type": "web_search_20250305", "name": "web_search"}
    assert lost(claude(second), "gemini") == ("tools[1] (web_search_20250305)",)


def test_a_server_that_knows_no_search_is_not_asked_for_one() -> None:
    other = Target("other", "m", Profile())
    assert lost(gemini(), "openai", other) == ("tools.googleSearch",)
    assert lost(claude(), "openai", other) == ("tools[0] (web_search_20250305)",)
