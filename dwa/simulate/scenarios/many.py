"""Several gateways in front of the same hosts, each with its own balancer and its share of the traffic.

They share what they know once a second (mechanism 10 of the design), as rivals of one process cannot; in the last two
scenarios they hear of it late, or not at all.
"""

from __future__ import annotations

from dataclasses import replace

from dwa.simulate.hosts import FIVE, Change
from dwa.simulate.scenarios.model import Scenario, Watch
from dwa.simulate.traffic import Traffic

_HOSTS = tuple(replace(host, knee=60.0) for host in FIVE)
_OUTAGE = Scenario(
    "eight_replicas_outage",
    "The same, and the best host dies for forty seconds: do all leave once one has noticed?",
    hosts=_HOSTS,
    changes=(Change(50.0, "1st", {"dead": True}), Change(90.0, "1st", {"dead": False})),
    traffic=Traffic(rate=40.0),
    seconds=140.0,
    replicas=8,
    late_s=0.0,
    watch=Watch("1st", 50.0, 90.0),
    bar=93,
)
MANY = (
    Scenario(
        "eight_replicas",
        "Eight gateways at five requests a second each, hosts with knees: do they crowd the same host?",
        hosts=_HOSTS,
        traffic=Traffic(rate=40.0),
        seconds=120.0,
        replicas=8,
        late_s=0.0,
        bar=91,
    ),
    _OUTAGE,
    replace(
        _OUTAGE,
        name="eight_replicas_late",
        asks="The same outage, and all news of other gateways is five seconds old.",
        late_s=5.0,
        bar=None,
    ),
    replace(
        _OUTAGE,
        name="eight_alone",
        asks="The same outage without any exchange: each gateway has to find out by itself.",
        late_s=None,
        bar=None,
    ),
)
