"""The end of an answer, in both directions: why it came, and the tokens. A reason of one side only travels as it is."""

from __future__ import annotations

from providers.chat import Usage
from providers.dialects.gemini.wire import ToldUsage

_CANONICAL = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_GEMINI = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}


def canonical(reason: str, *, called: bool) -> str:
    """The reason in the gateway's words; `called` when the answer holds calls, which Gemini ends with STOP."""
    if called and reason == "STOP":
        return "tool_calls"
    return _CANONICAL.get(reason, reason)


def gemini(reason: str) -> str:
    """The reason in Gemini's words."""
    return _GEMINI.get(reason, reason)


def usage_of(told: ToldUsage | None) -> Usage:
    """Token counts by the gateway's convention. Results of tools that ran at Google are read by the model: input."""
    if told is None:
        return Usage()
    thoughts = told.thoughts_token_count or 0
    return Usage(
        input_tokens=(told.prompt_token_count or 0) + (told.tool_use_prompt_token_count or 0),
        output_tokens=(told.candidates_token_count or 0) + thoughts,
        cached_tokens=told.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )


def usage_metadata(usage: Usage) -> dict[str, int]:
    """Token counts by Gemini's convention."""
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    return counts
