"""Rate limits: obeyed to the letter, steered before the refusal, found again without headers."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.params import Params
from dwa.quota import Quota


def told(quota: Quota, now: float, **said: float) -> None:
    blank: dict[str, float | None] = dict.fromkeys(
        (
            "remaining_requests",
            "limit_requests",
            "reset_requests_s",
            "remaining_tokens",
            "limit_tokens",
            "reset_tokens_s",
        )
    )
    quota.observe(now, **{**blank, **said})


@given(st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_retry_after_is_obeyed_to_the_letter(retry_after: float, share: float) -> None:
    quota = Quota(Params())
    quota.refused(100.0, 99.0, retry_after)
    inside = 100.0 + retry_after * (share / 1e5) * 0.999999
    if inside < 100.0 + retry_after:
        assert quota.verdict(inside, 1) == ("rate_limited", 100.0 + retry_after)
    assert quota.verdict(100.0 + retry_after, 1)[0] != "rate_limited"


def test_a_shorter_retry_after_does_not_shorten_a_longer_one() -> None:
    quota = Quota(Params())
    quota.refused(100.0, 99.0, 60.0)
    quota.refused(101.0, 99.5, 1.0)
    assert quota.verdict(150.0, 1) == ("rate_limited", 160.0)


def test_headers_steer_before_the_refusal() -> None:
    quota = Quota(Params())
    told(quota, 100.0, remaining_requests=2, limit_requests=100, reset_requests_s=30)
    assert quota.verdict(100.0, 1)[0] == ""
    quota.sent(100.0, 10)
    quota.sent(100.0, 10)
    assert quota.verdict(101.0, 1) == ("quota_spent", 130.0)
    assert quota.verdict(130.0, 1)[0] == ""
    assert not quota.active, "after the reset nothing limits it"


def test_tokens_are_counted_like_requests() -> None:
    quota = Quota(Params())
    told(quota, 100.0, remaining_tokens=500, limit_tokens=100_000, reset_tokens_s=10)
    assert quota.verdict(100.0, 400)[0] == ""
    quota.sent(100.0, 400)
    assert quota.verdict(100.0, 400) == ("quota_spent", 110.0)


def test_plenty_left_is_not_watched() -> None:
    quota = Quota(Params())
    told(quota, 100.0, remaining_requests=90, limit_requests=100, remaining_tokens=9e5, limit_tokens=1e6)
    assert not quota.active
    told(quota, 100.0, remaining_requests=900, remaining_tokens=9e5)
    assert not quota.active
    told(quota, 100.0, remaining_tokens=1e3)
    assert quota.active


def refused_at(rate: float, seconds: float = 20.0) -> tuple[Quota, float]:
    """A quota whose host admitted `rate` requests a second and then refused one."""
    quota, now = Quota(Params()), 0.0
    while now < seconds:
        now += 1 / rate
        quota.sent(now, 1)
    quota.refused(now, now, None)
    return quota, now


def test_without_headers_the_admitted_rate_is_found() -> None:
    quota, now = refused_at(5.0)
    assert quota.cap(now) == pytest.approx(0.9 * 5.0, rel=0.1)
    assert quota.cap(now + 10.0) == pytest.approx(5.0, rel=0.1)
    assert (quota.cap(now + 30.0) or 0.0) > 1.5 * 5.0


@pytest.mark.parametrize("limit", [0.3, 1.0, 5.0])
def test_whoever_could_ask_more_uses_up_what_is_admitted(limit: float) -> None:
    rng, quota = Random(3), Quota(Params())
    level, now, admitted, refused = 1.0, 0.0, 0, 0
    while now < 1000.0:
        passed = rng.expovariate(4 * limit)
        now += passed
        level = min(level + passed * limit, max(1.0, limit))
        if quota.verdict(now, 1)[0]:
            continue
        quota.sent(now, 1)
        if level >= 1.0:
            level -= 1.0
            admitted += 1
            quota.answered(now)
        else:
            refused += 1
            quota.refused(now, now, None)
    # Of random arrivals a bucket of one token cannot use all; by the admitted rate alone it was 0.55.
    assert admitted > 0.61 * limit * 1000.0
    assert refused < 0.25 * admitted


def test_the_bucket_paces_below_the_cap() -> None:
    quota, now = refused_at(5.0)
    sent, start = 0, now
    while now < start + 10.0:
        now += 0.01
        if quota.verdict(now, 1)[0] == "":
            quota.sent(now, 1)
            sent += 1
        else:
            assert quota.verdict(now, 1)[0] == "paced"
    assert 35 <= sent <= 52


def test_immediate_re_refusal_doubles_the_pause() -> None:
    quota, now = refused_at(5.0)
    pauses: list[float] = []
    for _ in range(8):
        pauses.append(quota.paused_until - now)
        now = quota.paused_until
        quota.refused(now, now, None)
    assert pauses[:3] == pytest.approx([0.5, 1.0, 2.0])
    assert max(pauses) == pytest.approx(30.0)
    quota.answered(now)
    quota.refused(now, now, None)
    assert quota.paused_until - now == pytest.approx(0.5)


def test_a_volley_of_refusals_is_one_refusal() -> None:
    quota, now = refused_at(5.0)
    cap = quota.cap(now)
    for _ in range(10):
        quota.refused(now + 0.1, now - 0.1, None)
    assert quota.cap(now) == cap


def test_a_cap_far_above_the_demand_is_dropped() -> None:
    quota, now = refused_at(1.0)
    for _ in range(60):
        now += 1.0
        quota.sent(now, 1)
        quota.verdict(now, 1)
    assert quota.cap(now) is None


def test_the_cap_never_falls_to_nothing() -> None:
    quota = Quota(Params())
    for i in range(50):
        quota.refused(i * 100.0, i * 100.0, None)
    assert (quota.cap(4950.0) or 0.0) >= 0.05


def test_no_cap_before_any_refusal() -> None:
    assert Quota(Params()).cap(0.0) is None


def test_people_see_what_is_left_and_after_the_reset_all_that_is_allowed() -> None:
    quota = Quota(Params())
    assert quota.left(100.0) == (None, None)
    told(quota, 100.0, remaining_requests=7, limit_requests=100, reset_requests_s=30, remaining_tokens=5e3)
    assert quota.left(129.0) == (7, 5e3)
    # The limit of tokens was not told, nor when they come back: that is taken for a minute.
    assert quota.left(130.0) == (100, 5e3)
    told(quota, 150.0, limit_tokens=1e6)
    assert quota.left(159.0)[1] == 5e3
    assert quota.left(160.0)[1] == 1e6
