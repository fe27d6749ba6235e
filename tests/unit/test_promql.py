"""The tests' own reading of PromQL."""

from __future__ import annotations

import pytest

from tests.promql import filled, grouped_by, selectors, tokens, unbounded

_EXPR = (
    'sum by (provider, le) (rate(a_bucket{x=~"y|z", z!="1"}[5m] offset 1h)) / on (job) group_left (v) count(up == 1)'
    " > 0.5 and absent(foo) unless bar < 5"
)


def test_it_tells_what_an_expression_reads() -> None:
    found = list(selectors(_EXPR))
    assert [one.name for one in found] == ["a_bucket", "up", "foo", "bar"]
    assert found[0].labels == {"x", "z"}
    assert found[0].text == 'a_bucket { x =~ "y|z" , z != "1" }'
    assert found[1].labels == set()


def test_it_tells_by_what_an_expression_groups() -> None:
    assert grouped_by(_EXPR) == {"provider", "le", "job", "v"}


def test_without_its_bounds_an_expression_leaves_nothing_out() -> None:
    assert unbounded('a{b!="c"} > 1 unless absent(d == 0)') == 'a { b != "c" } > bool 1 and count ( d == bool 0 )'


def test_variables_are_filled_in() -> None:
    assert filled('rate(a{b=~"$b"}[$__rate_interval])') == 'rate(a{b=~".*"}[1m])'


def test_what_it_does_not_know_is_no_expression() -> None:
    with pytest.raises(AssertionError, match="what is"):
        tokens("a ? b")
