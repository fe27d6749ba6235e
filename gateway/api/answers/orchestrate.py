"""What `POST /api/llm/orchestrate` answers, for the OpenAPI document.

The answer itself is put together in `gateway.api.native`; a test holds the two together.
"""

from typing import Any

from msgspec import UNSET, Struct, UnsetType


class TokenUsage(Struct):
    """Tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class OrchestrateToolCall(Struct):
    """A call the model asks for; `arguments` is JSON as text, `extra_content` is to be sent back with the call."""

    id: str
    name: str
    arguments: str
    extra_content: dict[str, Any] | UnsetType = UNSET


class OrchestrateSource(Struct):
    """A page, and the characters of `response` that it is the source of."""

    url: str
    title: str
    start: int
    end: int


class OrchestrateAttempt(Struct):
    """One call of a deployment; `outcome` is `ok`, `cancelled`, `hedged` (another was quicker) or the fault's kind."""

    provider: str
    model: str
    outcome: str
    seconds: float


class OrchestrateError(Struct):
    """Why one of those compared has no answer; `source` is caller, policy, gateway or provider."""

    message: str
    type: str
    param: str | None
    code: str | None
    source: str
    attempts: list[OrchestrateAttempt] | UnsetType = UNSET


class OrchestrateResult(Struct):
    """One answer.

    `response_time` in seconds, `cost_usd` in USD, `dwa_score` (0..1) compares the deployment with the best when it was
    chosen. From `tool_calls` to `simulated` a field is left out when it says nothing. `reasoning` is what the model
    shows of its thoughts; `reasoning_details` prove them and belong, as they are, into the assistant's message when
    the conversation goes on. `logprobs` are told as OpenAI does, `images` are addresses, `data:` ones included. In mode
    `compare` each has a `request_id` of its own, by which it is recorded, explained and rated, and an `error` in place
    of an answer.
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
    tool_calls: list[OrchestrateToolCall] | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_details: list[dict[str, Any]] | UnsetType = UNSET
    logprobs: dict[str, Any] | UnsetType = UNSET
    citations: list[OrchestrateSource] | UnsetType = UNSET
    images: list[str] | UnsetType = UNSET
    stop_sequence: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    simulated: bool | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    error: OrchestrateError | UnsetType = UNSET


class OrchestrateUnstarted(Struct):
    """One who was not asked; `reason` is the bound that kept it: `max_cost_usd` or `parallel`."""

    provider: str
    model: str
    reason: str
    expected_cost_usd: float


class OrchestrateMetadata(Struct):
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
    session_saved: bool | UnsetType = UNSET
    not_started: list[OrchestrateUnstarted] | UnsetType = UNSET


class OrchestrateAnswer(Struct):
    """The answers, and which provider gave them, why, and at what cost."""

    request_id: str
    results: list[OrchestrateResult]
    metadata: OrchestrateMetadata
