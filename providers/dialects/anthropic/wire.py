"""Anthropic's answers as they stand on the wire: the fields we read, token counts and stop reasons both ways.

Law of tokens: Anthropic's `input_tokens` is what was neither read from nor written to the prompt cache, ours is the
whole prompt: ours = input_tokens + cache_read_input_tokens + cache_creation_input_tokens. Output includes thinking on
both sides.

Law of stop reasons: what has no canonical word travels as it is (`pause_turn`, `model_context_window_exceeded` …).
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from providers.chat import Citation, Usage
from providers.errors import Garbled

_FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TIERS_IN = {"standard": "default"}
#: The tiers an answer may name; another provider's further ones mean nothing to Anthropic's SDK and are left out.
_TIERS_OUT = {"default": "standard", "priority": "priority", "batch": "batch"}


class OutputDetails(Struct):
    """The part of the output that was thinking."""

    thinking_tokens: int | None = None


class Written(Struct):
    """Tokens written to the prompt cache, by how long they are kept there."""

    ephemeral_1h_input_tokens: int | None = None


class Tokens(Struct):
    """`usage`, whole in an answer and in `message_start`, possibly only in part in `message_delta`."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: Written | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None

    def update(self, later: Tokens) -> None:
        """Counts are cumulative: those a later event names replace the earlier ones, the others stand."""
        for name in self.__struct_fields__:
            if (value := getattr(later, name)) is not None:
                setattr(self, name, value)

    def usage(self) -> Usage:
        """The counts in our convention."""
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        details, kept = self.output_tokens_details, self.cache_creation
        return Usage(
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(details and details.thinking_tokens) or 0,
            cache_write_hour_tokens=(kept and kept.ephemeral_1h_input_tokens) or 0,
        )


class Source(Struct):
    """What a text cites; a page that a search found has an address."""

    url: str | None = None
    title: str | None = None


class Block(Struct):
    """A content block of an answer; which fields stand depends on `type`."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    citations: list[Source] | None = None

    @property
    def of_search(self) -> bool:
        """It tells of a search of the web that the provider ran, and says nothing."""
        return self.type == "web_search_tool_result" or (self.type == "server_tool_use" and self.name == "web_search")


class StopDetails(Struct):
    """Why the API refused, in its own words."""

    explanation: str | None = None


class Answer(Struct):
    """A complete message."""

    id: str
    model: str
    content: list[Block]
    usage: Tokens
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class GlanceAnswer(Struct):
    """A complete message, content left unread."""

    id: str
    model: str
    usage: Tokens
    stop_reason: str | None = None


class Opening(Struct):
    """The message of `message_start`: an answer without content."""

    id: str
    model: str
    usage: Tokens


class Delta(Struct):
    """What `content_block_delta` adds to a block, or `message_delta` to the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Source | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class ErrorDetails(Struct):
    """`error_code` names the cause more closely than the error's type; absent when there is none."""

    error_code: str | None = None


class ErrorObject(Struct):
    """An error; its `type` is the machine code, its message is for people."""

    type: str
    message: str = ""
    details: ErrorDetails | None = None


class StreamEvent(Struct):
    """Any event of a stream; which fields stand depends on `type`."""

    type: str
    index: int = 0
    message: Opening | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Tokens | None = None
    error: ErrorObject | None = None


def cited(sources: list[Source], start: int, end: int) -> list[Citation]:
    """The pages that a text rests on, each once; the text goes from `start` to `end`."""
    titles = {one.url: one.title or "" for one in sources if one.url is not None}
    return [Citation(url, title, start, end) for url, title in titles.items()]


def need(value: str | None, what: str) -> str:
    """A field that this kind of block must have. Raises `Garbled`."""
    if value is None:
        raise Garbled(f"The provider's answer is not in the anthropic format: {what} is missing.")
    return value


def finish_reason(stop_reason: str) -> str:
    """Anthropic's stop reason in canonical words."""
    return _FINISH.get(stop_reason, stop_reason)


def stop_reason(finish: str | None, stop_sequence: str | None, *, refused: bool) -> str | None:
    """A canonical finish reason in Anthropic's words.

    `refused`: the answer holds words of refusal. OpenAI then still finishes with `stop`; Anthropic says `refusal`.
    """
    if finish == "stop":
        if stop_sequence is not None:
            return "stop_sequence"
        return "refusal" if refused else "end_turn"
    return finish if finish is None else _STOP.get(finish, finish)


def stop_details(reason: str | None) -> dict[str, Any] | None:
    """What stands beside the stop reason `refusal`. The category is Anthropic's own and not ours to guess."""
    return {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None


def tokens_out(usage: Usage) -> dict[str, Any]:
    """Our counts in Anthropic's convention, as an answer and a `message_delta` carry them."""
    written, read = usage.cache_write_tokens, usage.cached_tokens
    tokens: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens,
    }
    if hour := usage.cache_write_hour_tokens:
        tokens["cache_creation"] = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    if usage.reasoning_tokens:
        tokens["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return tokens


def tier_in(tier: str | None) -> str | None:
    """The service tier of an answer in OpenAI's words, which are ours."""
    return _TIERS_IN.get(tier, tier) if tier else None


def tier_out(tier: str | None) -> str | None:
    """The service tier of an answer in Anthropic's words; None when it has none for it."""
    return _TIERS_OUT.get(tier) if tier else None
