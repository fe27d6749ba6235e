"""What operators look at, as it lies in the repository: every expression of the boards, rules and alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
BOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks.md"
Json = dict[str, Any]


class Expression(NamedTuple):
    """PromQL, and where it stands."""

    where: str
    expr: str


def board(path: Path) -> Json:
    return json.loads(path.read_text())


def panels(path: Path) -> Iterator[Json]:
    """Those of a board that show something."""
    return (one for one in board(path)["panels"] if one["type"] != "row")


def queries() -> Iterator[Expression]:
    """Of every panel of every board."""
    for path in BOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                yield Expression(f"{path.stem}: {panel['title']} {target['refId']}", target["expr"])


def choices() -> Iterator[Json]:
    """The variables by which one narrows a board."""
    for path in BOARDS:
        yield from (one for one in board(path)["templating"]["list"] if one["type"] == "query")


def rules() -> Iterator[Json]:
    """All of them, as Prometheus reads them."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def confirmed() -> Iterator[Expression]:
    """What runbooks have one ask Prometheus."""
    sections = re.split(r"^### ", RUNBOOKS.read_text(), flags=re.MULTILINE)
    for section in sections:
        for asked in re.findall(r"^```promql\n(.+?)^```", section, flags=re.MULTILINE | re.DOTALL):
            yield Expression(f"runbook {section.splitlines()[0]}", asked.strip())


def recorded() -> dict[str, Expression]:
    """The series that rules record."""
    return {one["record"]: Expression(one["record"], one["expr"]) for one in rules() if "record" in one}


def alerts() -> dict[str, Json]:
    return {one["alert"]: one for one in rules() if "alert" in one}
