"""What was learned as plain values, and back: age in seconds becomes doubt.

Latency goes on with the variance its age has grown, error rates as after that much silence, lengths and prices as they
were (they belong to callers and contracts, not to the weather), votes on answers, the shadow prices of SLOs and how
late answers come by their half lives. Retry-After keeps its end. A breaker that was open comes back half open: one
probe tells more than an old verdict. Sessions, pacing and in-flight counts are not kept: they are younger than any
restart.

Everything is checked on the way in: a snapshot is a file that somebody may have edited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import cast

from dwa.breaker import CLOSED
from dwa.deployment import Deployment
from dwa.explore import Traffic
from dwa.length import Lengths
from dwa.quality import Quality
from dwa.slo import Constraints

VERSION = 2


def dump(
    deployments: Mapping[str, Deployment],
    lengths: Lengths,
    quality: Quality,
    slos: Constraints,
    traffic: Traffic,
    now: float,
) -> dict[str, object]:
    """A JSON-able dict."""
    return {
        "version": VERSION,
        "lengths": lengths.snapshot(),
        "quality": quality.snapshot(now),
        "slos": slos.snapshot(),
        "reach": {"first_token": traffic.first_token.snapshot(now), "whole": traffic.whole.snapshot(now)},
        "deployments": {
            key: {
                "latency": d.latency.snapshot(now),
                "reliability": d.reliability.snapshot(now),
                "price": d.price,
                "hit": d.hit,
                "sent": d.sent,
                "idle_s": now - d.sent_at,
                "broken": d.breaker.state != CLOSED,
                "retry_after_s": max(d.quota.retry_at - now, 0.0),
            }
            for key, d in deployments.items()
        },
    }


def load(
    snapshot: Mapping[str, object],
    lengths: Lengths,
    quality: Quality,
    slos: Constraints,
    traffic: Traffic,
    meet: Callable[[str], Deployment],
    *,
    now: float,
    age: float,
) -> None:
    """Teach all these, and the deployments that `meet` gives for each key. ValueError when it is not ours."""
    if snapshot.get("version") != VERSION or age < 0.0:
        raise ValueError(f"not a snapshot of version {VERSION}, or an age below zero")
    try:
        _check(snapshot)
        lengths.restore(cast("dict[str, list[list[object]]]", snapshot["lengths"]))
        if "quality" in snapshot:  # older ones had no such section
            quality.restore(cast("dict[str, object]", snapshot["quality"]), now, age)
        if "slos" in snapshot:  # likewise
            slos.restore(cast("dict[str, list[object]]", snapshot["slos"]), age)
        if "reach" in snapshot:  # likewise
            reach = cast("dict[str, dict[str, float]]", snapshot["reach"])
            traffic.first_token.restore(reach["first_token"], now, age)
            traffic.whole.restore(reach["whole"], now, age)
        for key, row in cast("dict[str, dict[str, object]]", snapshot["deployments"]).items():
            _revive(meet(key), row, now, age)
    except (KeyError, TypeError, AttributeError) as missing:
        raise ValueError(f"snapshot of version {VERSION} is damaged at {missing}") from missing


def _revive(d: Deployment, row: dict[str, object], now: float, age: float) -> None:
    d.latency.restore(cast("dict[str, object]", row["latency"]), now, age)
    d.reliability.restore(cast("dict[str, float]", row["reliability"]), now, age)
    d.price, d.hit = cast("float", row["price"]), cast("float", row["hit"])
    d.sent = cast("int", row["sent"])
    d.sent_at = now - age - cast("float", row["idle_s"])
    left = cast("float", row["retry_after_s"]) - age
    if left > 0.0:
        d.quota.hold(now + left)
    if row["broken"]:
        d.breaker.doubt(now)
    d.publish(now)


def _check(value: object) -> None:
    """Refuse what would poison every later estimate: a number that is not finite."""
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("snapshot holds a number that is not finite")
    if isinstance(value, Mapping):
        for part in cast("Mapping[object, object]", value).values():
            _check(part)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            _check(part)
