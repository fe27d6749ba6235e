"""The laws of trace context: the specification's letter in, the same out, and nothing else gets through."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Attempt
from gateway.tracing.onward import onward
from gateway.tracing.places import (
    Here,
    Place,
    Trace,
    begun_in,
    below,
    derived,
    enter,
    new_span,
    new_trace,
    read,
    read_text,
)
from providers.dialect import Call

TRACES = st.integers(1, 2**128 - 1)
SPANS = st.integers(1, 2**64 - 1)
#: What a vendor may put there.
STATES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=512)


def a_trace(**more: object) -> Trace:
    return Trace(0xA, 0xB, True, rng=random.Random(1), **more)  # type: ignore[arg-type]


@given(TRACES, SPANS, st.booleans(), STATES)
def test_what_is_written_is_read(trace: int, span: int, sampled: bool, state: str) -> None:
    place = Place(trace, span, sampled, state)
    assert read(place.traceparent.encode(), state.encode()) == place


@given(TRACES, SPANS, st.booleans(), STATES)
def test_what_is_kept_with_an_execution_is_found_again(trace: int, span: int, sampled: bool, state: str) -> None:
    place = Place(trace, span, sampled, state)
    enter(Here("", "", place))
    kept = begun_in()
    assert kept is not None
    assert read_text(kept) == place


@given(st.binary(max_size=80))
def test_whatever_a_caller_sends_harms_nobody(sent: bytes) -> None:
    found = read(sent, sent)
    assert found is None or len(found.trace_id) == 32


@pytest.mark.parametrize(
    ("parent", "good"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        (b" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00 ", True),
        # of a version to come, there may be more
        (b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", True),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", False),
        (b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        (b"00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        (b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01", False),
        (b"4bf92f3577b34da6a3ce929d0e0e4736", False),
    ],
)
def test_the_letter_of_the_specification(parent: bytes, good: bool) -> None:
    assert (read(parent, None) is not None) == good


@pytest.mark.parametrize("state", [b"x" * 513, b"a=\r\nset-cookie: b", "ä=1".encode(), b""])
def test_a_state_that_is_none_is_left_out(state: bytes) -> None:
    found = read(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", state)
    assert found is not None
    assert found.state == ""


def test_numbers_are_never_nought_and_follow_from_names_alike_everywhere() -> None:
    class Nought(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return 0

    assert new_trace(Nought()) == new_span(Nought()) == 1
    assert derived(64, "stepexec_1", 2) == derived(64, "stepexec_1", 2) < 2**64
    assert len({derived(128, "a", "b"), derived(128, "ab"), derived(128, "a", "c"), derived(64, "a", "b")}) == 4


def test_a_span_below_is_in_the_same_trace_and_a_relayed_one_is_the_caller_s() -> None:
    assert below("x") is None
    enter(Here("req_1", "", a_trace(path="/v1")))
    inner = below("moderate")
    assert inner is not None
    assert (inner.trace, inner.parent, inner.path, inner.name) == (0xA, 0xB, "", "moderate")
    assert inner.span not in (0, 0xB)
    enter(Here("req_1", "", a_trace(relayed=True)))
    relayed = below("moderate")
    assert relayed is not None
    assert relayed.span == 0xB


def test_a_provider_is_told_nothing_unless_it_is_named() -> None:
    call, attempt = Call("/chat", b"{}"), Attempt("openai", "m", 0.0)
    assert onward(call, attempt, a_trace(told=frozenset({"ollama"}))) is call
    assert attempt.span == 0


@pytest.mark.parametrize("told", ["openai", "*"])
def test_a_provider_that_is_named_is_told_the_attempt_s_own_span(told: str) -> None:
    attempt = Attempt("openai", "m", 0.0)
    call = Call("/chat", b"{}", more=(Call("/chat", b"{}"),))
    sent = onward(call, attempt, a_trace(told=frozenset({told}), state="v=1"))
    expected = (("traceparent", f"00-{0xA:032x}-{attempt.span:016x}-01"), ("tracestate", "v=1"))
    assert attempt.span not in (0, 0xB)
    assert sent.headers == sent.more[0].headers == expected


def test_what_is_only_relayed_goes_on_as_it_came() -> None:
    attempt = Attempt("openai", "m", 0.0)
    sent = onward(Call("/chat", b"{}"), attempt, a_trace(told=frozenset({"*"}), relayed=True))
    assert sent.headers == (("traceparent", f"00-{0xA:032x}-{0xB:016x}-01"),)
    assert attempt.span == 0
