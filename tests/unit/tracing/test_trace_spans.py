"""What a finished request looks like in a trace."""

from __future__ import annotations

import random

import pytest

from gateway.exchange import Attempt, Exchange, Preferences
from gateway.metrics import Metrics
from gateway.tracing.places import Trace
from gateway.tracing.spans import Span, of_request
from tests.unit.gateway.metric_samples import sampled

CHATS = ("chat", "messages", "responses")
OTHERS = ("completions", "embeddings", "count_tokens", "moderations", "images", "speech", "transcriptions")


def finished(attempt: Attempt, surface: str = "chat", **more: object) -> Exchange:
    made = Exchange("req_1", 1.0, 1.0, surface, "openai", "ann", "fast", False, Preferences())
    made.attempts = [attempt]
    for name, value in more.items():
        setattr(made, name, value)
    return made


def spans_of(exchange: Exchange) -> list[Span]:
    return list(of_request(exchange, Trace(1, 2, True, rng=random.Random(1)), {}, bodies=False))


@pytest.mark.parametrize("surface", [*CHATS, *OTHERS])
def test_an_operation_is_called_the_same_in_traces_and_metrics(surface: str) -> None:
    exchange, metrics = finished(Attempt("openai", "m", 0.0, "ok", 1.0), surface), Metrics()
    metrics.observe(exchange)
    (called,) = sampled(metrics, "gen_ai_client_operation_duration_seconds_count", "gen_ai_operation_name")
    _, attempt = spans_of(exchange)
    assert (attempt.facts["gen_ai.operation.name"],) == called
    assert attempt.name == f"{called[0]} m"


@pytest.mark.parametrize("before", range(975, 1_000))
def test_a_key_at_the_end_of_a_long_error_is_masked_before_it_is_cut(before: int) -> None:
    text = "x" * before + " sk-" + "a1" * 20
    failed = finished(
        Attempt("openai", "m", 0.0, "rejected", 1.0, message=text), outcome="error", status=502, error_message=text
    )
    for span in spans_of(failed):
        assert span.failed
        assert len(span.error) <= 1_000
        assert "a1" not in span.error
