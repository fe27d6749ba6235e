"""Boards are what their source writes, and show what there is: every metric and label that they name exists."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.metrics import Metrics
from grafana.boards.__main__ import FOLDER, written
from grafana.boards.drawing import COLUMNS
from tests.acceptance.operated import (
    BOARDS,
    ROOT,
    RULES,
    Expression,
    Json,
    alerts,
    board,
    choices,
    confirmed,
    panels,
    queries,
    recorded,
)
from tests.promql import filled, grouped_by, selectors

#: What Prometheus itself tells of whoever it looks at, of its rules, and of alerts.
_PROMETHEUS = {
    "up": {"job", "instance"},
    "scrape_duration_seconds": {"job", "instance"},
    "prometheus_rule_evaluation_failures_total": {"job", "instance", "rule_group"},
    "ALERTS": {"alertname", "alertstate", "severity"},
}
_TARGET = {"job", "instance"}


def _told() -> dict[str, set[str]]:
    """Every series that the gateway may tell → its labels."""
    found: dict[str, set[str]] = {}
    for one in Metrics().described:
        labels = {*one.labels, *_TARGET}
        if one.kind == "histogram":
            found |= {f"{one.name}_sum": labels, f"{one.name}_count": labels, f"{one.name}_bucket": {*labels, "le"}}
        else:
            found[one.name] = labels
    return found


def _all() -> list[Expression]:
    rules = [Expression(name, one["expr"]) for name, one in alerts().items()]
    asked = [Expression(f"choice of {one['name']}", f"{_metric_of(one)}{{{one['name']}!=''}}") for one in choices()]
    return [*queries(), *recorded().values(), *rules, *asked, *confirmed()]


def _metric_of(choice: Json) -> str:
    return choice["query"]["query"].removeprefix("label_values(").partition(",")[0]


EXPRESSIONS = _all()
TOLD = _told()
RECORDED = recorded()


def _labels_of(name: str) -> set[str]:
    """Of a series: those of what it was recorded from are those by which that is grouped."""
    if name in RECORDED:
        return grouped_by(RECORDED[name].expr)
    return TOLD.get(name) or _PROMETHEUS.get(name) or set()


def test_there_are_boards_and_rules() -> None:
    """The tests below are over lists, which must not be empty."""
    assert len(BOARDS) == 6
    assert len(RULES) == 2
    assert len(list(queries())) > 80
    assert len(alerts()) > 20


def test_boards_are_as_their_source_writes_them() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*")} == written(), "run: make dashboards"


@pytest.mark.parametrize("one", EXPRESSIONS, ids=[one.where for one in EXPRESSIONS])
def test_every_metric_and_label_exists(one: Expression) -> None:
    found = list(selectors(filled(one.expr)))
    assert found, "it reads nothing"
    known: set[str] = set()
    for selector in found:
        assert selector.name in {*TOLD, *_PROMETHEUS, *RECORDED}, f"there is no {selector.name}"
        labels = _labels_of(selector.name)
        assert selector.labels <= labels, f"{selector.name} has no {selector.labels - labels}"
        known |= labels
    assert grouped_by(one.expr) <= known, f"nothing here has {grouped_by(one.expr) - known}"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows_from_where_and_in_which_unit(path: Path) -> None:
    drawn = board(path)
    assert drawn["schemaVersion"] >= 39
    variables = {one["name"] for one in drawn["templating"]["list"]}
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None, "or Grafana paints 80 red"
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["instant"] != target["range"]
            used = {name for name in ("surface", "provider", "model", "instance") if f"${name}" in target["expr"]}
            assert used <= variables, f"{panel['title']}: {used - variables} cannot be chosen here"
    chosen = {name for name in variables - {"datasource"} if f"${name}" in path.read_text().replace("${", "{")}
    assert chosen == variables - {"datasource"}, "a choice that changes nothing"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_choice_narrows_whatever_has_its_label(path: Path) -> None:
    """Else two panels side by side are of different things, and nothing says so."""
    chosen = {one["name"] for one in board(path)["templating"]["list"]} - {"datasource"}
    for panel in panels(path):
        for target in panel["targets"]:
            for one in selectors(filled(target["expr"])):
                assert not (chosen & _labels_of(one.name)) - one.labels, f"{panel['title']}: {one.text}"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_stand_side_by_side(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(path)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & taken, panel["title"]
        taken |= own


def test_names_are_nobody_elses() -> None:
    drawn = [board(path) for path in BOARDS]
    assert len({one["uid"] for one in drawn}) == len({one["title"] for one in drawn}) == len(drawn)
    for one in drawn:
        assert len(one["uid"]) <= 40, "Grafana takes no longer ones"
        ids = [panel["id"] for panel in one["panels"]]
        assert len(set(ids)) == len(ids)


def test_grafana_finds_the_boards_and_prometheus() -> None:
    provisioning = ROOT / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "steelyard.yml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    scraped = yaml.safe_load((ROOT / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped, "$__rate_interval is made of it"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "steelyard.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
