"""One simulated provider: what becomes of a request, decided in the order in which the real ones decide it.

    path → key → broken? → body → model → does it fit? → quota → answer → how long it takes

What goes wrong comes from the first that has something to say: a directive in the prompt, the control endpoint, the
outage schedule, chance. Deciding is synchronous and takes no time; `delivery.py` then lets time pass and sends. Law:
every request is counted once; the same seed, clock and order of requests give the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct, field

from providers.simulator.anthropic import Anthropic
from providers.simulator.config import Model, Provider, Seconds, Trouble
from providers.simulator.gemini import Gemini
from providers.simulator.openai import OpenAI
from providers.simulator.physics import (
    Allowance,
    Bucket,
    PromptCache,
    first_token_s,
    load_factor,
    mishap,
    outage_at,
    output_tokens,
    tokens,
)
from providers.simulator.vectors import embed
from providers.simulator.wire import (
    IMAGE_TOKENS,
    Complaint,
    Dialect,
    Embedder,
    Event,
    Headers,
    Operation,
    Passer,
    Reply,
    Turn,
    Usage,
)
from providers.simulator.writing import Ask, Directives, directives, draw, write

#: The whole list; nothing registers itself.
DIALECTS: Mapping[str, Dialect] = {"openai": OpenAI(), "anthropic": Anthropic(), "gemini": Gemini()}
#: Pause between tokens of a dripping stream when nobody says how long.
DRIP_S = 1.0


class Request(NamedTuple):
    """An HTTP request; `path` is what follows the provider's mount, header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes


class Mode(Struct, frozen=True, forbid_unknown_fields=True):
    """What the control endpoint orders.

    `factor` multiplies latencies under slow. `seconds` is added before the first token under slow, is the pause between
    tokens under drip, and the time to stay away under throttled. `requests` ends the mode after so many POSTs.
    """

    mode: Trouble | Literal["healthy"] = "healthy"
    factor: Annotated[float, Meta(gt=0)] = 10.0
    seconds: Seconds | None = None
    requests: Annotated[int, Meta(ge=1)] | None = None


class Counters(Struct):
    """What a provider has seen; `input_tokens` leaves cached ones out, `aborted` are callers that hung up."""

    requests: int = 0
    by_status: dict[int, int] = field(default_factory=dict[int, int])
    in_flight: int = 0
    aborted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Fate(Struct, frozen=True):
    """What befalls one request."""

    trouble: Trouble | None = None
    factor: float = 10.0
    seconds: float | None = None


class Play(Struct, kw_only=True):
    """A decided request: what to send, how, and when."""

    reply: Reply  # of a stream: without body
    trouble: Trouble | None = None
    first_s: float = 0.0
    per_token_s: float = 0.0
    output: int = 0
    events: Iterable[Event] | None = None
    failed_event: bytes = b""


_SPARED = Fate()


class Stage:
    """A provider with its state: mode, quota, prompt cache, counters."""

    def __init__(
        self,
        provider: Provider,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        rng: Random,
        seed: int,
    ) -> None:
        self.provider = provider
        self.mode = Mode()
        self.counters = Counters()
        self._dialect = DIALECTS[provider.dialect]
        self._models = {model.name: model for model in provider.models}
        self._clock, self._wall, self._rng, self._seed = clock, wall, rng, seed
        self._begun = clock()
        limits = provider.limits
        quotas = (("requests", limits.requests_per_min), ("tokens", limits.tokens_per_min))
        self._buckets = {what: Bucket(size, self._begun) for what, size in quotas if size}
        self._cache = PromptCache()

    def decide(self, request: Request) -> Play:
        """Decide what becomes of a request that has just been counted as in flight."""
        try:
            return self._decide(request)
        except Complaint as complaint:
            return Play(reply=complaint.reply)

    def identify(self, number: int) -> Headers:
        """The header that names a request, where the dialect has one."""
        name = self._dialect.request_id_header
        return [(name, b"req_sim%08x" % number)] if name else []

    def _decide(self, request: Request) -> Play:
        operation = self._dialect.operation(request.method, request.path, request.query)
        if operation is None:
            raise Complaint(self._dialect.failure("not_found", request.path))
        self._admit(request)
        fate = self._fate(request.method)
        if fate.trouble == "hang":
            return Play(reply=Reply(0, b""), trouble="hang")
        self._fail_at_once(fate, stream=True)
        if operation.kind in ("models", "model"):
            one = self._model(operation.model or "") if operation.kind == "model" else None
            return Play(reply=Reply(200, self._dialect.models_reply(self.provider.models, one)), trouble=fate.trouble)
        if operation.kind == "embed":
            return self._embedded(operation, request.body, fate)
        if operation.kind == "pass":
            return self._passed(operation, request, fate)
        ask = self._dialect.ask(request.body, request.headers, operation, strict=self.provider.strict)
        model = self._model(ask.model, "completion" if operation.kind == "complete" else "chat")
        prompt = tokens(len(ask.prompt)) + ask.images * IMAGE_TOKENS
        if operation.kind == "count":
            return Play(reply=Reply(200, self._dialect.count_reply(prompt)), trouble=fate.trouble)
        self._dialect.check(ask, prompt, model)
        return self._chat(operation, ask, model, prompt, fate)

    def _admit(self, request: Request) -> None:
        if self.provider.api_key is not None:
            key = self._dialect.key(request.headers, request.query)
            if key != self.provider.api_key:
                raise Complaint(self._dialect.failure("unauthorized" if key else "no_key"))

    def _fate(self, method: str) -> Fate:
        """What control, schedule and chance have in store; chance spares those who only look at the list of models."""
        mode = self.mode
        if mode.mode != "healthy":
            if mode.requests is not None and method == "POST":
                left = mode.requests - 1
                self.mode = Mode(mode.mode, mode.factor, mode.seconds, left) if left else Mode()
            return Fate(mode.mode, mode.factor, mode.seconds)
        if self.provider.outages and (outage := outage_at(self.provider.outages, self._clock() - self._begun)):
            return Fate(outage.kind, outage.factor)
        if method == "POST" and (trouble := mishap(self.provider.faults, self._rng)):
            return Fate(trouble)
        return _SPARED

    def _fail_at_once(self, fate: Fate, *, stream: bool) -> None:
        """Complain of those troubles that are plain errors."""
        match fate.trouble:
            case "down":
                raise Complaint(self._dialect.failure("server_error"))
            case "first_event_error" if not stream:
                raise Complaint(self._dialect.failure("server_error"))
            case "overloaded" | "unauthorized" as failure:
                raise Complaint(self._dialect.failure(failure))
            case "throttled":
                wait = 1.0 if fate.seconds is None else fate.seconds
                raise self._throttled("requests", {"requests": Allowance(1, 0, wait, wait)})
            case _:
                pass

    def _throttled(self, what: str, taken: Mapping[str, Allowance]) -> Complaint:
        reply = self._dialect.failure("throttled", what, taken[what])
        return Complaint(reply._replace(headers=[*reply.headers, *self._limit_headers(taken)]))

    def _limit_headers(self, taken: Mapping[str, Allowance]) -> Headers:
        return self._dialect.limit_headers(taken, self._wall()) if taken else []

    def _model(self, name: str, kind: str | None = None) -> Model:
        model = self._models.get(name)
        if model is None or kind not in (None, model.kind):
            raise Complaint(self._dialect.failure("unknown_model", name))
        return model

    def _embedded(self, operation: Operation, body: bytes, fate: Fate) -> Play:
        dialect = self._dialect
        if not isinstance(dialect, Embedder):
            raise Complaint(dialect.failure("not_found", "embeddings"))
        ask = dialect.embed_ask(body, operation, strict=self.provider.strict)
        model = self._model(ask.model, "embedding")
        self._fail_at_once(fate, stream=False)
        counted = sum(tokens(len(text)) for text in ask.inputs)
        taken = self._take(counted)
        vectors = [embed(text, ask.dimensions or model.dimensions) for text in ask.inputs]
        reply = Reply(200, dialect.embed_reply(ask, vectors, counted), self._limit_headers(taken))
        return self._play(reply, model, fate, uncached=counted, output=0)

    def _passed(self, operation: Operation, request: Request, fate: Fate) -> Play:
        dialect = self._dialect
        if not isinstance(dialect, Passer):
            raise Complaint(dialect.failure("not_found", request.path))
        name, kind, reply = dialect.passed(operation, request.body, request.headers)
        model = self._model(name, kind)
        self._fail_at_once(fate, stream=False)
        taken = self._take(0)
        return self._play(
            reply._replace(headers=[*reply.headers, *self._limit_headers(taken)]), model, fate, uncached=0, output=0
        )

    def _chat(self, operation: Operation, ask: Ask, model: Model, prompt: int, fate: Fate) -> Play:
        orders = directives(ask.last_user)
        fate = Fate(orders.fail) if orders.fail else fate
        if fate.trouble == "hang":
            return Play(reply=Reply(0, b""), trouble="hang")
        self._fail_at_once(fate, stream=ask.stream)
        turn = self._turn(ask, model, prompt, orders)
        headers = self._limit_headers(self._take(prompt + turn.usage.output))
        uncached = prompt - turn.usage.cached
        if not ask.stream:
            reply = Reply(200, self._dialect.reply(turn), headers)
            return self._play(reply, model, fate, uncached=uncached, output=turn.usage.output)
        reply = Reply(200, b"", headers, self._dialect.stream_type(operation))
        play = self._play(reply, model, fate, uncached=uncached, output=turn.usage.output)
        play.events = self._dialect.events(turn, operation)
        play.failed_event = self._dialect.failed_event(operation)
        return play

    def _play(self, reply: Reply, model: Model, fate: Fate, *, uncached: int, output: int) -> Play:
        """Add the times; `uncached` and `output` are tokens."""
        self.counters.input_tokens += uncached
        self.counters.output_tokens += output
        slow = fate.trouble == "slow"
        factor = load_factor(self.provider.knee, self.counters.in_flight) * (fate.factor if slow else 1.0)
        first = first_token_s(model.speed, uncached, self._rng) * factor
        per_token = factor / model.speed.tokens_per_s if model.speed.tokens_per_s else 0.0
        if slow:
            first += fate.seconds or 0.0
        if fate.trouble == "drip":
            per_token += DRIP_S if fate.seconds is None else fate.seconds
        return Play(reply=reply, trouble=fate.trouble, first_s=first, per_token_s=per_token, output=output)

    def _turn(self, ask: Ask, model: Model, prompt: int, orders: Directives) -> Turn:
        lot = draw(ask, self._seed)
        wanted = output_tokens(model.lengths, lot)
        ask.max_tokens = ask.max_tokens or model.max_output
        answers = [write(ask, orders, wanted, n, lot) for n in range(ask.n)]
        cached, written = self._cache.lookup(model.name, ask.prompt, self._clock()) if ask.cacheable else (0, 0)
        usage = Usage(
            prompt=prompt,
            output=sum(answer.tokens for answer in answers),
            thought=sum(answer.thought_tokens for answer in answers),
            cached=cached,
            cache_written=written,
        )
        return Turn(ask=ask, answers=answers, usage=usage, number=self.counters.requests, created=int(self._wall()))

    def _take(self, amount: int) -> dict[str, Allowance]:
        """Take a request and its tokens from the quota; raises Complaint."""
        taken: dict[str, Allowance] = {}
        now = self._clock() if self._buckets else 0.0
        for what, bucket in self._buckets.items():
            taken[what] = bucket.take(1 if what == "requests" else amount, now)
            if taken[what].refused_for_s is not None:
                raise self._throttled(what, taken)
        return taken
