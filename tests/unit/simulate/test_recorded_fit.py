"""A log of a known world is fitted back to that world."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

import pytest
from recorded_world import EPOCH, HOSTS, KEYS, KNOWN, recorded

from dwa import Candidate
from dwa.simulate.measure import quantile
from dwa.simulate.recorded import Tried
from dwa.simulate.recorded.fit import FEW, Fit, Fitted, fit_speed
from dwa.simulate.recorded.segments import MOST, levels, rates


def fitted(log: list[Tried], key: str, known: dict[str, Candidate] | None = None) -> Fitted:
    return Fit(log, (KNOWN if known is None else known).get).of(key)


def attempts(**changes: object) -> list[Tried]:
    return [one for request in recorded(3000, strategy="round_robin", **changes) for one in request.attempts]  # pyright: ignore[reportArgumentType] - as `recorded` takes them


def answers(count: int, *, key: str = KEYS[0], noise: float = 0.3, seed: int = 1) -> list[Tried]:
    """Answers of 0.5 s + 20 µs and 10 ms a token, one a second, for 1 and 4 USD per million tokens."""
    rng = Random(seed)
    found: list[Tried] = []
    for n in range(count):
        prompt, answer = rng.randrange(50, 20_000), rng.randrange(5, 800)
        seconds = (0.5 + prompt * 2e-5 + answer * 0.01) * exp(rng.gauss(0.0, noise))
        found.append(Tried(key, "ok", EPOCH + n, seconds, None, prompt, answer, prompt * 1e-6 + answer * 4e-6))
    return found


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_hosts_speed_is_found(place: int) -> None:
    host, found = HOSTS[place], fitted(attempts(), KEYS[place])
    assert found.answers > 900
    assert found.speed.answer_s == pytest.approx(host.token_s, rel=0.03)
    assert found.speed.start_s == pytest.approx(host.first_token_s, rel=0.2)
    for prompt, answer in ((300, 50), (1000, 200), (4000, 700)):
        typical = host.first_token_s + prompt * host.prefill_s + answer * host.token_s
        assert found.speed.seconds(prompt, answer) * found.spells[0].level == pytest.approx(typical, rel=0.05)


def test_all_three_parts_of_a_speed_are_found() -> None:
    speed = fitted(answers(2000), KEYS[0]).speed
    assert speed.start_s == pytest.approx(0.5, rel=0.2)
    assert speed.prompt_s == pytest.approx(2e-5, rel=0.2)
    assert speed.answer_s == pytest.approx(0.01, rel=0.05)


def test_the_noise_is_the_worlds() -> None:
    noise = sorted(fitted(answers(2000), KEYS[0]).noise)
    assert quantile(noise, 0.5) == pytest.approx(1.0, rel=0.02)
    assert quantile(noise, 0.84) == pytest.approx(exp(0.3), rel=0.05)


def test_stragglers_are_kept_as_noise_and_do_not_move_the_speed() -> None:
    log = [one._replace(seconds=one.seconds * 10) if n % 40 == 0 else one for n, one in enumerate(answers(1000))]
    found = fitted(log, KEYS[0])
    [spell] = found.spells
    assert found.speed.seconds(5000, 300) * spell.level == pytest.approx(3.6, rel=0.06)
    assert sum(factor > 4 for factor in found.noise) == 25


def test_no_part_of_a_speed_is_negative() -> None:
    rows = [(1000.0 * n, 100.0, 5.0 - 0.01 * n) for n in range(1, 40)]
    speed = fit_speed(rows)
    assert min(speed.start_s, speed.prompt_s, speed.answer_s) >= 0.0
    assert speed.seconds(20_000, 100) == pytest.approx(4.8, rel=0.05)


def test_requests_of_one_size_are_fitted_too() -> None:
    assert fit_speed([(1000.0, 100.0, 2.0)] * 30).seconds(1000, 100) == pytest.approx(2.0)


def test_an_embedding_has_no_answer_tokens() -> None:
    log = [one._replace(answer=0, seconds=0.1 + one.prompt * 1e-5) for one in answers(100)]
    speed = fitted(log, KEYS[0]).speed
    assert speed.answer_s == 0.0
    assert speed.seconds(10_000, 0) == pytest.approx(0.2, rel=0.01)


def test_an_outage_is_found_where_it_was() -> None:
    dead = replace(HOSTS[1], dead=True)
    found = fitted(attempts(timeline=[(300.0, 1, dead), (420.0, 1, HOSTS[1])]), KEYS[1])
    broken = [one for one in found.spells if one.fails > 0.9]
    assert len(broken) == 1
    after = found.spells[found.spells.index(broken[0]) + 1]
    assert broken[0].at - EPOCH == pytest.approx(300.0, abs=5.0)
    assert after.at - EPOCH == pytest.approx(420.0, abs=10.0)
    assert after.fails < 0.05
    assert max(broken[0].fail_s) == pytest.approx(dead.fail_s)


def test_a_slow_hour_is_a_level_and_not_noise() -> None:
    log = [one._replace(seconds=one.seconds * 3) if 400 <= n < 600 else one for n, one in enumerate(answers(1000))]
    found = fitted(log, KEYS[0])
    typical = [one.level * found.speed.seconds(5000, 300) for one in found.spells]
    assert typical == pytest.approx([3.6, 10.8, 3.6], rel=0.1)
    assert [one.at - EPOCH for one in found.spells[1:]] == pytest.approx([400.0, 600.0], abs=10.0)
    assert quantile(found.noise, 0.84) == pytest.approx(exp(0.3), rel=0.05)


def test_refusals_and_broken_streams_are_told_from_failures() -> None:
    log = [
        one._replace(outcome=("throttled", "cut", "overloaded")[n % 10], prompt=0, answer=0) if n % 10 < 3 else one
        for n, one in enumerate(answers(1000))
    ]
    [spell] = fitted(log, KEYS[0]).spells
    assert (spell.refuses, spell.cuts, spell.fails) == (0.1, 0.1, 0.1)
    assert len(spell.refuse_s) == len(spell.cut_s) == len(spell.fail_s) == 100


@pytest.mark.parametrize("outcome", ["cancelled", "rejected", "context_too_long", "refused"])
def test_what_blames_nobody_teaches_nothing(outcome: str) -> None:
    log = answers(100)
    more = [one._replace(outcome=outcome, seconds=99.0, at=one.at + 0.5) for one in log]
    assert fitted([*log, *more], KEYS[0]) == fitted(log, KEYS[0])


def test_a_timeout_of_a_caller_in_a_hurry_teaches_nothing() -> None:
    log = answers(100)
    quick = log[0]._replace(outcome="timed_out", seconds=1.0, hurried=True)
    assert fitted([*log, quick], KEYS[0]).failures == 0
    assert fitted([*log, quick._replace(hurried=False)], KEYS[0]).failures == 1
    assert fitted([*log, quick._replace(seconds=30.0)], KEYS[0]).failures == 1


def test_a_thin_deployment_has_the_speed_of_the_log_moved_to_its_level() -> None:
    few = [one._replace(seconds=one.seconds * 2) for one in answers(FEW - 1, key=KEYS[1], noise=0.0)]
    log = answers(500) + few
    found = fitted(log, KEYS[1])
    assert found.thin
    assert found.speed == Fit(log, KNOWN.get).speed
    assert 1.6 < found.spells[0].level < 2.0
    assert not fitted(log + answers(1, key=KEYS[1]), KEYS[1]).thin


def test_a_stranger_is_as_the_log_is() -> None:
    log = answers(100)
    found = fitted(log, KEYS[2])
    assert (found.attempts, found.answers, found.spells[0].level) == (0, 0, 1.0)
    assert found.speed == Fit(log, KNOWN.get).speed
    assert found.candidate.price_in == KNOWN[KEYS[2]].price_in
    assert found.candidate.token_s == found.speed.answer_s


def test_an_empty_log_has_a_speed_all_the_same() -> None:
    found = fitted([], KEYS[0])
    assert found.speed.seconds(1000, 100) > 0.0
    assert found.noise == (1.0,)


def test_the_price_is_the_bill() -> None:
    listed = {KEYS[0]: Candidate(KEYS[0], 0.5e-6, 2e-6, price_cached=0.1e-6)}
    found = fitted(answers(100), KEYS[0], listed)
    assert found.candidate.price_in == pytest.approx(1e-6)
    assert found.candidate.price_out == pytest.approx(4e-6)
    assert found.candidate.price_cached is None


def test_a_price_that_no_list_knows_is_fitted_to_the_bills() -> None:
    found = fitted(answers(100), KEYS[0], {})
    assert found.candidate.price_in == pytest.approx(1e-6, rel=1e-3)
    assert found.candidate.price_out == pytest.approx(4e-6, rel=1e-3)
    assert found.priced


def test_what_costs_nothing_costs_nothing() -> None:
    local = [one._replace(cost=0.0) for one in answers(50)]
    assert fitted(local, KEYS[0], {}).candidate.price_in == 0.0
    assert not fitted([], KEYS[0], {}).priced


def test_pieces_are_the_whole_series_in_order() -> None:
    rng = Random(3)
    failed = [rng.random() < (0.9 if 200 <= n < 260 or 700 <= n < 1000 else 0.02) for n in range(1500)]
    found = rates(failed)
    assert [place for piece in found for place in range(*piece)] == list(range(1500))
    assert [start for start, _ in found] == pytest.approx([0, 200, 260, 700, 1000], abs=4)


def test_a_constant_series_is_one_piece() -> None:
    rng = Random(4)
    assert rates([rng.random() < 0.1 for _ in range(3000)]) == [(0, 3000)]
    assert levels([rng.gauss(0.0, 0.5) for _ in range(3000)]) == [(0, 3000)]
    assert rates([]) == levels([]) == []
    assert levels([1.0, 2.0]) == [(0, 2)]


def test_two_failures_in_a_row_are_no_outage_and_four_are() -> None:
    quiet = [False] * 500
    assert len(rates([*quiet, True, True, *quiet])) == 1
    assert rates([*quiet, *[True] * 4, *quiet]) == [(0, 500), (500, 504), (504, 1004)]


def test_a_change_at_the_beginning_is_found_too() -> None:
    rng = Random(5)
    assert levels([rng.gauss(2.0 if n < 50 else 0.0, 0.2) for n in range(500)]) == [(0, 50), (50, 500)]


def test_a_log_that_never_rests_has_a_bounded_number_of_pieces() -> None:
    failed = [n // 60 % 2 == 0 for n in range(60 * 200)]
    found = rates(failed)
    assert [place for piece in found for place in range(*piece)] == list(range(len(failed)))
    assert MOST <= len(found) <= MOST + 2
