"""Hosts fail: at once, slowly, partly, again and again, or all together."""

from __future__ import annotations

from dataclasses import replace

from dwa.simulate.hosts import FIVE, Change
from dwa.simulate.scenarios.model import Scenario, Watch
from dwa.simulate.traffic import Traffic

BROWN: dict[str, float | bool] = {"fails": 0.4}


def _flaps(who: str, first: float, last: float, up: float, down: float) -> tuple[Change, ...]:
    found: list[Change] = []
    at = first
    while at < last:
        found += [Change(at, who, {"dead": True}), Change(at + down, who, {"dead": False})]
        at += up + down
    return tuple(found)


BROKEN = (
    Scenario(
        "outage_fast",
        "The best host refuses every connection for two minutes: how soon is it left, and used again?",
        changes=(Change(120.0, "1st", {"dead": True}), Change(240.0, "1st", {"dead": False})),
        traffic=Traffic(rate=20.0),
        watch=Watch("1st", 120.0, 240.0),
        bar=96,
    ),
    Scenario(
        "outage_hanging",
        "The best host accepts requests and never answers for two minutes: is silence noticed before the timeout?",
        changes=(Change(120.0, "1st", {"hangs": 1.0}), Change(240.0, "1st", {"hangs": 0.0})),
        traffic=Traffic(rate=20.0),
        watch=Watch("1st", 120.0, 240.0),
        bar=96,
    ),
    Scenario(
        "brown_out",
        "The best host fails two in five and answers at half its speed for two and a half minutes.",
        changes=(
            Change(120.0, "1st", BROWN, {"first_token_s": 2.0, "token_s": 2.0}),
            Change(270.0, "1st", scale={"fails": 1.0, "first_token_s": 1.0, "token_s": 1.0}),
        ),
        watch=Watch("1st", 120.0, 270.0),
        bar=92,
    ),
    Scenario(
        "flapping",
        "The best host is down for twenty seconds of every fifty: is it used while up and left while down?",
        changes=_flaps("1st", 60.0, 340.0, 30.0, 20.0),
        bar=91,
    ),
    Scenario(
        "partial_outage",
        "The best host fails one request in three for two and a half minutes, at full speed otherwise.",
        changes=(Change(120.0, "1st", {"fails": 0.33}), Change(270.0, "1st", scale={"fails": 1.0})),
        watch=Watch("1st", 120.0, 270.0),
        bar=92,
    ),
    Scenario(
        "partial_hang",
        "The best host loses one request in five for two and a half minutes and answers the others: is that noticed?",
        changes=(Change(120.0, "1st", {"hangs": 0.2}), Change(270.0, "1st", {"hangs": 0.0})),
        traffic=Traffic(streamed=0.5),
    ),
    Scenario(
        "all_bad",
        "Every host fails a quarter to a half of its requests for two minutes: is the least bad one found?",
        changes=(
            Change(120.0, "1st", {"fails": 0.5}),
            Change(120.0, "2nd", {"fails": 0.3}),
            Change(120.0, "3rd", {"fails": 0.45}),
            Change(120.0, "4th", {"fails": 0.25}),
            Change(120.0, "last", {"fails": 0.4}),
            Change(240.0, "all", scale={"fails": 1.0}),
        ),
        bar=88,
    ),
    Scenario(
        "everything_down",
        "Every host is dead for twenty seconds, then all come back: is service back at once?",
        changes=(Change(120.0, "all", {"dead": True}), Change(140.0, "all", {"dead": False})),
        seconds=300.0,
        watch=Watch("1st", 120.0, 140.0),
    ),
    Scenario(
        "all_silent",
        "Every host hangs for twenty seconds, as behind a network that is gone: is it taken for what it is?",
        changes=(Change(120.0, "all", {"hangs": 1.0}), Change(140.0, "all", {"hangs": 0.0})),
        seconds=300.0,
        watch=Watch("1st", 120.0, 140.0),
    ),
    Scenario(
        "all_slow",
        "Every host is four to ten times as slow for some seconds: is the best one kept, which is still the best?",
        changes=tuple(
            change
            for at, seconds, factor in ((100.0, 15.0, 6.0), (180.0, 8.0, 10.0), (260.0, 30.0, 4.0))
            for change in (
                Change(at, "all", scale={"first_token_s": factor, "token_s": factor}),
                Change(at + seconds, "all", scale={"first_token_s": 1.0, "token_s": 1.0}),
            )
        ),
    ),
    Scenario(
        "two_down",
        "The best host dies, the second best hangs a little later, both come back.",
        changes=(
            Change(100.0, "1st", {"dead": True}),
            Change(130.0, "2nd", {"hangs": 1.0}),
            Change(220.0, "2nd", {"hangs": 0.0}),
            Change(250.0, "1st", {"dead": False}),
        ),
        watch=Watch("1st", 100.0, 250.0),
    ),
    Scenario(
        "most_down",
        "Three of five hosts die for two minutes: are the two that live asked first, whatever failing has become?",
        changes=(
            *(Change(100.0, who, {"dead": True}) for who in ("1st", "2nd", "3rd")),
            *(Change(220.0, who, {"dead": False}) for who in ("1st", "2nd", "3rd")),
        ),
        watch=Watch("1st", 100.0, 220.0),
    ),
    Scenario(
        "cut_streams",
        "The best host starts to break one answer in twelve half-way, which no retry can hide.",
        hosts=tuple(replace(host, cuts=0.0005) for host in FIVE),
        changes=(Change(120.0, "1st", {"cuts": 0.08}), Change(270.0, "1st", {"cuts": 0.0005})),
    ),
)
