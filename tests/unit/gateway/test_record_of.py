"""Every field of a record holds what its name says, though the values are given by their place."""

from __future__ import annotations

from msgspec.structs import asdict

from gateway.exchange import Attempt, Exchange, Preferences
from gateway.governance.keys import Principal
from gateway.records import record_of
from gateway.store.record import Charge
from providers.chat import Usage


def test_each_value_is_in_the_field_of_its_name() -> None:
    exchange = Exchange(
        id="req_1",
        created=1.5,
        began=100.0,
        surface="chat",
        dialect="openai",
        principal="somebody",
        requested_model="asked",
        stream=True,
        preferences=Preferences(session_id="session"),
        route="route",
        provider="provider",
        model="model",
        strategy="strategy",
        objective="objective",
        reason="reason",
        status=503,
        outcome="error",
        error_type="type",
        error_code="code",
        error_source="source",
        error_message="message",
        cache="miss",
        simulated=True,
        finish_reason="stop",
        usage=Usage(1, 2, 3, 4, 5),
        cost=0.25,
        seconds=2.5,
        ttft=0.5,
        overhead=0.125,
        user="user",
        dropped=("seed",),
        tags={"team": "a"},
        attempts=[Attempt("provider", "model", 0.75, "ok")],
        caller=Principal("somebody", tags=("red",)),
        charges=(Charge("node", "key:somebody/month", 0, 7),),
        request_body=b"question",
        response_body=b"answer",
    )
    record = asdict(record_of(exchange))
    (attempt,) = record.pop("attempts")
    assert (attempt.seq, attempt.provider, attempt.started_s) == (0, "provider", 0.75)
    assert record == {
        "id": "req_1",
        "created_at": 1.5,
        "surface": "chat",
        "dialect": "openai",
        "requested_model": "asked",
        "tenant": "somebody",
        "key_name": "somebody",
        "route": "route",
        "provider": "provider",
        "model": "model",
        "strategy": "strategy",
        "objective": "objective",
        "reason": "reason",
        "status": 503,
        "outcome": "error",
        "error_type": "type",
        "error_code": "code",
        "error_source": "source",
        "error_message": "message",
        "stream": True,
        "cache": "miss",
        "simulated": True,
        "finish_reason": "stop",
        "input_tokens": 1,
        "output_tokens": 2,
        "cached_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "cost_usd": 0.25,
        "duration_s": 2.5,
        "ttft_s": 0.5,
        "overhead_ms": 125.0,
        "session_id": "session",
        "end_user": "user",
        "dropped_params": ("seed",),
        "tags": {"team": "a"},
        "decision": None,
        "request_body": b"question",
        "response_body": b"answer",
        "key_tags": ("red",),
        "charges": (Charge("node", "key:somebody/month", 0, 7),),
    }
