"""Nothing changes: the hosts are what they are, and the question is how soon and how well that is found out."""

from __future__ import annotations

from dataclasses import replace

from dwa.objective import CHEAPEST, FASTEST, RELIABLE, Objective
from dwa.simulate.hosts import CHEAP, FIVE, GRAND, PLAIN, QUICK, SOUND, Change, Host
from dwa.simulate.scenarios.model import Scenario
from dwa.simulate.traffic import Traffic

TWIN = Host("twin_a", 0.35, 1 / 70, 0.8e-6, 2e-6)
TWINS = (TWIN, replace(TWIN, name="twin_b"), replace(TWIN, name="twin_c"), replace(TWIN, name="twin_d"))
LIKE = tuple(replace(TWIN, name=f"like_{place}") for place in "abcde")
TIERED = Objective("tiered", 0.2, 0.2, 4.0, quality=3.0)

STEADY = (
    Scenario("stationary_balanced", "Five different hosts, nothing changes: is the best one found and kept?", bar=94),
    Scenario("stationary_fastest", "The same, where seconds count most.", objective=FASTEST, bar=96),
    Scenario("stationary_cheapest", "The same, where dollars count most.", objective=CHEAPEST, bar=98),
    Scenario(
        "stationary_reliable",
        "The same, where failures count most and hosts fail and cut streams at different rates.",
        hosts=(
            replace(QUICK, fails=0.04, cuts=0.010),
            replace(SOUND, fails=0.01, cuts=0.001),
            replace(GRAND, fails=0.002, cuts=0.0002),
            CHEAP,
            replace(PLAIN, cuts=0.004),
        ),
        objective=RELIABLE,
        bar=90,
    ),
    Scenario(
        "equals",
        "Four equal hosts and a bad one: do the equals get equal shares?",
        hosts=(*TWINS, replace(CHEAP, price_in=2e-6, price_out=4e-6)),
        spread=0.0,
        equals=tuple(host.name for host in TWINS),
        bar=98,
    ),
    Scenario(
        "heavy_prompts",
        "Chat, code and 12 000-token prompts mixed: is the host chosen for the size of the request?",
        hosts=tuple(replace(host, prefill_s=p) for host, p in zip(FIVE, (9e-5, 5e-5, 2e-5, 6e-5, 4e-5), strict=True)),
        traffic=Traffic(mix=(("chat", 0.5), ("code", 0.3), ("long", 0.2))),
        bar=94,
    ),
    Scenario(
        "stragglers",
        "The best looking host answers one time in ten after ten medians: is the mean judged, not the median?",
        changes=(Change(0.0, "1st", {"straggle": 0.10}), Change(0.0, "2nd", {"straggle": 0.0})),
        bar=100,
    ),
    Scenario(
        "long_tails",
        "Streams from five hosts of one model, each of which sometimes hesitates: who asks another one is ahead.",
        hosts=LIKE,
        traffic=Traffic(streamed=1.0),
        # Four times the share that was measured; a route that hedges is one where seconds count most.
        changes=(Change(0.0, "all", {"straggle": 0.05}),),
        objective=FASTEST,
    ),
    Scenario(
        "two_tiers",
        "Three good hosts and two cheap ones of lower quality: is quality weighed against price and speed?",
        hosts=(
            replace(QUICK, quality=0.95, price_in=1.9e-6, price_out=4.5e-6),
            replace(SOUND, quality=0.93, price_in=1.5e-6, price_out=3.6e-6),
            replace(GRAND, quality=0.96),
            replace(CHEAP, quality=0.70),
            replace(PLAIN, quality=0.72, price_in=0.5e-6, price_out=1.2e-6),
        ),
        objective=TIERED,
        bar=90,
    ),
    Scenario("cold_start", "The first minute after a start: how dear is finding out?", seconds=60.0, bar=97),
    Scenario(
        "low_traffic",
        "One request every ten seconds: is anything learned from so little, and is it kept through the silence?",
        traffic=Traffic(rate=0.1),
        seconds=6000.0,
        bar=86,
    ),
    Scenario(
        "bad_callers",
        "One request in eight is the caller's own mistake: is no host blamed for it?",
        traffic=Traffic(bad=0.125),
    ),
    Scenario(
        "streams",
        "Hold-out: every request streams, so that first tokens are reported.",
        traffic=Traffic(streamed=1.0),
        holdout=True,
    ),
    Scenario(
        "twelve_hosts",
        "Twelve hosts at thirty requests a second.",
        hosts=tuple(
            replace(host, name=f"{host.name}_{n}", token_s=host.token_s * f, price_out=host.price_out * g)
            for n, (f, g) in enumerate(((1.0, 1.0), (1.25, 0.85), (0.9, 1.3), (1.6, 0.8)))
            for host in (QUICK, SOUND, PLAIN)
        ),
        traffic=Traffic(rate=30.0),
        seconds=150.0,
    ),
)
