"""Hosts change what they are: speed, price, presence; suddenly or slowly."""

from __future__ import annotations

from dwa.simulate.hosts import FIVE, QUICK, Change, drift
from dwa.simulate.scenarios.model import Scenario
from dwa.simulate.traffic import Surge, Traffic

SLOW = {"first_token_s": 3.0, "token_s": 3.0}
FAST = {"first_token_s": 0.3, "token_s": 0.3}
USUAL = {"first_token_s": 1.0, "token_s": 1.0}

MOVING = (
    Scenario(
        "step_slower",
        "The best host becomes three times slower and stays so.",
        changes=(Change(150.0, "1st", scale=SLOW),),
        bar=94,
    ),
    Scenario(
        "step_faster",
        "A host nobody used becomes three times faster: is it found out and adopted?",
        changes=(Change(150.0, "4th", scale=FAST),),
        bar=95,
    ),
    Scenario(
        "drift_slow",
        "Within five minutes the best host becomes three times slower and the third twice as fast.",
        changes=(*drift(60.0, 360.0, "1st", 3.0), *drift(60.0, 360.0, "3rd", 0.5)),
        bar=96,
    ),
    Scenario(
        "drift_fast",
        "The same within forty seconds.",
        changes=(*drift(150.0, 190.0, "1st", 3.0), *drift(150.0, 190.0, "3rd", 0.5)),
        bar=96,
    ),
    Scenario(
        "swap",
        "The best and the fourth host trade speeds.",
        changes=(Change(200.0, "1st", like="4th"), Change(200.0, "4th", like="1st")),
        bar=96,
    ),
    Scenario(
        "price_change",
        "The best host becomes three times dearer, by the list.",
        changes=(Change(200.0, "1st", scale={"price_in": 3.0, "price_out": 3.0}),),
        bar=97,
    ),
    Scenario(
        "new_provider",
        "A better host appears: how soon does it get the traffic, and how few looks does it take?",
        hosts=(*FIVE[1:], QUICK),
        changes=(
            Change(0.0, "quick", {"present": False}),
            Change(150.0, "quick", {"present": True}, {"token_s": 0.7, "price_in": 0.8, "price_out": 0.8}),
        ),
        bar=97,
    ),
    Scenario(
        "mixed_day",
        "A day in miniature: waves of traffic, a drift, an outage, a price change, a burst and a limit.",
        changes=(
            *drift(60.0, 200.0, "2nd", 1.6),
            Change(250.0, "1st", {"dead": True}),
            Change(310.0, "1st", {"dead": False}),
            Change(380.0, "3rd", scale={"price_in": 0.6, "price_out": 0.6}),
            Change(450.0, "2nd", scale={"first_token_s": 0.8, "token_s": 0.8}),
            Change(520.0, "1st", {"fails": 0.3}),
            Change(560.0, "1st", {"fails": 0.005}),
        ),
        traffic=Traffic(rate=14.0, cv=1.2, day_s=400.0, bad=0.02, surges=(Surge(420.0, 20.0, 3.0),)),
        seconds=640.0,
        bar=93,
    ),
    Scenario(
        "hidden_price",
        "Hold-out: the best host's bills triple while the price list says nothing: are bills read?",
        changes=(Change(150.0, "1st", {"hidden_price": 3.0}),),
        holdout=True,
    ),
    Scenario(
        "slower_and_back",
        "The best host is twice as slow for a minute, three times over.",
        changes=tuple(
            Change(at, "1st", scale=scale)
            for start in (80.0, 200.0, 320.0)
            for at, scale in ((start, {"first_token_s": 2.0, "token_s": 2.0}), (start + 60.0, USUAL))
        ),
    ),
)
