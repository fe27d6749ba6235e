"""Requests, the calls of deployments they were made of, and what those cost."""

from __future__ import annotations

from gateway.metrics.buckets import DEPLOYMENT, OVERHEAD, SECONDS
from gateway.metrics.registry import Registry


class Crowd:
    """A number of those who come and go: a sum that costs what a sum costs."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        """Nobody is there."""
        self.now = 0


class Traffic(Registry):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        #: Requests under way.
        self.crowd = Crowd()
        self._about("Requests")
        self.requests = self._counter(
            "steelyard_requests_total",
            "Requests that reached the pipeline, by how they ended.",
            "surface",
            "outcome",
            "status",
            "cache",
        )
        self.requests_in_flight = self._gauge("steelyard_requests_in_flight", "Requests under way, streams included.")
        self.turned_away = self._counter(
            "steelyard_rejected_total", "Requests refused before the pipeline.", "surface", "status"
        )
        self.duration = self._histogram(
            "steelyard_request_duration_seconds", "Whole requests.", SECONDS, "surface", "cache"
        )
        self.overhead = self._histogram(
            "steelyard_overhead_seconds", "The gateway's own part of a request.", OVERHEAD, "surface"
        )
        self._count_calls()
        self._count_cache()

    def _count_calls(self) -> None:
        self._about("Calls of deployments")
        self.attempts = self._counter(
            "steelyard_attempts_total", "Calls of deployments, by outcome.", *DEPLOYMENT, "outcome"
        )
        self.attempt_duration = self._histogram(
            "steelyard_attempt_duration_seconds", "Calls of deployments that answered.", SECONDS, *DEPLOYMENT
        )
        self.ttft = self._histogram(
            "steelyard_time_to_first_token_seconds",
            "Streams, from the call to the first content.",
            SECONDS,
            *DEPLOYMENT,
        )
        self.in_flight = self._gauge("steelyard_in_flight", "Calls under way.", *DEPLOYMENT)
        self.fallbacks = self._counter(
            "steelyard_fallbacks_total",
            "Calls that failed and after which another deployment was asked, by who failed and how.",
            *DEPLOYMENT,
            "reason",
        )
        self.hedges = self._counter(
            "steelyard_hedges_total",
            "Second calls beside one that was overdue, by whom they went to and what came of them: won, lost to the "
            "first, failed, or cancelled with their request.",
            *DEPLOYMENT,
            "outcome",
        )
        self._about("Tokens and cost")
        self.tokens = self._counter("steelyard_tokens_total", "Tokens paid for, by kind.", *DEPLOYMENT, "kind")
        self.cost = self._counter("steelyard_cost_usd_total", "USD spent.", *DEPLOYMENT)
        self.tag_requests = self._counter(
            "steelyard_tag_requests_total", "Requests of keys that have the tag, those of the cache included.", "tag"
        )
        self.tag_cost = self._counter(
            "steelyard_tag_cost_usd_total",
            "USD spent for keys that have the tag; what a key with several tags spends is told of each.",
            "tag",
            "provider",
        )

    def _count_cache(self) -> None:
        self._about("Cache")
        self.cache_hits = self._counter(
            "steelyard_cache_hits_total",
            "Answers found, by where: memory, folder (of this machine's workers), redis, or provider for calls whose "
            "prompt the provider had in part in a cache of its own.",
            "tier",
        )
        self.cache_events = self._counter(
            "steelyard_cache_events_total", "Cache hits, misses, writes, evictions and errors.", "event"
        )
        self.cache_bytes = self._gauge("steelyard_cache_bytes", "Bytes in the cache in process.")
        self.waiters = self._gauge(
            "steelyard_single_flight_waiters", "Requests that wait for an answer that another one is asking for."
        )
