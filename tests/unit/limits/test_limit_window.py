"""Limits as arithmetic: within any minute no more than the bound, and what is said of waiting is true."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.governance.limits.backend import Grant
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.window import SPAN, Limiter, Minute, Need, refusal
from gateway.settings.limits import Rates

RPM, TPM, AT_A_TIME = 5, 100, 3
#: Seconds from one event to the next, most of them short, and tokens.
PAUSES = st.one_of(st.floats(0, 2), st.floats(0, 70))
TOKENS = st.integers(0, TPM)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def limiter(name: str = "alice", **rates: int) -> Limiter:
    return Limiter.of("key", name, Rates(**rates))


def most_within_a_minute(admitted: list[tuple[float, int]]) -> int:
    """The largest sum within any sixty seconds, wherever they begin."""
    return max(
        (sum(amount for at, amount in admitted if began <= at < began + SPAN) for began, _ in admitted), default=0
    )


@given(st.lists(st.tuples(PAUSES, TOKENS), max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_minute_holds_more_than_the_bounds(events: list[tuple[float, int]]) -> None:
    clock = Clock()
    backend = MemoryBackend(clock=clock)
    requests: list[tuple[float, int]] = []
    tokens: list[tuple[float, int]] = []
    for pause, asked in events:
        clock.now += pause
        verdict = backend.judge(Need((limiter(rpm=RPM, tpm=TPM),), asked))
        if verdict.grant is not None:
            requests.append((clock.now, 1))
            tokens.append((clock.now, asked))
    assert most_within_a_minute(requests) <= RPM
    assert most_within_a_minute(tokens) <= TPM


@given(st.lists(st.tuples(PAUSES, TOKENS), min_size=1, max_size=30), TOKENS)
@settings(max_examples=150, deadline=None)
def test_after_the_wait_it_is_let_through_and_not_before(events: list[tuple[float, int]], asked: int) -> None:
    clock = Clock()
    backend = MemoryBackend(clock=clock)
    need = Need((limiter(rpm=RPM, tpm=TPM), limiter("bob", rpm=RPM - 2)), asked)
    for pause, some in events:
        clock.now += pause
        backend.judge(Need(need.limiters, some))
    refused = backend.judge(need).refusal
    if refused is None:
        return
    assert refused.wait is not None
    assert 0 < refused.wait <= SPAN + 1
    began = clock.now
    clock.now = began + refused.wait - 0.001
    assert backend.judge(need).refusal is not None
    clock.now = began + refused.wait + 0.001
    assert backend.judge(need).refusal is None


@given(st.lists(st.tuples(PAUSES, st.integers(0, 2)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_all_limiters_count_it_or_none_does(events: list[tuple[float, int]]) -> None:
    clock = Clock()
    backend = MemoryBackend(clock=clock)
    names = ("one", "two", "three")
    shut = limiter("shut", concurrency=1)
    assert backend.judge(Need((shut,), 0)).grant is not None
    granted: list[tuple[float, str]] = []
    for pause, skipped in events:
        clock.now += pause
        needed = tuple(limiter(name, rpm=RPM) for name in names if name != names[skipped])
        assert backend.judge(Need((*needed, shut), 1)).refusal is not None
        if backend.judge(Need(needed, 1)).grant is not None:
            granted.append((clock.now, names[skipped]))
        states = backend.judge(Need((*(limiter(name) for name in names), shut), 1)).states
        for name, state in zip(names, states, strict=False):
            assert state.requests == sum(
                name != left_out and int(at) >= int(clock.now) - SPAN for at, left_out in granted
            )


@given(st.lists(st.one_of(st.integers(0, 60), st.none()), max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_more_run_at_a_time_than_the_bound(events: list[int | None]) -> None:
    backend = MemoryBackend(clock=Clock())
    running: list[Grant] = []
    for used in events:
        if used is not None and running:
            backend.settle(running.pop(), used)
            continue
        verdict = backend.judge(Need((limiter(concurrency=AT_A_TIME),), 30))
        if verdict.grant is not None:
            running.append(verdict.grant)
        assert (verdict.refusal is None) == (verdict.states[0].running < AT_A_TIME)
        assert len(running) <= AT_A_TIME


@given(st.lists(st.tuples(PAUSES, TOKENS, PAUSES, TOKENS), max_size=20))
@settings(max_examples=100, deadline=None)
def test_what_is_settled_is_what_counts(events: list[tuple[float, int, float, int]]) -> None:
    """Whatever was reserved: after the end of a request its true tokens count, for a minute after its end at least."""
    clock = Clock()
    backend = MemoryBackend(clock=clock)
    wide = limiter(tpm=10**9)
    true: list[tuple[float, int]] = []
    for pause, reserved, lasted, used in events:
        clock.now += pause
        grant = backend.judge(Need((wide,), reserved)).grant
        assert grant is not None
        began = clock.now
        clock.now += lasted
        backend.settle(grant, used)
        # What was reserved rightly counts from the beginning, what was used beyond from the end.
        true += [(began, min(reserved, used)), (clock.now, max(0, used - reserved))]
        state = backend.judge(Need((wide,), 0)).states[0]
        assert state.tokens == sum(some for at, some in true if int(at) >= int(clock.now) - SPAN)


def test_the_longest_wait_is_named_and_those_who_cannot_tell_last() -> None:
    busy, slow = Minute(), Minute()
    busy.running = 1
    slow.add(1000, 1, 0)
    at_a_time, a_minute = limiter("busy", concurrency=1), limiter("slow", rpm=1)
    pair = (at_a_time, a_minute)
    states = [one.look(who.rates, 0, 1010) for one, who in zip((busy, slow), pair, strict=True)]
    found = refusal(pair, states, 1010.5)
    assert found is not None
    assert (found.limiter, found.bound, found.wait) == (a_minute, "rpm", 50.5)
    alone = refusal(pair[:1], states[:1], 1010.5)
    assert alone is not None
    assert (alone.limiter, alone.bound, alone.wait) == (at_a_time, "concurrency", None)


def test_idle_limiters_are_forgotten_and_running_ones_are_not() -> None:
    clock = Clock()
    backend = MemoryBackend(clock=clock)
    held = backend.judge(Need((limiter("held", concurrency=1),), 0)).grant
    assert held is not None
    for number in range(511):
        grant = backend.judge(Need((limiter(f"k{number}", rpm=1),), 0)).grant
        assert grant is not None
        backend.settle(grant, 0)
    clock.now += SPAN + 2
    assert backend.judge(Need((limiter("late", rpm=1),), 0)).grant is not None
    assert backend.known == {"key:held", "key:late"}
    assert backend.running("key:held") == 1
    assert backend.judge(Need((limiter("held", concurrency=1),), 0)).refusal is not None
