"""What `POST /api/llm/orchestrate` answers, for the OpenAPI document.

The answer itself is put together in `gateway.api.native`; a test holds the two together.
"""

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
    """A call the model asks for; `arguments` is JSON as text."""

    id: str
    name: str
    arguments: str


class OrchestrateResult(Struct):
    """One answer.

    `response_time` in seconds, `cost_usd` in USD, `dwa_score` (0..1) compares the deployment with the best when it was
    chosen. `tool_calls`, `refusal` and `simulated` are left out when they say nothing.
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
    simulated: bool | UnsetType = UNSET


class OrchestrateAttempt(Struct):
    """One call of a deployment; `outcome` is `ok`, `cancelled`, `hedged` (another was quicker) or the fault's kind."""

    provider: str
    model: str
    outcome: str
    seconds: float


class OrchestrateMetadata(Struct):
    """What befell the request: `total_response_time` in seconds, `overhead_ms` in milliseconds, money in USD.

    `database_logged` is true when the durable log has accepted the record. `session_saved` is left out without a
    session.
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


class OrchestrateAnswer(Struct):
    """The answers, and which provider gave them, why, and at what cost."""

    request_id: str
    results: list[OrchestrateResult]
    metadata: OrchestrateMetadata
