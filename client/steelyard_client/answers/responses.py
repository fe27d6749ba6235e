"""Answers: responses. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(kw_only=True)
class ResponseAnswer:
    """A response, and what was asked for; times in Unix seconds. `store` is false when it could not be kept."""

    id: str
    object: Literal["response"]
    created_at: int
    status: str
    background: bool
    model: str
    output: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    store: bool
    text: dict[str, Any]
    truncation: str
    completed_at: int | None = None
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, Any] | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: dict[str, Any] | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    temperature: float | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    usage: dict[str, Any] | None = None
    user: str | None = None


@dataclass(kw_only=True)
class DeletedResponse:
    """A response is gone."""

    id: str
    object: Literal["response"]
    deleted: bool


@dataclass(kw_only=True)
class InputItems:
    """A page of input items; `last_id` as `after` leads to the next, when there `has_more`."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
