"""The figures that `make bench` prints: percentiles, arrivals, verdicts, ratios."""

from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import peers, soak, table
from bench.arithmetic import SHARES, arrivals, median, percentile, percentiles
from bench.measure import Row
from bench.orders import Summary

SHARE = st.sampled_from(sorted(SHARES.values()))


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        (range(1, 101), 0.50, 50),
        (range(1, 101), 0.99, 99),
        (range(1, 1001), 0.999, 999),
        (range(1, 10_001), 0.999, 9990),
        ([7], 0.0, 7),
        ([1, 2, 3], 0.5, 2),
        ([1, 2, 3, 4], 0.5, 2),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(list(values), share) == expected


@pytest.mark.parametrize(("count", "share"), [(0, 0.5), (1, 0.5), (99, 0.99), (999, 0.999)])
def test_a_percentile_that_the_sample_cannot_carry_is_none(count: int, share: float) -> None:
    assert percentile([1.0] * count, share) is None
    assert percentile([1.0] * (count + 1 if count else 2), share) == 1.0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=3000), SHARE)
def test_at_least_the_share_lies_at_or_below_and_no_smaller_value_would_do(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    if found is None:
        return
    need = math.ceil(round(len(ordered) * share, 6))
    assert sum(value <= found for value in ordered) >= need
    assert sum(value < found for value in ordered) < need


def test_a_summary_is_in_milliseconds_and_knows_the_largest() -> None:
    assert percentiles([0.001, 0.003, 0.002])["p50"] == pytest.approx(2)
    assert percentiles([0.001, 0.003])["max"] == pytest.approx(3)
    assert set(percentiles([]).values()) == {None}


def test_arrivals_ascend_keep_their_rate_and_repeat_with_their_seed() -> None:
    times = list(arrivals(1000, 20, seed=1))
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 20
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert times == list(arrivals(1000, 20, seed=1))
    assert times != list(arrivals(1000, 20, seed=2))


def test_arrivals_know_nothing_of_each_other() -> None:
    """Gaps of a Poisson process scatter as widely as they are long on average; those of a metronome not at all."""
    times = list(arrivals(100, 100, seed=3))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    assert math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) == pytest.approx(mean, rel=0.1)


@pytest.mark.parametrize(("values", "expected"), [([3, 1, 2], 2), ([4, 1, 2, 3], 2.5), ([5], 5)])
def test_the_median(values: list[float], expected: float) -> None:
    assert median(values) == expected


# ---------------------------------------------------------------------------------------------------------------- rows


def summary(p50: float | None, *, per_second: float = 100.0, errors: int = 0) -> Summary:
    latency = {**dict.fromkeys([*SHARES, "max"]), "p50": p50}
    kinds = {"status 500": errors} if errors else {}
    return Summary(
        requests=10,
        answered=12,
        per_second=per_second,
        wall=1.0,
        errors=kinds,
        hung_up=0,
        latency=latency,
        first=latency,
        late=latency,
    )


def row(through: Summary, straight: Summary, **more: float) -> Row:
    return Row(
        leg="plain",
        workload="chat",
        concurrency=0 if more else 8,
        **more,  # pyright: ignore[reportArgumentType] - share and rate
        through=through,
        straight=straight,
        cpu_us=None,
        core=0.5,
        rss_mb=100,
    )


def test_what_is_added_is_the_difference_and_unknown_where_either_is() -> None:
    assert row(summary(3.0), summary(1.0)).added("latency", "p50") == 2.0
    assert row(summary(3.0), summary(None)).added("latency", "p50") is None
    assert row(summary(None), summary(1.0)).added("first", "p50") is None


def test_the_table_counts_the_errors_of_both_and_says_what_it_cannot_know() -> None:
    cells = dict(zip(table.COLUMNS, table.cells(row(summary(3.0, errors=2), summary(1.0, errors=1))), strict=True))
    assert (cells["errors"], cells["p50"], cells["+p50"], cells["p99.9"]) == ("3", "3.00", "2.00", "–")
    assert cells["load"] == "c=8"
    assert table.cells(row(summary(1.0), summary(1.0), share=0.5, rate=1234.0))[2] == "open 50%, 1,234/s"


def test_markdown_has_a_cell_for_each_column() -> None:
    lines = table.markdown([row(summary(3.0), summary(1.0))]).splitlines()
    assert {line.count("|") for line in lines[:3]} == {len(table.COLUMNS) + 1}


# --------------------------------------------------------------------------------------------------------------- peers


def sample(peer: str, turn: int, per_second: float) -> peers.Sample:
    return peers.Sample(
        peer=peer,
        workload="chat",
        concurrency=1,
        round=turn,
        requests=1,
        errors={},
        per_second=per_second,
        p50_ms=1.0,
        p99_ms=None,
        first_ms=1.0,
        added_ms=0.5,
        cpu_us=10.0,
        rss_mb=1.0,
    )


def test_a_ratio_is_taken_within_a_round_before_the_median_is() -> None:
    """The second round met a machine half as fast: it tells the same."""
    samples = [
        sample("Peer", 0, 10),
        sample(peers.OURS, 0, 100),
        sample("Peer", 1, 5),
        sample(peers.OURS, 1, 50),
        sample("Peer", 2, 10),
        sample(peers.OURS, 2, 100),
    ]
    lines = {line[2]: dict(zip(peers.COLUMNS, line, strict=True)) for line in peers.lines(samples)}
    assert lines["Peer"]["ours / it"] == "10.00"
    assert lines["Peer"]["req/s"] == "10"
    assert lines["Peer"]["p99 ms"] == "–"
    assert lines[peers.OURS]["ours / it"] == "–"


def test_a_peer_that_fails_is_shown_with_what_it_answered_and_without_a_ratio() -> None:
    failing = msgspec.structs.replace(sample("Peer", 0, 0.0), p50_ms=None, errors={"status 500": 3})
    again = msgspec.structs.replace(failing, round=1, errors={"status 500": 4, "cut": 1})
    samples = [failing, sample(peers.OURS, 0, 100), again, sample(peers.OURS, 1, 100)]
    line = dict(zip(peers.COLUMNS, peers.lines(samples)[0], strict=True))
    assert (line["gateway"], line["ours / it"]) == ("Peer (7 × status 500, 1 × cut)", "–")


# ---------------------------------------------------------------------------------------------------------------- soak


def looked(seconds: float, **figures: float) -> soak.Sample:
    flat: dict[str, float] = {"rss_mb": 100.0, "fds": 50, "upstream": 20, "in_flight": 1.0, "waiting_rows": 0.0}
    return soak.Sample(seconds=seconds, **{**flat, **figures})  # pyright: ignore[reportArgumentType]


def judged(length: int, **last: float) -> dict[str, bool]:
    """A run that is flat, but for its last minute."""
    samples = [looked(at, **(last if at >= length - 60 else {})) for at in range(0, length, 2)]
    return {one.name: one.held for one in soak.verdicts(samples, length)}


def test_a_flat_run_holds() -> None:
    assert judged(1800) == {"memory, MB": True, "file descriptors": True, "upstream connections": True}


@pytest.mark.parametrize(
    ("figure", "named"),
    [
        ({"rss_mb": 111.0}, "memory, MB"),
        ({"fds": 100}, "file descriptors"),
        ({"upstream": 60}, "upstream connections"),
    ],
)
def test_what_grew_is_told_and_nothing_else(figure: dict[str, float], named: str) -> None:
    assert [name for name, held in judged(1800, **figure).items() if not held] == [named]


def test_memory_of_the_first_minutes_is_no_reference() -> None:
    """It grows while caches fill; minute 3 is what the end is compared with."""
    samples = [looked(at, rss_mb=40.0 if at < 120 else 100.0) for at in range(0, 1800, 2)]
    assert all(one.held for one in soak.verdicts(samples, 1800))


def test_a_run_without_a_reference_has_no_verdict() -> None:
    with pytest.raises(ValueError, match="too short"):
        soak.verdicts([looked(1799)], 1800)
