"""What became of a request in words: every attempt is named, and nothing is said that the record does not say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import providers.errors
from dwa.wording import money, seconds
from gateway.api.answers.dwa import explanation
from gateway.api.answers.records import AttemptAnswer
from gateway.api.answers.telling import became
from gateway.records import ExchangeRecord
from providers.errors import Fault


def attempt(provider: str, outcome: str = "ok", **facts: Any) -> AttemptAnswer:
    told: dict[str, Any] = {"status": None, "code": None, "message": None, "started_s": 0.0, "ttft_s": None}
    told |= {"seq": 0, "seconds": 1.0, "input_tokens": 1, "output_tokens": 1, "cost_usd": 0.0}
    return AttemptAnswer(provider=provider, model="m", outcome=outcome, **(told | facts))


def record(**facts: Any) -> ExchangeRecord:
    told: dict[str, Any] = {"id": "req_1", "created_at": 0.0, "surface": "openai", "dialect": "openai"}
    told |= {"requested_model": "m", "duration_s": 2.0, "cost_usd": 0.0004}
    return ExchangeRecord(**(told | facts))


FAULTS = sorted(
    {kind.kind for kind in vars(providers.errors).values() if isinstance(kind, type) and issubclass(kind, Fault)}
)


def test_who_failed_how_and_who_answered_is_told_in_the_order_of_asking() -> None:
    attempts = [
        attempt("c", seconds=1.2, started_s=0.7),
        attempt("a", "overloaded", status=503, seconds=0.3),
        attempt("b", "timed_out", seconds=0.4, started_s=0.3),
    ]
    assert became(record(), attempts) == (
        "a/m could not serve the request (HTTP 503) after 0.3 s, then b/m did not answer in time after 0.4 s and then "
        "c/m answered after 1.2 s. In all it took 2 s and cost $0.0004."
    )


def test_a_stream_is_told_with_its_beginning() -> None:
    assert became(record(cost_usd=0.0), [attempt("a", ttft_s=0.25, seconds=1.9)]) == (
        "a/m began to answer after 0.25 s and was done after 1.9 s. In all it took 2 s and cost nothing."
    )


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "fault"])
def test_every_kind_of_fault_has_words_of_its_own(kind: str) -> None:
    told = became(record(outcome="error", status=503), [attempt("a", kind)])
    assert f"({kind})" not in told
    assert told.count("a/m ") == 1


def test_an_unknown_kind_is_told_by_its_name() -> None:
    assert "a/m failed (bewitched) after 1 s." in became(record(), [attempt("a", "bewitched")])


def test_the_cache_and_the_shared_answer_say_that_nobody_was_asked() -> None:
    hit = became(record(cache="hit", provider="a", model="m"), [])
    assert hit.startswith("Nobody was asked: the answer was in the cache, from a/m. In all")
    assert "already being asked for another request" in became(record(cache="coalesced"), [])


def test_a_failure_and_a_hang_up_are_told_with_what_they_cost() -> None:
    failed = record(outcome="error", status=408, error_code="deadline_exceeded", cost_usd=0.0)
    assert became(failed, []) == ("Nobody was asked. The request failed with status 408 (deadline_exceeded) after 2 s.")
    gone = became(record(outcome="cancelled"), [attempt("a", "cancelled")])
    assert gone == "a/m was given up after 1 s. The caller hung up after 2 s, at a cost of $0.0004."


@given(
    st.lists(st.tuples(st.sampled_from([*FAULTS, "ok", "cancelled"]), st.floats(0.0, 1e4)), max_size=6),
    st.sampled_from(["ok", "error", "cancelled"]),
    st.sampled_from(["hit", "miss", "bypass", "coalesced"]),
    st.floats(0.0, 100.0),
)
def test_any_record_is_told_in_one_paragraph_with_its_own_numbers(
    endings: list[tuple[str, float]], outcome: str, cache: str, cost: float
) -> None:
    attempts = [attempt(f"p{i}", ending, seconds=took, started_s=i) for i, (ending, took) in enumerate(endings)]
    told = became(record(outcome=outcome, cache=cache, provider="p", model="m", cost_usd=cost), attempts)
    assert told.endswith(".")
    assert not re.search(r"\n|  |[{}]|None", told)
    assert seconds(2.0) in told
    assert money(cost) in told or not cost
    if cache in {"miss", "bypass"}:
        for one in attempts:
            assert f"{one.provider}/m " in told
            assert f"after {seconds(one.seconds)}" in told


def test_a_decision_that_was_too_large_to_keep_is_explained_by_what_became_of_the_request() -> None:
    told = explanation(record(decision={"omitted": True, "length": 70_000}, provider="a", model="m"))
    assert told.decision is None
    assert told.summary == explanation(record(provider="a", model="m")).summary
