"""Metrics: each is documented, each is fed by something, and whatever names one names one that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.metrics import Metrics
from gateway.metrics.reference import document
from gateway.metrics.registry import Children

ROOT = Path(__file__).parents[2]
METRICS = Metrics()
NAMES = {one.name for one in METRICS.described}
#: What Prometheus makes of each: samples, and families.
KNOWN = (
    NAMES
    | {name.removesuffix("_total") for name in NAMES}
    | {
        f"{one.name}_{part}"
        for one in METRICS.described
        if one.kind == "histogram"
        for part in ("bucket", "count", "sum")
    }
)
#: Dashboards, rules and settings of Prometheus, which name metrics and nothing else that looks like one.
QUERIES = [
    path
    for pattern in ("grafana/**/*.json", "prometheus*.yml", "prometheus/**/*.yml", "docs/runbooks.md")
    for path in ROOT.glob(pattern)
]
NAMED = re.compile(r"(?<![\w:./-])((?:steelyard|gen_ai)_[a-z0-9_]+)(?![\w:])")
#: Of the conventions, by which OpenTelemetry's metrics are split.
GENAI_LABELS = {label for one in METRICS.described for label in one.labels if label.startswith("gen_ai_")}


def test_the_document_is_what_the_registry_tells() -> None:
    # Run `python -m gateway.metrics.reference > docs/metrics.md` after changing a metric.
    assert (ROOT / "docs" / "metrics.md").read_text() == document()


def test_every_metric_is_documented() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    shown = set(re.findall(r"^# HELP (\S+)", METRICS.render().decode(), re.MULTILINE))
    assert told == shown == NAMES


def used(path: Path) -> Iterator[str]:
    """Attributes that are read anywhere in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr


def test_every_metric_is_fed() -> None:
    fed = {name for path in (ROOT / "gateway").rglob("*.py") for name in used(path)}
    made = {name for name, value in vars(METRICS).items() if isinstance(value, Children)}
    assert len(made) == len(NAMES)
    assert made <= fed, f"nothing feeds {sorted(made - fed)}"


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_metric_that_is_asked_for_exists(path: Path) -> None:
    for name in NAMED.findall(path.read_text()):
        assert name in KNOWN | GENAI_LABELS, f"{path.name} names {name}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('sum(rate(steelyard_requests_total{status="200"}[5m]))', ["steelyard_requests_total"]),
        ("histogram_quantile(0.9, gen_ai_client_token_usage_bucket)", ["gen_ai_client_token_usage_bucket"]),
        # What a recording rule makes, a host, a file and a folder are no metrics.
        ("steelyard:errors:rate5m steelyard_job:x http://steelyard_gateway/ ./steelyard_rules", []),
    ],
)
def test_names_are_found_in_queries(text: str, found: list[str]) -> None:
    assert NAMED.findall(text) == found
