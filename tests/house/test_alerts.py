"""Every alert says how much it matters, what it is and what to do; and is tried in prometheus/tests."""

from __future__ import annotations

import re

import pytest
import yaml

from gateway.metrics import Metrics
from tests.acceptance.operated import ROOT, RUNBOOKS, alerts

ALERTS = alerts()
_TESTS = sorted((ROOT / "prometheus" / "tests").glob("*.yml"))
#: What a runbook tells of an alert, in this order.
_PARTS = ("**What it means.**", "**Confirm.**", "**Do.**", "**Wake.**")
every_alert = pytest.mark.parametrize("name", sorted(ALERTS))


def _sections() -> dict[str, str]:
    """Anchor → the text below its heading, as renderers of Markdown make anchors of headings."""
    text = RUNBOOKS.read_text()
    parts = re.split(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    return {_anchor(parts[at]): parts[at + 1] for at in range(1, len(parts), 2)}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _tried() -> list[tuple[str, bool]]:
    """Every question of the tests for firing alerts, and whether one is expected."""
    found: list[tuple[str, bool]] = []
    for path in _TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            found += [(one["expr"], bool(one["exp_samples"])) for one in test["promql_expr_test"]]
    return found


def _names(expr: str, name: str) -> bool:
    """Whether a question is about this alert."""
    match = re.search(r'alertname(=~|=)"([^"]+)"', expr)
    return match is not None and re.fullmatch(match[2], name) is not None


@every_alert
def test_an_alert_says_how_much_it_matters_and_where_to_read_on(name: str) -> None:
    one = ALERTS[name]
    assert name.startswith("Steelyard")
    assert one["labels"]["severity"] in {"page", "ticket"}
    told = one["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert not told["summary"].endswith("."), "a headline"
    assert told["description"].endswith("."), "sentences"
    path, _, anchor = told["runbook_url"].partition("#")
    assert (ROOT / path, anchor) == (RUNBOOKS, name.lower())


@every_alert
def test_an_alert_has_a_runbook(name: str) -> None:
    text = _sections()[name.lower()]
    places = [text.find(part) for part in _PARTS]
    assert -1 not in places, f"it lacks {_PARTS[places.index(-1)]}"
    assert places == sorted(places)
    assert f"Severity: {ALERTS[name]['labels']['severity']}." in text


def test_no_runbook_is_of_an_alert_that_there_is_not() -> None:
    anchors = {anchor for anchor in _sections() if anchor.startswith("steelyard")}
    assert anchors == {name.lower() for name in ALERTS}


@every_alert
def test_an_alert_is_tried_when_it_must_fire_and_when_it_must_not(name: str) -> None:
    """`promtool test rules` runs them: see tests/unit/test_promtool.py."""
    firing = f'alertname="{name}", alertstate="firing"'
    expected = [
        sample["labels"]
        for path in _TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for one in test["promql_expr_test"]
        for sample in one["exp_samples"]
    ]
    assert any(firing in labels for labels in expected), "nothing tries that it fires"
    assert any(_names(expr, name) and not fires for expr, fires in _tried()), "nothing tries that it is silent"


def test_pages_are_few() -> None:
    """Who wakes somebody is decided here, and not by the way."""
    assert {name for name, one in ALERTS.items() if one["labels"]["severity"] == "page"} == {
        "SteelyardDown",
        "SteelyardErrorBudgetBurnsFast",
        "SteelyardNoHealthyProvider",
        "SteelyardOverspend",
        "SteelyardLogRowsDropped",
        "SteelyardDatabaseAway",
        "SteelyardWorkflowsStuck",
    }


def test_a_first_event_is_seen_to_be_one_more() -> None:
    """Prometheus sees no increase in a series that is born with its first event, so such a one begins at 0."""
    text = Metrics().render().decode()
    watched = {name: re.search(r"increase\((\w+\{[^}]*\})\[\w+\]\)\) > 0", one["expr"]) for name, one in ALERTS.items()}
    missing = {name for name, found in watched.items() if found is not None and f"{found[1]} 0.0" not in text}
    assert len([one for one in watched.values() if one]) > 2
    # Its names are the configuration's; while its model is away, the first event is followed by others.
    assert missing == {"SteelyardGuardrailUnavailable"}
