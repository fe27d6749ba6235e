"""What the table of `make chaos` counts is what it says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.acceptance.bad_days import Told
from tests.chaos.cases import CASES, Case
from tests.chaos.load import Heard, percentile
from tests.chaos.measuring import Outcome
from tests.chaos.page import page
from tests.chaos.world import BUDGET, MOST_CASES, Spent, is_well, keys_of

_ANSWER = b'{"choices":[{"message":{"content":"[simulated] question 1."}}]}'


def heard(status: int, body: bytes) -> Heard:
    return Heard(Told("question 1.", status, {}, body, False, "openai", 0.0), "crowd", 1.0, 3.5)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, _ANSWER, "answered"),
        (200, _ANSWER.replace(b"question 1", b"question 2"), "broken"),
        (200, _ANSWER[:-9], "broken"),
        (200, b"{}", "broken"),
        (503, b'{"error":{"message":"Why.","type":"overloaded_error"}}', "refused"),
        (429, b'{"error":{"message":"Why.","type":"insufficient_quota","code":"insufficient_quota"}}', "spent"),
        (503, b"Service Unavailable", "broken"),
        (503, b'{"error":{"message":"","type":"overloaded_error"}}', "broken"),
        (500, b'{"error":{"message":"Why.","type":"server_error"}}', "broken"),
        (0, b"ConnectionResetError()", "broken"),
    ],
)
def test_only_a_right_answer_is_one_and_only_an_error_that_says_why_is_honest(
    status: int, body: bytes, verdict: str
) -> None:
    assert heard(status, body).verdict == verdict


def test_percentiles_are_of_what_there_is() -> None:
    assert percentile([], 0.95) == 0.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(100)], 0.95) == 95.0


def outcome(case: Case, **facts: Any) -> Outcome:
    values: dict[str, Any] = {
        "verdicts": Counter(answered=10),
        "thrifty": Counter(answered=2, spent=1),
        "lost": 0,
        "spent": Spent(BUDGET, 0.0001),
        "recovered": 1.5,
        "calm": 0.01,
        "during": 0.02,
    }
    return Outcome(case, **(values | facts))


_STRICT = next(case for case in CASES if not case.unanswered)
_LENIENT = next(case for case in CASES if case.unanswered)


@pytest.mark.parametrize(
    ("facts", "fails"),
    [
        ({}, False),
        ({"lost": 1}, True),
        ({"spent": Spent(BUDGET * 1.2, 0.0001)}, True),
        ({"spent": Spent(BUDGET * 1.05, 0.0001)}, False),
        ({"verdicts": Counter(answered=10, refused=1)}, True),
        ({"thrifty": Counter(answered=1, refused=1)}, False),
        ({"thrifty": Counter(broken=1)}, True),
    ],
)
def test_a_case_fails_by_a_row_a_budget_or_a_caller(facts: dict[str, Any], fails: bool) -> None:
    assert bool(outcome(_STRICT, **facts).faults) is fails


def test_where_callers_may_be_cut_off_rows_and_budgets_still_count() -> None:
    assert outcome(_LENIENT, verdicts=Counter(broken=5)).faults == []
    assert outcome(_LENIENT, lost=1).faults
    assert outcome(_LENIENT, spent=Spent(1.0, 0.0)).faults


def test_the_page_has_a_row_of_every_case_their_sum_and_what_was_left_out() -> None:
    written = page([outcome(case) for case in CASES], ["a case"])
    rows = [line for line in written.splitlines() if line.startswith("| ")]
    assert len(rows) == len(CASES) + 3
    assert len({line.count("|") for line in rows}) == 1
    assert all(f"| {case.name} |" in written for case in CASES)
    assert f"| **all** | {13 * len(CASES)} | {12 * len(CASES)} | {len(CASES)} | 0 | 0 | **0** | **0** |" in written
    assert written.rstrip().endswith("- a case")


def test_every_case_has_a_name_and_a_budget_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) <= MOST_CASES
    assert len({name for number in range(len(CASES)) for name in keys_of(number)}) == len(CASES) + 1


def test_a_log_that_still_waits_is_not_well() -> None:
    log = {"status": "healthy", "spill_segments": 0, "queue": 3, "capacity": 100}
    assert is_well("log", log)
    assert not is_well("log", {**log, "spill_segments": 1})
    assert not is_well("log", {**log, "queue": 30})
    assert not is_well("cache", {"status": "degraded"})
