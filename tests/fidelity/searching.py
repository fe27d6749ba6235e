"""Features of a search of the web that the provider runs: how it is asked for, and what is told of it."""

from __future__ import annotations

from tests.fidelity.asking import a, g, o
from tests.fidelity.cells import Feature, Gap, at, every, has
from tests.fidelity.wire import Json, anthropic_reply, gemini_reply, openai_reply

_SITE, _TITLE = "https://example.com/a", "A page"
_PLACE = {"city": "Paris", "country": "FR"}
SITES = ["example.com"]
APPROXIMATE: Json = {"type": "approximate", **_PLACE}


def _claudes(**more: object) -> Json:
    return a(tools=[{"type": "web_search_20250305", "name": "web_search", **more}])


_FOUND: Json = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {"type": "web_search_result", "url": _SITE, "title": _TITLE, "encrypted_content": "c2Vh", "page_age": None}
    ],
}
_CITED: Json = {
    "type": "web_search_result_location",
    "url": _SITE,
    "title": _TITLE,
    "encrypted_index": "aW5k",
    "cited_text": "So it is.",
}
_NO_SITES = Gap("Chat Completions searches everywhere; the Responses API has such a list.", ("allowed_domains",))
_NO_LIST = Gap("Gemini's own API searches everywhere; only Google's Cloud has a list of sites to leave out.")
_NOT_OUT = Gap("OpenAI's searches have no list of sites to leave out.", ("blocked_domains", "excluded_domains"))
_NOT_SO_MANY = Gap("OpenAI's searches have no bound of their own.", ("max_uses",))
_OFTEN = Gap("Gemini searches as often as it likes.", ("max_uses",))
_NOWHERE = Gap("Gemini takes a place as latitude and longitude only.", ("user_location", "city"))
_SO_MUCH = "OpenAI's measure of what its model reads has no equivalent."
_NO_MEASURE = ("search_context_size",)

SEARCHES = [
    Feature(
        "a tool that the provider runs (web search)",
        {"openai": o(web_search_options={}), "anthropic": _claudes(), "gemini": g(tools=[{"googleSearch": {}}])},
        {
            "openai": at("web_search_options", {}),
            "anthropic": has(type="web_search_20250305", name="web_search"),
            "gemini": has(googleSearch={}),
        },
        notes={"openai": "Chat Completions searches with OpenAI's search models alone; others answer with an error"},
        loose=True,
    ),
    Feature(
        "web search: where the one is who asks",
        {
            "openai": o(web_search_options={"user_location": {"type": "approximate", "approximate": _PLACE}}),
            "anthropic": _claudes(user_location=APPROXIMATE),
        },
        {
            "openai": has(user_location={"type": "approximate", "approximate": _PLACE}),
            "anthropic": has(type="web_search_20250305", user_location=APPROXIMATE),
            "gemini": has(googleSearch={"userLocation": _PLACE}),
        },
        gaps={"ask:gemini": _NOWHERE, "gemini": _NOWHERE},
        loose=True,
    ),
    Feature(
        "web search: these sites alone",
        {"anthropic": _claudes(allowed_domains=SITES)},
        {
            "openai": has(allowed_domains=SITES),
            "anthropic": has(type="web_search_20250305", allowed_domains=SITES),
            "gemini": has(googleSearch={"allowedDomains": SITES}),
        },
        gaps={"ask:openai": _NO_SITES, "openai": _NO_SITES, "ask:gemini": _NO_LIST, "gemini": _NO_LIST},
        loose=True,
    ),
    Feature(
        "web search: not these sites",
        {"anthropic": _claudes(blocked_domains=SITES)},
        {
            "openai": has(blocked_domains=SITES),
            "anthropic": has(type="web_search_20250305", blocked_domains=SITES),
            "gemini": has(googleSearch={"excludeDomains": SITES}),
        },
        gaps={"ask:openai": _NOT_OUT, "openai": _NOT_OUT, "ask:gemini": _NO_LIST, "gemini": _NO_LIST},
        loose=True,
    ),
    Feature(
        "web search: so many times at most",
        {"anthropic": _claudes(max_uses=3)},
        {
            "openai": has(max_uses=3),
            "anthropic": has(type="web_search_20250305", max_uses=3),
            "gemini": has(googleSearch={"maxUses": 3}),
        },
        gaps={"ask:openai": _NOT_SO_MANY, "openai": _NOT_SO_MANY, "ask:gemini": _OFTEN, "gemini": _OFTEN},
        loose=True,
    ),
    Feature(
        "web search: how much of it is read",
        {"openai": o(web_search_options={"search_context_size": "low"})},
        {
            "openai": has(search_context_size="low"),
            "anthropic": has(search_context_size="low"),
            "gemini": has(searchContextSize="low"),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's search has no measure of what is read.", _NO_MEASURE),
            "ask:gemini": Gap("Gemini's search has no measure of what is read.", _NO_MEASURE),
            "anthropic": Gap(_SO_MUCH, _NO_MEASURE),
            "gemini": Gap(_SO_MUCH, _NO_MEASURE),
        },
        loose=True,
    ),
    Feature(
        "pages that a search found",
        {"openai": o(), "anthropic": a(), "gemini": g()},
        reply={
            "openai": openai_reply(
                {
                    "content": "Ça est.",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"start_index": 3, "end_index": 7, "url": _SITE, "title": _TITLE},
                        }
                    ],
                }
            ),
            "anthropic": anthropic_reply(
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "so"}},
                _FOUND,
                {"type": "text", "text": "Ça "},
                {"type": "text", "text": "est.", "citations": [_CITED]},
            ),
            "gemini": gemini_reply(
                {"text": "Ça est."},
                candidate={
                    "groundingMetadata": {
                        "webSearchQueries": ["so"],
                        "groundingChunks": [{"web": {"uri": _SITE, "title": _TITLE}}],
                        "groundingSupports": [
                            {
                                "segment": {"startIndex": 4, "endIndex": 8, "text": "est."},
                                "groundingChunkIndices": [0],
                            }
                        ],
                    }
                },
            ),
        },
        got={
            "openai": has(
                type="url_citation", url_citation={"start_index": 3, "end_index": 7, "url": _SITE, "title": _TITLE}
            ),
            "anthropic": has(url=_SITE, title=_TITLE, cited_text="So it is."),
            "gemini": every(
                has(web={"uri": _SITE, "title": _TITLE}),
                has(segment={"startIndex": 4, "endIndex": 8, "text": "est."}, groundingChunkIndices=[0]),
            ),
        },
        gaps={"tell:anthropic": Gap("Anthropic's citations of pages need a token of Anthropic's own search.")},
    ),
]
