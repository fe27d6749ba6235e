"""Answers: routing. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class ModelPrice:
    """USD per million tokens; `cached_input` is null where cached tokens cost what the others do.

    So is `cache_write`, and `cache_write_hour` where writing for an hour costs no more.
    """

    input: float
    output: float
    cached_input: float | None
    cache_write: float | None
    cache_write_hour: float | None


@dataclass(kw_only=True)
class ModelAnswer:
    """A deployment: `id` is `provider/model`, `context` and `max_output` are tokens; null means not known."""

    name: str
    provider: str
    id: str
    upstream: str
    context: int | None
    max_output: int | None
    capabilities: list[str] | None
    price: ModelPrice
    simulated: bool


@dataclass(kw_only=True)
class ModelsAnswer:
    """Every deployment."""

    models: list[ModelAnswer]


@dataclass(kw_only=True)
class TokenUsage:
    """Tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(kw_only=True)
class OrchestrateToolCall:
    """A call the model asks for; `arguments` is JSON as text, `extra_content` is to be sent back with the call."""

    id: str
    name: str
    arguments: str
    extra_content: dict[str, Any] | None = None


@dataclass(kw_only=True)
class OrchestrateSource:
    """A page, and the characters of `response` that it is the source of."""

    url: str
    title: str
    start: int
    end: int


@dataclass(kw_only=True)
class OrchestrateAttempt:
    """One call of a deployment; `outcome` is `ok`, `cancelled`, `hedged` (another was quicker) or the fault's kind."""

    provider: str
    model: str
    outcome: str
    seconds: float


@dataclass(kw_only=True)
class OrchestrateError:
    """Why one of those compared has no answer; `source` is caller, policy, gateway or provider."""

    message: str
    type: str
    param: str | None
    code: str | None
    source: str
    attempts: list[OrchestrateAttempt] | None = None


@dataclass(kw_only=True)
class OrchestrateResult:
    """One answer.

    `response_time` in seconds, `cost_usd` in USD, `dwa_score` (0..1) compares the deployment with the best when it
    was chosen. From `tool_calls` to `simulated` a field is left out when it says nothing. `reasoning` is what the
    model shows of its thoughts; `reasoning_details` prove them and belong, as they are, into the assistant's message
    when the conversation goes on. `logprobs` are told as OpenAI does, `images` are addresses, `data:` ones included.
    In mode `compare` each has a `request_id` of its own, by which it is recorded, explained and rated, and an `error`
    in place of an answer.
    """

    provider: str | None
    model: str | None
    response: str
    response_time: float
    tokens_used: int
    usage: TokenUsage
    cost_usd: float
    cached: bool
    dwa_score: float | None
    finish_reason: str | None
    tool_calls: list[OrchestrateToolCall] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    logprobs: dict[str, Any] | None = None
    citations: list[OrchestrateSource] | None = None
    images: list[str] | None = None
    stop_sequence: str | None = None
    service_tier: str | None = None
    simulated: bool | None = None
    request_id: str | None = None
    error: OrchestrateError | None = None


@dataclass(kw_only=True)
class OrchestrateUnstarted:
    """One who was not asked; `reason` is the bound that kept it: `max_cost_usd` or `parallel`."""

    provider: str
    model: str
    reason: str
    expected_cost_usd: float


@dataclass(kw_only=True)
class OrchestrateMetadata:
    """What befell the request: `total_response_time` in seconds, `overhead_ms` in milliseconds, money in USD.

    `database_logged` is true when the durable log has accepted the record, of a comparison all of its results'.
    `session_saved` is left out without a session, `not_started` when no bound kept anybody from being asked. Of a
    comparison `provider` and `model` are null, `attempts` and `cost_usd` those of all.
    """

    total_response_time: float
    overhead_ms: float
    cached_response: bool
    dwa_selection_reason: str | None
    strategy: str
    objective: str
    provider: str | None
    model: str | None
    cost_usd: float
    attempts: list[OrchestrateAttempt]
    session_id: str | None
    database_logged: bool
    session_saved: bool | None = None
    not_started: list[OrchestrateUnstarted] | None = None


@dataclass(kw_only=True)
class OrchestrateAnswer:
    """The answers, and which provider gave them, why, and at what cost."""

    request_id: str
    results: list[OrchestrateResult]
    metadata: OrchestrateMetadata


@dataclass(kw_only=True)
class ProviderModel:
    """A provider's model; `state` is what the DWA makes of it, and `unused` before its first request."""

    name: str
    state: str


@dataclass(kw_only=True)
class ProviderAnswer:
    """A provider, the dialect it speaks, and its models."""

    name: str
    dialect: str
    simulated: bool
    models: list[ProviderModel]


@dataclass(kw_only=True)
class ProvidersAnswer:
    """Every provider."""

    providers: list[ProviderAnswer]


@dataclass(kw_only=True)
class RouteAnswer:
    """A route: its deployments as `provider/model`, how one is chosen, and the routes tried after it."""

    name: str
    targets: list[str]
    strategy: str
    objective: str
    fallback: list[str]


@dataclass(kw_only=True)
class RoutesAnswer:
    """Every configured route."""

    routes: list[RouteAnswer]
