"""Several gateways in front of the same hosts, each with its own balancer and its share of the traffic.

They share no state here: the balancer of this package does not exchange any yet (mechanism 10 of the design), so these
scenarios ask what eight lonely replicas lose. The bars beside them were set for replicas that do exchange.
"""

from __future__ import annotations

from dataclasses import replace

from dwa.simulate.hosts import FIVE, Change
from dwa.simulate.scenarios.model import Scenario, Watch
from dwa.simulate.traffic import Traffic

MANY = (
    Scenario(
        "eight_replicas",
        "Eight gateways at five requests a second each, hosts with knees: do they crowd the same host?",
        hosts=tuple(replace(host, knee=60.0) for host in FIVE),
        traffic=Traffic(rate=40.0),
        seconds=120.0,
        replicas=8,
        bar=91,
    ),
    Scenario(
        "eight_replicas_outage",
        "The same, and the best host dies for forty seconds: each gateway has to find out alone.",
        hosts=tuple(replace(host, knee=60.0) for host in FIVE),
        changes=(Change(50.0, "1st", {"dead": True}), Change(90.0, "1st", {"dead": False})),
        traffic=Traffic(rate=40.0),
        seconds=140.0,
        replicas=8,
        watch=Watch("1st", 50.0, 90.0),
        bar=93,
    ),
)
