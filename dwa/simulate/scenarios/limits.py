"""Too much traffic: rate limits, knees, bursts."""

from __future__ import annotations

from dataclasses import replace

from dwa.simulate.hosts import CHEAP, FIVE, GRAND, PLAIN, QUICK, SOUND, Change, Headers, Host
from dwa.simulate.scenarios.model import Scenario
from dwa.simulate.traffic import Surge, Traffic


def _limited(headers: Headers) -> tuple[Host, ...]:
    bargain = replace(QUICK, name="bargain", price_in=0.3e-6, price_out=0.7e-6, limit=3.0, headers=headers)
    return (bargain, *FIVE[1:])


def _stormy(headers: Headers) -> tuple[Host, ...]:
    limits = (3.0, 3.0, 2.0, 4.0, 3.0)
    return tuple(replace(host, limit=limit, headers=headers) for host, limit in zip(FIVE, limits, strict=True))


LIMITS = (
    Scenario(
        "limited_headers",
        "The cheapest and fastest host admits 3 of 10 requests a second and says so in its headers.",
        hosts=_limited("remaining"),
        bar=92,
    ),
    Scenario(
        "limited_retry_after",
        "The same, where only refusals carry a Retry-After.",
        hosts=_limited("retry_after"),
        bar=92,
    ),
    Scenario("limited_blind", "The same without any header.", hosts=_limited("none"), bar=91),
    Scenario(
        "storm_429",
        "Every host is limited and all together admit little more than what comes.",
        hosts=_stormy("retry_after"),
        traffic=Traffic(rate=12.0),
        bar=82,
    ),
    Scenario(
        "capacity_knee",
        "The best two hosts slow down beyond ten and fourteen requests in flight: is the load spread before that?",
        hosts=(replace(QUICK, knee=10.0), replace(SOUND, knee=14.0), GRAND, CHEAP, PLAIN),
        traffic=Traffic(rate=14.0),
        bar=90,
    ),
    Scenario(
        "bursts",
        "Traffic of six a second jumps fivefold for fifteen seconds, again and again, over knees.",
        hosts=tuple(replace(host, knee=16.0) for host in FIVE),
        traffic=Traffic(rate=6.0, cv=1.5, surges=tuple(Surge(at, 15.0, 5.0) for at in (60.0, 140.0, 220.0, 300.0))),
        bar=90,
    ),
    Scenario(
        "limit_appears",
        "Hold-out: the best host, unlimited so far, admits two a second from the middle of the run, without a header.",
        changes=(Change(200.0, "1st", {"limit": 2.0}),),
        holdout=True,
    ),
)
