"""What the text of the metrics says, by name and labels."""

from __future__ import annotations

import re

from gateway.metrics import Metrics

_LABEL = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"')


def told(text: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of this name: the values of these labels → the sum of all that have them; without any: of all."""
    found: dict[tuple[str, ...], float] = {}
    for line in text.splitlines():
        if match := re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line):
            values = dict(_LABEL.findall(match[1] or ""))
            key = tuple(values[label] for label in labels)
            found[key] = found.get(key, 0.0) + float(match[2])
    return found


def sampled(metrics: Metrics, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The same of these metrics."""
    return told(metrics.render().decode(), name, *labels)
