"""Boards, rows and panels as Grafana's classic dashboard model has them, which Grafana 10.4 and later load.

A panel says what it shows and in which unit; where it stands follows from the order of the panels and their widths.
Whatever is the same in all panels is said here once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "state-timeline"]
#: Grafana 12's; earlier ones ignore what they do not know, later ones migrate.
SCHEMA_VERSION = 41
#: Columns that every Grafana has.
COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: What shows the state of now rather than its course.
_NOW = frozenset({"stat", "gauge", "bargauge", "table"})
_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and how its series are called: by the labels they are grouped by, unless it is said."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `text` says what it shows and what is bad; `steps` are (from this value, this colour)."""

    title: str
    text: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    steps: Sequence[tuple[float, str]] = ()
    #: Value → (its name, its colour), of states.
    named: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    lowest: float | None = 0.0
    highest: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard. `choices` are labels by which it can be narrowed: label → a metric that has it."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    choices: Mapping[str, str] = field(default_factory=dict[str, str])

    def drawn(self) -> Json:
        """The model."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.text,
            "tags": ["steelyard"],
            "timezone": "",
            "editable": True,
            "graphTooltip": 1,  # a shared crosshair
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "time": {"from": "now-3h", "to": "now"},
            "refresh": "30s",
            "links": [_LINKS],
            "templating": {"list": [_DATASOURCE, *(_choice(label, of) for label, of in self.choices.items())]},
            "annotations": {"list": [_ALERTS]},
            "panels": _placed(self.rows),
        }


#: To the other boards, with the same time.
_LINKS: Json = {
    "title": "Steelyard",
    "type": "dashboards",
    "tags": ["steelyard"],
    "asDropdown": True,
    "keepTime": True,
    "includeVars": False,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}
_DATASOURCE: Json = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
_ALERTS: Json = {
    "name": "Alerts",
    "datasource": _SOURCE,
    "enable": True,
    "iconColor": "red",
    "expr": 'ALERTS{alertname=~"Steelyard.*", alertstate="firing"}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}}",
}


def _choice(label: str, metric: str) -> Json:
    query = f"label_values({metric}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "A"},
        "definition": query,
        "refresh": 2,  # whenever the time changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(rows: Sequence[Row]) -> list[Json]:
    """Panels from left to right, and below where the next has no room."""
    panels: list[Json] = []
    top = 0
    for row in rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            }
        )
        top += 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            panels.append({"id": len(panels) + 1, **_drawn(panel), "gridPos": place})
            left += panel.width
            tallest = max(tallest, panel.height)
        top += tallest
    return panels


def _drawn(panel: Panel) -> Json:
    drawn: Json = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
        "targets": [_target(panel, query, "ABCDEFGH"[at]) for at, query in enumerate(panel.queries)],
    }
    if panel.kind == "table":
        drawn["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": _columns(panel)}},
        ]
    return drawn


def _columns(panel: Panel) -> dict[str, str]:
    """What a table's columns are called: the legends of its queries."""
    if len(panel.queries) == 1:
        return {"Value": panel.queries[0].legend}
    return {f"Value #{'ABCDEFGH'[at]}": query.legend for at, query in enumerate(panel.queries)}


def _target(panel: Panel, query: Query, name: str) -> Json:
    instant = panel.kind in _NOW
    shape = {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series")
    return {
        "refId": name,
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or _grouped(query.expr) or "__auto",
        "format": shape,
        "instant": instant,
        "range": not instant,
    }


def _grouped(expr: str) -> str:
    """The labels by which its series differ; `le` is gone where a histogram has become one line."""
    found = re.search(r"by \(([^)]*)\)", expr)
    return " ".join(f"{{{{{label}}}}}" for label in found[1].split(", ") if label != "le") if found else ""


def _defaults(panel: Panel) -> Json:
    # Without a first step of ours Grafana has its own: red from 80 on, whatever it is.
    steps = [{"value": None, "color": "green"}, *({"value": at, "color": colour} for at, colour in panel.steps)]
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.lowest is not None:
        defaults["min"] = panel.lowest
    if panel.highest is not None:
        defaults["max"] = panel.highest
    if panel.steps:
        defaults["color"] = {"mode": "thresholds" if panel.kind != "timeseries" else "palette-classic"}
    if panel.named:
        named = {value: {"text": text, "color": colour} for value, (text, colour) in panel.named.items()}
        defaults["mappings"] = [{"type": "value", "options": named}]
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return defaults


def _options(kind: Kind) -> Json:
    if kind == "timeseries":
        legend = {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "lastNotNull"], "showLegend": True}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        return {"reduceOptions": _LAST, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
    if kind == "gauge":
        return {"reduceOptions": _LAST, "showThresholdMarkers": True}
    if kind == "bargauge":
        return {"reduceOptions": _LAST, "orientation": "horizontal", "displayMode": "basic"}
    if kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme", "scheme": "Blues"}}
    if kind == "state-timeline":
        return {"mergeValues": True, "showValue": "never", "legend": {"displayMode": "list", "placement": "bottom"}}
    return {"showHeader": True, "cellHeight": "sm"}
