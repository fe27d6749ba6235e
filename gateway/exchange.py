"""One request and all that befell it: filled as it happens, read once by every sink at the end.

Times: `created` is Unix seconds; everything else is measured on a monotonic clock and kept as seconds.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from dwa import Ranking
from gateway.capping import Cap, Unstarted
from gateway.errors import GatewayError
from gateway.governance.keys import Principal
from gateway.governance.limits.standing import Standing
from gateway.tracing.places import Trace
from providers.chat import ChatChunk, Usage
from providers.errors import Fault

#: By surface; on the others it is a chat.
_OPERATIONS = {
    "completions": "text_completion",
    "embeddings": "embeddings",
    "embed_content": "embeddings",
    "batch_embed_contents": "embeddings",
    # The conventions have no words for these.
    "count_tokens": "count_tokens",
    "moderations": "moderations",
    "images": "images",
    "speech": "speech",
    "transcriptions": "transcriptions",
}


class Attempt(Struct):
    """One call of a deployment.

    `outcome` is `ok`, `counted` (it told the tokens of a prompt), `cancelled`, `hedged` (another was quicker) or the
    fault's kind; `started` counts from the exchange's beginning.
    """

    provider: str
    model: str
    started: float
    outcome: str = "cancelled"
    seconds: float = 0.0
    ttft: float | None = None
    status: int | None = None
    code: str | None = None
    message: str | None = None
    usage: Usage | None = None
    cost: float = 0.0
    #: It was asked beside another that was overdue.
    hedge: bool = False
    #: It failed, and another deployment was asked for that.
    passed_on: bool = False
    #: How the answer calls the model that gave it; empty where that is not told.
    response_model: str = ""
    #: Its span in the request's trace, where somebody was told of it; else 0 until it has one.
    span: int = 0

    def failed(self, fault: Fault) -> None:
        """It ended with this fault."""
        self.outcome, self.status, self.code = fault.kind, fault.status, fault.code
        self.message = fault.message


class Entrant(Struct):
    """One deployment in a comparison: an exchange of its own, and what came of it."""

    provider: str
    model: str
    exchange: Exchange
    #: The whole answer in the caller's form; None of a stream, or while there is none.
    answer: bytes | None = None
    error: GatewayError | None = None


class Preferences(Struct):
    """What a caller asked of the gateway itself, by `X-Steelyard-*` headers or orchestrate's fields.

    `timeout` in seconds. `cache` is None (the surface's default), `on`, `off` or `refresh`. `ordered` tries the
    providers in the order given instead of ranking them; `race` asks so many at a time, `compare` so many providers for
    an answer each (0: neither). `max_cost` bounds what is expected to be spent, in USD.
    """

    strategy: str | None = None
    objective: str | None = None
    weights: dict[str, float] | None = None
    providers: tuple[str, ...] = ()
    ordered: bool = False
    timeout: float | None = None
    cache: str | None = None
    cache_ttl: float | None = None
    session_id: str | None = None
    drop_params: bool | None = None
    #: Answers that the provider binds to a schema are validated as well.
    validate: bool = False
    race: int = 0
    compare: int = 0
    max_cost: float | None = None
    continue_streams: bool | None = None


class Exchange(Struct):
    """The facts of one request."""

    id: str
    created: float
    began: float
    surface: str
    dialect: str
    principal: str
    requested_model: str
    stream: bool
    preferences: Preferences
    #: The gateway asks for itself, and reads the answer: no caller is told it.
    errand: bool = False
    #: Whose key it came with; None: nobody's, so that only the gateway's own defaults hold.
    caller: Principal | None = None
    route: str | None = None
    provider: str | None = None
    model: str | None = None
    ranking: Ranking | None = None
    #: Deployments that could not be asked, and why.
    excluded: dict[str, str] = {}
    strategy: str = ""
    objective: str = ""
    reason: str = ""
    attempts: list[Attempt] = []
    cache: str = "bypass"
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    status: int = 200
    outcome: str = "ok"
    error_type: str | None = None
    error_code: str | None = None
    error_source: str | None = None
    error_message: str | None = None
    finish_reason: str | None = None
    dropped: tuple[str, ...] = ()
    simulated: bool = False
    ttft: float | None = None
    seconds: float = 0.0
    #: Seconds spent waiting for providers before the answer (for a stream: its first content) was there.
    upstream_seconds: float = 0.0
    #: Seconds until then that were the gateway's own doing.
    overhead: float = 0.0
    user: str | None = None
    tags: dict[str, Any] | None = None
    logged: bool = False
    #: What a stream within a session has said; None when nobody will remember it.
    said: list[ChatChunk] | None = None
    #: The session took this turn; None without a session.
    session_saved: bool | None = None
    #: What may be spent, by expectation; None: no bound.
    cap: Cap | None = None
    #: Who was not asked in a comparison, for the bound on how many are.
    unstarted: list[Unstarted] = []
    #: How often a stream that broke was continued by another deployment.
    continued: int = 0
    #: The answers side by side, of a request that asked for several.
    compared: list[Entrant] | None = None
    #: Everything the provider had to say was received.
    complete: bool = False
    #: The caller has its answer, or has gone. Work that others joined may still be under way.
    closed: bool = False
    #: How many attempts the sinks have seen: later ones are for whoever takes the cost over.
    attempts_at_close: int = 0
    #: Somebody who joined took over the cost, since the exchange that began the work had been closed.
    handed_over: bool = False
    #: It took over what another began: the choice was that one's, and is counted with it.
    inherited: bool = False
    #: What the answer is, where it is neither JSON nor a stream of events of ours.
    content_type: str | None = None
    #: The caller's headers that go along to the provider, and so are part of the question.
    pinned_headers: tuple[tuple[str, str], ...] = ()
    #: Of a request to count tokens: who counted, `provider`, or nobody, `estimate`.
    token_count: str | None = None
    #: What is left of its caller's limits; None: there are none.
    limits: Standing | None = None
    #: Seconds it waited for its turn, by its caller's limits.
    queued: float = 0.0
    #: What the gates gave, to be settled at the end; see `governance.gates`.
    passes: list[Any] = []
    #: Providers that must not be asked, since their budgets are spent.
    barred: frozenset[str] = frozenset()
    #: What the budgets are charged with (`store.record.Charge`), and which of them near their end.
    charges: tuple[Any, ...] = ()
    budget_warning: str | None = None
    #: Stands for its guardrails; empty without any. And what they did: `name=redacted request` …
    guarded: str = ""
    guardrails: tuple[str, ...] = ()
    request_body: bytes | None = None
    response_body: bytes | None = None
    #: Its span, when it is traced, or its caller sent a `traceparent`.
    trace: Trace | None = None

    @property
    def operation(self) -> str:
        """What OpenTelemetry calls that which was asked for, in metrics and traces alike."""
        return _OPERATIONS.get(self.surface, "chat")


def told(exchange: Exchange) -> list[dict[str, object]]:
    """The attempts as callers see them."""
    return [
        {"provider": one.provider, "model": one.model, "outcome": one.outcome, "seconds": round(one.seconds, 4)}
        for one in exchange.attempts
    ]
