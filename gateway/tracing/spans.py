"""What has ended, as spans: a request with its attempts, a step, an execution, a call of a tool. Pure.

Names follow OpenTelemetry's conventions for GenAI, MCP and HTTP as of November 2026, version 1.41; what those have no
name for begins with `steelyard.`. The list for people is docs/tracing.md.

Law: nothing of a prompt or an answer is in a span, nor is an address's query, a header or a key; bodies are, where the
settings ask for them, as the request log has them. Texts of others (a provider's error) are masked like log lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct, field

from gateway.blanking import blanked
from gateway.exchange import Attempt, Exchange
from gateway.logs import redact
from gateway.tracing.places import Trace, new_span
from providers import GEN_AI_NAMES
from providers.chat import Usage

Kind = Literal["server", "client", "internal"]
Value = str | bool | int | float | list[str] | list[float]
#: Provider → host and port of whoever is asked.
Whereabouts = Mapping[str, tuple[str, int]]
#: Characters of a text, of others' and of a body; collectors refuse messages beyond some megabytes.
_LONGEST, _LONGEST_BODY = 1_000, 32_768
#: Candidates that the choice tells of. A ranking may have hundreds; the request log has all of them.
_CANDIDATES = 20
#: The caller's part of an address is no name: of Gemini's it is the model.
_MODEL = re.compile(r"(?<=/models/)[^:]+")
#: Outcomes of attempts that are nobody's failure.
_FINE = ("ok", "counted", "cancelled", "hedged")


class Moment(Struct):
    """Something that happened within a span, in Unix seconds."""

    name: str
    at: float
    facts: dict[str, Value]


class Span(Struct):
    """One span, from when to when in Unix seconds; `error` is why it failed. `parent` 0: it has none above it."""

    name: str
    kind: Kind
    trace: int
    span: int
    parent: int
    start: float
    end: float
    facts: dict[str, Value]
    state: str = ""
    moments: list[Moment] = field(default_factory=list[Moment])
    failed: bool = False
    error: str = ""


def of_request(exchange: Exchange, trace: Trace, where: Whereabouts, *, bodies: bool) -> Iterator[Span]:
    """A finished request: its own span, then one for each attempt."""
    start = exchange.created
    facts = _chosen(exchange) | _ended(exchange)
    if bodies:
        facts |= _bodies(exchange)
    if trace.path:
        facts |= _http(trace.path, "POST", exchange.status)
    span = Span(
        f"POST {route_of(trace.path)}" if trace.path else trace.name,
        "server" if trace.path else "internal",
        trace.trace,
        trace.span,
        trace.parent,
        start,
        start + exchange.seconds,
        facts,
        trace.state,
        # Of a caller's mistake the way in is no worse; within the gateway whoever asked has failed by it.
        failed=exchange.outcome == "error" and (exchange.status >= 500 or not trace.path),
        error=masked(exchange.error_message),
    )
    span.moments += _choice(exchange)
    if exchange.cache in ("hit", "coalesced"):
        span.moments.append(Moment(f"steelyard.cache.{exchange.cache}", span.end, {}))
    yield span
    if exchange.compared is not None:
        # They are below the spans of those who were compared.
        return
    for number, one in enumerate(exchange.attempts):
        yield _attempt(exchange, trace, number, one, where)


def of_page(trace: Trace, method: str, route: str, status: int, end: float) -> Span:
    """A request that reached no provider: an ordinary one, or one that was turned away."""
    facts = _http(trace.path, method, status) | {"http.route": route}
    if status >= 400:
        facts["error.type"] = str(status)
    numbers = trace.trace, trace.span, trace.parent
    return Span(f"{method} {route}", "server", *numbers, trace.start, end, facts, trace.state, failed=status >= 500)


def of_tool(trace: Trace, server: str, tool: str, outcome: str, start: float, end: float) -> Span:
    """A call of an MCP server's tool."""
    facts: dict[str, Value] = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool,
        "steelyard.mcp.server": server,
    }
    if outcome != "ok":
        facts["error.type"] = outcome
    name, failed = f"tools/call {tool}", outcome != "ok"
    return Span(name, "client", trace.trace, trace.span, trace.parent, start, end, facts, trace.state, failed=failed)


def masked(text: str | None) -> str:
    """Why something failed, in somebody's words; masked in whole, since what is left of a key looks like none."""
    return redact(text or "")[:_LONGEST]


def route_of(path: str) -> str:
    """The address without the caller's part, of an LLM surface."""
    return _MODEL.sub("{model}", path)


def _http(path: str, method: str, status: int) -> dict[str, Value]:
    return {
        "http.request.method": method,
        "url.path": path[:_LONGEST],
        "http.route": route_of(path),
        "http.response.status_code": status,
        "url.scheme": "http",
    }


def _chosen(exchange: Exchange) -> dict[str, Value]:
    """Who asked for what, and who was chosen by what."""
    told: dict[str, str | None] = {
        "steelyard.request_id": exchange.id,
        "steelyard.surface": exchange.surface,
        "steelyard.key": exchange.principal,
        "gen_ai.request.model": exchange.requested_model[:_LONGEST],
        "steelyard.route": exchange.route,
        "steelyard.provider": exchange.provider,
        "steelyard.model": exchange.model,
        "steelyard.strategy": exchange.strategy,
        "steelyard.objective": exchange.objective,
        "steelyard.reason": exchange.reason,
        "gen_ai.conversation.id": exchange.preferences.session_id,
    }
    return {name: value for name, value in told.items() if value}


def _ended(exchange: Exchange) -> dict[str, Value]:
    """How it went, and what it cost."""
    facts: dict[str, Value] = {
        "steelyard.cache": exchange.cache,
        "steelyard.attempts": len(exchange.attempts),
        "steelyard.cost_usd": exchange.cost,
        "steelyard.overhead_ms": round(exchange.overhead * 1000, 3),
        "gen_ai.request.stream": exchange.stream,
        "steelyard.outcome": exchange.outcome,
        **_tokens(exchange.usage),
    }
    if exchange.queued:
        facts["steelyard.queued_ms"] = round(exchange.queued * 1000, 3)
    if exchange.simulated:
        facts["steelyard.simulated"] = True
    if exchange.guardrails:
        facts["steelyard.guardrails"] = list(exchange.guardrails)
    if exchange.finish_reason:
        facts["gen_ai.response.finish_reasons"] = [exchange.finish_reason]
    if exchange.outcome == "error":
        facts["error.type"] = exchange.error_code or exchange.error_type or str(exchange.status)
        facts["steelyard.error.source"] = exchange.error_source or ""
    for name in ("execution_id", "workflow", "node"):
        if exchange.tags and isinstance(value := exchange.tags.get(name), str):
            facts[f"steelyard.{name}"] = value[:_LONGEST]
    return facts


def _choice(exchange: Exchange) -> Iterator[Moment]:
    """The DWA's choice: the candidates in their order with their scores, and who was not tried."""
    ranking = exchange.ranking
    if ranking is None or exchange.inherited:
        return
    decision = ranking.decision()
    losses = decision.losses
    keys = [one.key for one in ranking.candidates[:_CANDIDATES]]
    facts: dict[str, Value] = {
        "steelyard.reason": str(ranking.reason),
        "steelyard.strategy": ranking.strategy,
        "steelyard.objective": ranking.objective.name,
        "steelyard.candidates": keys,
    }
    if losses:
        best = min(losses)
        mine = [losses[place] for place in decision.order[:_CANDIDATES]]
        facts["steelyard.candidates.score"] = [best / one if one > 0.0 else 1.0 for one in mine]
    if ranking.excluded:
        out = [f"{key}: {why}" for key, why in ranking.excluded.items()]
        facts["steelyard.excluded"] = out[:_CANDIDATES]
    first = min((one.started for one in exchange.attempts), default=exchange.seconds)
    yield Moment("steelyard.choice", exchange.created + first, facts)


def _attempt(exchange: Exchange, trace: Trace, number: int, one: Attempt, where: Whereabouts) -> Span:
    start = exchange.created + one.started
    facts: dict[str, Value] = {
        "gen_ai.operation.name": exchange.operation,
        "gen_ai.provider.name": GEN_AI_NAMES.get(one.provider, one.provider),
        "gen_ai.request.model": one.model,
        "steelyard.provider": one.provider,
        "steelyard.attempt": number,
        "steelyard.outcome": one.outcome,
        "steelyard.cost_usd": one.cost,
    }
    if exchange.stream:
        facts["gen_ai.request.stream"] = True
    if one.ttft is not None:
        facts["gen_ai.response.time_to_first_chunk"] = one.ttft
    if (place := where.get(one.provider)) is not None:
        facts["server.address"], facts["server.port"] = place
    if one.usage is not None:
        facts |= _tokens(one.usage)
    if (
        one.outcome == "ok"
        and exchange.finish_reason
        and (one.provider, one.model)
        == (
            exchange.provider,
            exchange.model,
        )
    ):
        facts["gen_ai.response.finish_reasons"] = [exchange.finish_reason]
    if one.status is not None:
        facts["http.response.status_code"] = one.status
    failed = one.outcome not in _FINE
    if failed:
        facts["error.type"] = one.outcome
        if one.code:
            facts["steelyard.error.code"] = one.code[:_LONGEST]
    return Span(
        f"{exchange.operation} {one.model}",
        "client",
        trace.trace,
        one.span or new_span(trace.rng),
        trace.span,
        start,
        start + one.seconds,
        facts,
        trace.state,
        failed=failed,
        error=masked(one.message) if failed else "",
    )


def _tokens(usage: Usage) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    if usage.cached_tokens:
        facts["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        facts["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        facts["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    return facts


def _bodies(exchange: Exchange) -> dict[str, Value]:
    named = (("request", exchange.request_body), ("response", exchange.response_body))
    return {
        f"steelyard.{name}_body": (blanked(body) or b"").decode("utf-8", "replace")[:_LONGEST_BODY]
        for name, body in named
        if body
    }
