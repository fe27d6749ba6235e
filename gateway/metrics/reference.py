"""Every metric, told from the registry: `docs/metrics.md`.

Run `python -m gateway.metrics.reference > docs/metrics.md` after changing a metric; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from gateway.metrics import Metrics
from gateway.metrics.registry import Described

#: What the values of several workers make together, by the mode of a gauge.
_TOGETHER = {
    None: "",
    "livesum": "sum",
    "livemin": "least",
    "livemax": "greatest",
    "livemostrecent": "last set",
}


def tables() -> str:
    """A table for each section, in the order in which the sections are first met."""
    sections: dict[str, list[Described]] = {}
    for one in Metrics().described:
        sections.setdefault(one.section, []).append(one)
    return "\n".join(f"## {section}\n\n{_table(rows)}" for section, rows in sections.items())


def _table(rows: Iterable[Described]) -> str:
    lines = ["| Metric | Type | Labels | Meaning | Workers |", "| --- | --- | --- | --- | --- |"]
    for one in rows:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {one.kind} | {labels} | {one.text} | {_TOGETHER[one.workers]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(tables())
