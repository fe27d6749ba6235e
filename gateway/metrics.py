"""Every Prometheus name, once. The only file that imports prometheus_client.

Labels are few and bounded by the configuration: providers, models and routes are configured names, everything else is a
closed list; nothing a caller sends becomes a label. A child costs more to find than to count on, so those of the
request path are kept by their label values.

With several workers the values live in files that every worker maps (`PROMETHEUS_MULTIPROC_DIR`), and any worker
answers for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import (
    MultiProcessCollector,
    mark_process_dead,  # pyright: ignore[reportUnknownVariableType] - untyped
)
from prometheus_client.registry import Collector

from gateway.exchange import Attempt, Exchange

CONTENT_TYPE = exposition.CONTENT_TYPE_PLAIN_0_0_4
_DEPLOYMENT = ("provider", "model")
_Workers = Literal["livesum", "livemin", "livemostrecent"]
M = TypeVar("M", bound=MetricWrapperBase)
#: Seconds. From a cache hit to a long answer; doubling, so that a percentile is at most a factor of two off.
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
#: Seconds. From a step that asks nobody to an execution that waits for a person over the weekend.
_LONG = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400, 259_200)
#: Seconds. The gateway's own part: its budget is well under a millisecond.
_OVERHEAD = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)


class Children(Generic[M]):
    """The children of one metric, found once per combination of label values."""

    __slots__ = ("_known", "_metric")

    def __init__(self, metric: M) -> None:
        """Find children of `metric`."""
        self._metric = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *labels: str) -> M:
        """The child with these label values."""
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels) if labels else self._metric
        return child

    def clear(self) -> None:
        """Drop the children; a metric without labels has none, and stays."""
        self._metric.clear()
        self._known.clear()


class _One(Collector):
    """A metric as a registry, so that its text can be made apart."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def forget_worker(folder: str, pid: int) -> None:
    """A worker that is gone must not go on counting among the living; what it counted stays counted."""
    mark_process_dead(pid, folder)


class Metrics:
    """The gateway's metrics in one registry."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """Count in this process, or with `shared_dir` in files shared by the workers of one machine."""
        self._shared_dir = shared_dir
        self.registry = CollectorRegistry()
        self._before_scrape: list[Callable[[], None]] = []
        self._gauges: list[Children[Gauge]] = []
        self.requests = self._counter(
            "steelyard_requests_total",
            "Requests that reached the pipeline, by how they ended.",
            "surface",
            "outcome",
            "status",
            "cache",
        )
        self.turned_away = self._counter(
            "steelyard_rejected_total", "Requests refused before the pipeline.", "surface", "status"
        )
        self.duration = self._histogram(
            "steelyard_request_duration_seconds", "Whole requests.", _SECONDS, "surface", "cache"
        )
        self.overhead = self._histogram(
            "steelyard_overhead_seconds", "The gateway's own part of a request.", _OVERHEAD, "surface"
        )
        self.attempts = self._counter(
            "steelyard_attempts_total", "Calls of deployments, by outcome.", *_DEPLOYMENT, "outcome"
        )
        self.attempt_duration = self._histogram(
            "steelyard_attempt_duration_seconds", "Calls of deployments that answered.", _SECONDS, *_DEPLOYMENT
        )
        self.ttft = self._histogram(
            "steelyard_time_to_first_token_seconds",
            "Streams, from the call to the first content.",
            _SECONDS,
            *_DEPLOYMENT,
        )
        self.tokens = self._counter("steelyard_tokens_total", "Tokens paid for, by kind.", *_DEPLOYMENT, "kind")
        self.cost = self._counter("steelyard_cost_usd_total", "USD spent.", *_DEPLOYMENT)
        self.choices = self._counter(
            "steelyard_dwa_choices_total", "First choices of the DWA, by reason.", *_DEPLOYMENT, "reason"
        )
        self.sink_failures = self._counter(
            "steelyard_sink_failures_total", "Exchanges that a sink failed to take.", "sink"
        )
        self.weight = self._gauge(
            "steelyard_dwa_weight", "Share of a typical request's traffic.", *_DEPLOYMENT, workers="livemostrecent"
        )
        self.score = self._gauge(
            "steelyard_dwa_score", "Best expected loss over its own, 0..1.", *_DEPLOYMENT, workers="livemostrecent"
        )
        self.available = self._gauge(
            "steelyard_dwa_available", "1 while the deployment may be chosen.", *_DEPLOYMENT, workers="livemin"
        )
        self.in_flight = self._gauge("steelyard_in_flight", "Calls under way.", *_DEPLOYMENT)
        self._count_beside_requests()

    def _count_beside_requests(self) -> None:
        self.cache_events = self._gauge(
            "steelyard_cache_events", "Cache hits, misses, writes, evictions and errors since start.", "event"
        )
        self.cache_bytes = self._gauge("steelyard_cache_bytes", "Bytes in the cache in process.")
        self.log_rows = self._gauge(
            "steelyard_log_rows", "Request log rows since start: written, spilled, replayed, dropped.", "state"
        )
        self.log_queue = self._gauge("steelyard_log_queue", "Request log rows waiting in memory.")
        self.feedback = self._counter(
            "steelyard_feedback_total", "New votes on answers, by whose they are: caller or judge.", "source"
        )
        self.judged = self._counter(
            "steelyard_judge_total",
            "Answers sampled for the judge: graded, unreadable, unfit, dropped, over_budget or failed.",
            "outcome",
        )

        self._count_limits()
        self.guardrails = self._counter(
            "steelyard_guardrails_total",
            "What guardrails did: blocked, redacted, or unavailable and let pass.",
            "guardrail",
            "where",
            "outcome",
        )
        self.wrong_keys = self._counter(
            "steelyard_wrong_keys_total",
            "Wrong keys that were sent: refused, or throttled where too many came from one address.",
            "outcome",
        )
        self._count_money()
        self.acts = self._counter(
            "steelyard_audit_acts_total",
            "Acts of the audit log without a transaction: written, or delayed while the database is away.",
            "outcome",
        )
        self._count_tools()
        self._count_workflows()

    def _count_limits(self) -> None:
        self.limited = self._counter(
            "steelyard_limited_total",
            "Requests refused for a limit, by whose it is (key, tag or route) and of what (rpm, tpm or concurrency).",
            "limiter",
            "bound",
        )
        self.limit_queue = self._gauge("steelyard_limit_queue", "Requests that wait for their turn, by their limits.")
        self.limit_wait = self._histogram(
            "steelyard_limit_wait_seconds", "Waits in that queue: admitted or refused.", _SECONDS, "outcome"
        )
        self.limits_alone = self._gauge(
            "steelyard_limits_alone", "Processes that count for themselves, since the others cannot be reached."
        )

    def _count_money(self) -> None:
        self.budget_refusals = self._counter(
            "steelyard_budget_refusals_total", "Requests turned away since a budget is spent, by whose it is.", "kind"
        )
        self.budget_warnings = self._counter(
            "steelyard_budget_warnings_total", "Budgets that passed their soft limits, by whose they are.", "kind"
        )
        self.budget_used = self._gauge(
            "steelyard_budget_used_ratio",
            "Share of a tag's or provider's budget that is spent, where this process has to do with it.",
            "kind",
            "name",
            workers="livemostrecent",
        )

    def _count_tools(self) -> None:
        self.mcp_state = self._gauge(
            "steelyard_mcp_server_state",
            "MCP servers by state: disabled, stopped, starting, running or failed.",
            "server",
            "state",
        )
        self.mcp_calls = self._counter(
            "steelyard_mcp_calls_total", "Calls of MCP servers' tools, by how they ended.", "server", "tool", "outcome"
        )
        self.mcp_duration = self._histogram(
            "steelyard_mcp_call_duration_seconds", "Calls of MCP servers' tools.", _SECONDS, "server"
        )

    def _count_workflows(self) -> None:
        self.executions = self._counter(
            "steelyard_workflow_executions_total", "Executions of workflows that ended, by how.", "status"
        )
        self.execution_duration = self._histogram(
            "steelyard_workflow_execution_duration_seconds",
            "Executions that ended, from their first start, waiting included.",
            _LONG,
            "status",
        )
        self.live_executions = self._gauge(
            "steelyard_workflow_live_executions",
            "Executions that have not ended, by state; those that are pending are the queue.",
            "status",
            workers="livemostrecent",
        )
        self.steps = self._counter(
            "steelyard_workflow_steps_total", "Steps, items of maps included, by kind and outcome.", "kind", "outcome"
        )
        self.step_duration = self._histogram(
            "steelyard_workflow_step_duration_seconds", "Last tries of steps that succeeded or failed.", _LONG, "kind"
        )
        self.schedule_times = self._counter(
            "steelyard_workflow_schedule_times_total", "Times of schedules that came: held or missed.", "outcome"
        )
        self.takeovers = self._counter(
            "steelyard_workflow_takeovers_total",
            "What was taken over here: processes that died or left, and attempts that nobody had begun.",
            "what",
        )

    def before_scrape(self, refresh: Callable[[], None]) -> None:
        """Have `refresh` set the gauges whenever somebody looks."""
        self._before_scrape.append(refresh)

    def begin_gauges_anew(self, refresh: Callable[[], None]) -> None:
        """Another application speaks for this process: what only its predecessor had vanishes, and counters go on."""
        self._before_scrape[:] = [refresh]
        for gauge in self._gauges:
            gauge.clear()

    def render(self) -> bytes:
        """The exposition text, of all workers when they share."""
        return b"".join(self._families())

    async def scraped(self) -> bytes:
        """The same, with a turn between two metrics for whoever waits: in all it takes some ten milliseconds."""
        text: list[bytes] = []
        for family in self._families():
            text.append(family)
            await asyncio.sleep(0)
        return b"".join(text)

    def _families(self) -> Iterator[bytes]:
        for refresh in self._before_scrape:
            refresh()
        shown: CollectorRegistry = self.registry
        if self._shared_dir is not None:
            shown = CollectorRegistry()
            MultiProcessCollector(shown, path=self._shared_dir)  # pyright: ignore[reportUnknownMemberType] - untyped
        for metric in shown.collect():
            yield exposition.generate_latest(_One(metric))

    @property
    def shared(self) -> bool:
        """The values of several workers are shown together."""
        return self._shared_dir is not None

    def guarded(self, guardrail: str, where: str, outcome: str) -> None:
        """A guardrail has done something."""
        self.guardrails(guardrail, where, outcome).inc()

    def observe(self, exchange: Exchange) -> None:
        """The sink: one finished exchange."""
        surface, cache = exchange.surface, exchange.cache
        self.requests(surface, exchange.outcome, str(exchange.status), cache).inc()
        self.duration(surface, cache).observe(exchange.seconds)
        self.overhead(surface).observe(exchange.overhead)
        ranking = exchange.ranking
        if ranking is not None and ranking.candidates and cache != "coalesced" and not exchange.inherited:
            first = ranking.candidates[0].key.partition("/")
            self.choices(first[0], first[2], exchange.reason).inc()
        if cache != "coalesced":
            for attempt in exchange.attempts:
                self._attempt(attempt)

    def _attempt(self, attempt: Attempt) -> None:
        provider, model = attempt.provider, attempt.model
        self.attempts(provider, model, attempt.outcome).inc()
        if attempt.ttft is not None:
            self.ttft(provider, model).observe(attempt.ttft)
        if attempt.outcome == "ok":
            self.attempt_duration(provider, model).observe(attempt.seconds)
        usage = attempt.usage
        if usage is not None:
            self.tokens(provider, model, "input").inc(usage.input_tokens)
            self.tokens(provider, model, "output").inc(usage.output_tokens)
            if usage.cached_tokens:
                self.tokens(provider, model, "cached").inc(usage.cached_tokens)
            if usage.reasoning_tokens:
                self.tokens(provider, model, "reasoning").inc(usage.reasoning_tokens)
            self.cost(provider, model).inc(attempt.cost)

    def _counter(self, name: str, text: str, *labels: str) -> Children[Counter]:
        return Children(Counter(name, text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str, workers: _Workers = "livesum") -> Children[Gauge]:
        """A gauge; `workers` says what the values of several workers make together."""
        gauge = Children(Gauge(name, text, labels, registry=self.registry, multiprocess_mode=workers))
        self._gauges.append(gauge)
        return gauge

    def _histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Children[Histogram]:
        return Children(Histogram(name, text, labels, registry=self.registry, buckets=tuple(buckets)))
