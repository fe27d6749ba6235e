"""What a gateway tells of itself at `/metrics`."""

from __future__ import annotations

import re

from bench.gateway import HEADERS
from bench.processes import get


def of(port: int, name: str, *, absent: float | None = None, **labels: str) -> float:
    """The sum of a metric's values whose labels are at least these.

    One that is not there is `absent`, or an error: a name that was changed must not read as zero.
    """
    status, text = get(port, "/metrics", HEADERS)
    if status != 200:
        raise RuntimeError(f"/metrics answered {status}.")
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [
        float(line.rpartition(" ")[2])
        for line in text.decode().splitlines()
        if line.startswith((name + " ", name + "{")) and all(one in line for one in wanted)
    ]
    if found:
        return sum(found)
    if absent is None or f"# TYPE {name} " not in text.decode():
        raise RuntimeError(f"/metrics has no {name} with {labels}.")
    return absent


def values_of(port: int, name: str, label: str) -> list[str]:
    """The values that a metric's label has."""
    _, text = get(port, "/metrics", HEADERS)
    found = re.findall(rf'^{name}\{{[^}}]*\b{label}="([^"]*)"', text.decode(), re.MULTILINE)
    return sorted(set(found))
