"""One finished exchange, counted.

What is counted of every request or call is bound once for each combination of labels that comes up: finding a child
costs as much as counting on it, and a call is counted on a dozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from gateway.exchange import Attempt, Exchange
from gateway.metrics.genai import GenAi
from gateway.metrics.labels import Bounded
from gateway.metrics.registry import noting
from gateway.metrics.routing import Routing
from gateway.metrics.traffic import Traffic
from providers.chat import Usage

_Count = Callable[[], None]
_Note = Callable[[float], None]
#: Outcomes of calls that are no errors.
_FINE = ("ok", "counted")
#: Names that the answers of one deployment may give its model: an alias and its dated versions.
MOST_MODELS = 8
#: Tags that are told apart.
MOST_TAGS = 100
#: Whatever else there is, as OpenTelemetry says it, and as we do.
_OTHER, OTHER = "_OTHER", "other"


class _Ended(Struct, frozen=True):
    """Where requests that ended alike are counted."""

    count: _Count
    seconds: _Note
    overhead: _Note


class _Called(Struct, frozen=True):
    """Where calls that ended alike are counted; `answered` only of those that were."""

    count: _Count
    seconds: _Note
    answered: _Note | None


class _Used(Struct, frozen=True):
    """Where the tokens and the cost of like calls are counted."""

    input: _Note
    output: _Note
    cost: _Note
    genai_input: _Note
    genai_output: _Note


class Observing(GenAi, Routing, Traffic):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        self._ended: dict[tuple[str, str, int, str], _Ended] = {}
        self._chosen: dict[tuple[str, str], _Count] = {}
        self._called: dict[tuple[str, str, str, str, str], _Called] = {}
        self._used: dict[tuple[str, str, str, str], _Used] = {}
        self._begun: dict[tuple[str, str, str, str], tuple[_Note, _Note]] = {}
        self._known_as: Mapping[tuple[str, str], tuple[str, str]] = {}
        self._models: dict[tuple[str, str], Bounded] = {}
        self._tags = Bounded(MOST_TAGS, OTHER)

    def know(self, deployments: Mapping[tuple[str, str], tuple[str, str]], tags: Iterable[str]) -> None:
        """Tell these deployments to OpenTelemetry by what it calls their provider and by their upstream's own names.

        `tags` are those that are told apart whoever comes first.
        """
        self._known_as = deployments
        for bound in (self._called, self._used, self._begun):
            bound.clear()
        self._tags.reserve(tags)

    def observe(self, exchange: Exchange) -> None:
        """The sink: one finished exchange."""
        surface, cache = exchange.surface, exchange.cache
        key = surface, exchange.outcome, exchange.status, cache
        ended = self._ended.get(key) or self._end(key)
        ended.count()
        ended.seconds(exchange.seconds)
        ended.overhead(exchange.overhead)
        if cache != "coalesced":
            # Of those who joined another all this is told with that one.
            if not exchange.inherited:
                self._choice(exchange)
            operation = exchange.operation
            for attempt in exchange.attempts:
                self._attempt(operation, attempt)
        caller = exchange.caller
        if caller is not None and caller.tags:
            self._tagged(exchange, caller.tags)

    def _choice(self, exchange: Exchange) -> None:
        ranking = exchange.ranking
        if ranking is not None and ranking.candidates:
            key = ranking.candidates[0].key, exchange.reason
            count = self._chosen.get(key)
            if count is None:
                count = self._chosen[key] = self.choices(*_split(key[0]), key[1]).inc
            count()
        if exchange.excluded:
            for deployment, why in exchange.excluded.items():
                self.excluded(*_split(deployment), why).inc()
        if exchange.cap is not None:
            for deployment in exchange.cap.refused:
                self.excluded(*_split(deployment), "too_dear").inc()

    def _attempt(self, operation: str, attempt: Attempt) -> None:
        key = operation, attempt.provider, attempt.model, attempt.outcome, attempt.response_model
        called = self._called.get(key) or self._call(key)
        called.count()
        called.seconds(attempt.seconds)
        if called.answered is not None:
            called.answered(attempt.seconds)
        if attempt.ttft is not None:
            self._first(operation, attempt, attempt.ttft)
        if attempt.usage is not None:
            self._usage(operation, attempt, attempt.usage)
        if attempt.passed_on:
            self.fallbacks(attempt.provider, attempt.model, attempt.outcome).inc()
        if attempt.hedge:
            self.hedges(attempt.provider, attempt.model, _hedged(attempt.outcome)).inc()

    def _first(self, operation: str, attempt: Attempt, seconds: float) -> None:
        key = operation, attempt.provider, attempt.model, attempt.response_model
        ours, theirs = self._begun.get(key) or self._begin(key)
        ours(seconds)
        theirs(seconds)

    def _usage(self, operation: str, attempt: Attempt, usage: Usage) -> None:
        provider, model = attempt.provider, attempt.model
        key = operation, provider, model, attempt.response_model
        used = self._used.get(key) or self._use(key)
        used.input(usage.input_tokens)
        used.output(usage.output_tokens)
        used.cost(attempt.cost)
        used.genai_input(usage.input_tokens)
        used.genai_output(usage.output_tokens)
        if usage.cached_tokens:
            self.tokens(provider, model, "cached").inc(usage.cached_tokens)
            self.cache_hits("provider").inc()
        if usage.reasoning_tokens:
            self.tokens(provider, model, "reasoning").inc(usage.reasoning_tokens)

    def _tagged(self, exchange: Exchange, tags: Iterable[str]) -> None:
        for tag in {self._tags(tag) for tag in tags}:
            self.tag_requests(tag).inc()
            if exchange.cache == "coalesced":
                continue
            for attempt in exchange.attempts:
                if attempt.cost:
                    self.tag_cost(tag, attempt.provider).inc(attempt.cost)

    # What comes up for the first time

    def _end(self, key: tuple[str, str, int, str]) -> _Ended:
        surface, outcome, status, cache = key
        ended = self._ended[key] = _Ended(
            self.requests(surface, outcome, str(status), cache).inc,
            noting(self.duration(surface, cache)),
            noting(self.overhead(surface)),
        )
        return ended

    def _call(self, key: tuple[str, str, str, str, str]) -> _Called:
        operation, provider, model, outcome, told = key
        known = self._genai(operation, provider, model, told)
        called = _Called(
            self.attempts(provider, model, outcome).inc,
            noting(self.genai_duration(*known, "" if outcome in _FINE else outcome)),
            noting(self.attempt_duration(provider, model)) if outcome == "ok" else None,
        )
        if known[-1] != _OTHER:
            self._called[key] = called
        return called

    def _begin(self, key: tuple[str, str, str, str]) -> tuple[_Note, _Note]:
        operation, provider, model, told = key
        known = self._genai(operation, provider, model, told)
        begun = noting(self.ttft(provider, model)), noting(self.genai_first_chunk(*known))
        if known[-1] != _OTHER:
            self._begun[key] = begun
        return begun

    def _use(self, key: tuple[str, str, str, str]) -> _Used:
        operation, provider, model, told = key
        known = self._genai(operation, provider, model, told)
        used = _Used(
            self.tokens(provider, model, "input").inc,
            self.tokens(provider, model, "output").inc,
            self.cost(provider, model).inc,
            noting(self.genai_tokens(*known, "input")),
            noting(self.genai_tokens(*known, "output")),
        )
        if known[-1] != _OTHER:
            self._used[key] = used
        return used

    def _genai(self, operation: str, provider: str, model: str, told: str) -> tuple[str, str, str, str]:
        """The labels of a call for OpenTelemetry; `told` is what the answer calls the model."""
        models = self._models.get((provider, model))
        if models is None:
            models = self._models[provider, model] = Bounded(MOST_MODELS, _OTHER)
        name, upstream = self._known_as.get((provider, model), (provider, model))
        return operation, name, upstream, models(told) if told else ""


def _split(key: str) -> tuple[str, str]:
    provider, _, model = key.partition("/")
    return provider, model


def _hedged(outcome: str) -> str:
    """What came of a second call."""
    return {"ok": "won", "hedged": "lost", "cancelled": "cancelled"}.get(outcome, "failed")
