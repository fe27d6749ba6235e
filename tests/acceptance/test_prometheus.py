"""A real Prometheus with our rules looks at a gateway under load: every panel, rule and alert has something to say."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.bad_days import PATIENCE
from tests.acceptance.busy import METRICS_KEY, Busy, a_busy_gateway
from tests.acceptance.operated import Expression, alerts, choices, confirmed, queries, recorded
from tests.acceptance.prometheus_server import WITHOUT, Prometheus, a_prometheus, found
from tests.promql import filled, selectors, unbounded
from tests.stores.cache.cache_world import Server

pytestmark = pytest.mark.skipif(found("prometheus") is None, reason=WITHOUT)
#: Prometheus's own series of alerts, of which there are none while all is well.
_OF_ALERTS = "ALERTS"


class Looking:
    """Prometheus, and the gateway it looks at."""

    def __init__(self, prometheus: Prometheus, busy: Busy) -> None:
        self._prometheus = prometheus
        self._busy = busy

    def until_all_say(self, asked: Iterable[Expression], good: Callable[[list[float]], object] = bool) -> None:
        """Ask until each has said something good; fail with those that never did."""
        left = {one: "nothing" for one in asked}
        give_up = time.monotonic() + PATIENCE
        while left:
            assert self._busy.failure is None, self._busy.failure
            left = {one: said for one in left if (said := self._said(one, good)) is not None}
            assert not left or time.monotonic() < give_up, "\n".join(
                f"{one.where}: {one.expr} says {said}" for one, said in left.items()
            )
            time.sleep(0.2 if left else 0)

    def _said(self, one: Expression, good: Callable[[list[float]], object]) -> str | None:
        """None if it is good."""
        try:
            values = self._prometheus.values(one.expr)
        except LookupError as exc:
            return str(exc)
        return None if good(values) else str(values[:5])

    def metrics(self) -> Collection[str]:
        return self._prometheus.get("label/__name__/values")

    def labels(self, name: str) -> Collection[str]:
        return self._prometheus.get(f"label/{name}/values")

    def unhealthy_rules(self) -> list[str]:
        """Rules that Prometheus cannot compute, and those it has not tried."""
        groups = self._prometheus.get("rules")["groups"]
        return [
            f"{one['name']}: {one.get('lastError')}"
            for group in groups
            for one in group["rules"]
            if one["health"] != "ok"
        ]

    def rule_names(self) -> set[str]:
        return {one["name"] for group in self._prometheus.get("rules")["groups"] for one in group["rules"]}

    def targets(self) -> dict[str, tuple[str, str]]:
        return dict(self._prometheus.targets())


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory, redis_binary: Path) -> Generator[Looking]:
    folder = tmp_path_factory.mktemp("looking")
    redis = Server(
        redis_binary, Path(tempfile.mkdtemp(prefix="steelyard-redis-"))
    )  # short: a socket's path has 107 bytes
    try:
        redis.start()
        with (
            a_busy_gateway(folder / "gateway", redis.url()) as busy,
            a_prometheus(folder, busy.program.port, METRICS_KEY) as prometheus,
        ):
            yield Looking(prometheus, busy)
    finally:
        redis.kill()
        shutil.rmtree(redis.socket.parent, ignore_errors=True)


def _finite(values: list[float]) -> bool:
    return any(math.isfinite(value) for value in values)


def _series(asked: Iterable[Expression]) -> Iterator[Expression]:
    """Whatever these read, each by itself: `or` and `absent` hide what does not exist."""
    for one in asked:
        for selector in selectors(filled(one.expr)):
            if selector.name != _OF_ALERTS:
                yield Expression(f"{one.where}, of which", selector.text)


def test_prometheus_scrapes_with_the_credentials_of_our_configuration(looking: Looking) -> None:
    looking.until_all_say(
        [Expression("the gateway", 'up{job="steelyard"} == 1'), Expression("itself", 'up{job="prometheus"} == 1')]
    )
    assert looking.targets() == {"steelyard": ("up", ""), "prometheus": ("up", "")}


def test_every_panel_has_something_to_show(looking: Looking) -> None:
    asked = [Expression(one.where, filled(one.expr)) for one in queries()]
    assert asked
    looking.until_all_say(asked, _finite)
    looking.until_all_say(_series(asked))


def test_every_choice_of_a_board_has_something_to_choose(looking: Looking) -> None:
    for one in choices():
        metric = one["query"]["query"].removeprefix("label_values(").split(",")[0]
        looking.until_all_say([Expression(one["name"], f'{metric}{{{one["name"]}!=""}}')])
        assert looking.labels(one["name"]), one


def test_every_rule_records_something(looking: Looking) -> None:
    rules = recorded()
    looking.until_all_say([Expression(name, name) for name in rules], _finite)
    looking.until_all_say(_series(rules.values()))


def test_every_alert_asks_for_what_there_is(looking: Looking) -> None:
    """Without its bounds, that is: whether they are the right ones is what `promtool test rules` tries."""
    asked = [Expression(name, one["expr"]) for name, one in alerts().items()]
    looking.until_all_say([Expression(one.where, unbounded(one.expr)) for one in asked])
    looking.until_all_say(_series(asked))


def test_what_runbooks_ask_is_answered(looking: Looking) -> None:
    asked = [Expression(one.where, unbounded(one.expr)) for one in confirmed()]
    assert asked
    looking.until_all_say(asked)
    looking.until_all_say(_series(asked))


def test_prometheus_computes_every_rule(looking: Looking) -> None:
    assert looking.rule_names() == {*recorded(), *alerts()}
    looking.until_all_say([Expression("rules", "prometheus_rule_group_iterations_total > 1")])
    assert not looking.unhealthy_rules()


def test_a_metric_that_does_not_exist_is_found_out(looking: Looking) -> None:
    """The tests above can fail: an expression that bounds, `or`s and `absent`s what there is not says nothing."""
    wrong = Expression("wrong", 'absent(steelyard_nothing_total == 1) or sum(up{job="steelyard"}) > 5')
    looking.until_all_say([Expression("hidden by `or`", unbounded(wrong.expr))])
    (nothing, _) = _series([wrong])
    assert looking._said(nothing, bool) == "[]"
