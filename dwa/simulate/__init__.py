"""The proof of the balancer: a simulator of language model hosts, scenarios, an oracle, and the rivals as published.

    traffic, hosts    what requests and hosts are, with figures fitted to public traces and measurements
    physics           the events: arrivals, attempts, failures, refusals, retries
    truth, oracle     what a request may be expected to lose where, if one could know
    scenarios, rivals what is to be withstood, and who else tries
    measure, runs     gap closed, with intervals; scenario x policy x seed
    plot, report      for people
    recorded          a gateway's own log as a world: what would have happened under another strategy

Standard library only, like `dwa`. Limits: hosts are independent of each other, slow down only by their crowd, and
have no prompt caches; nothing here says how a real provider behaves tomorrow.
"""

from dwa.simulate.physics import Row, Simulation, World
from dwa.simulate.plot import draw
from dwa.simulate.policy import Attempt, Listing, Ours, Policy, Setting
from dwa.simulate.report import best_rival, percent, verdict, write
from dwa.simulate.rivals import RIVALS
from dwa.simulate.runs import CHANCE, ORACLE, OURS, OWN, POLICIES, Numbers, Pooled, compare, compare_all, play, pool
from dwa.simulate.scenarios import FAMILIES, SCENARIOS, Scenario

__all__ = [
    "CHANCE",
    "FAMILIES",
    "ORACLE",
    "OURS",
    "OWN",
    "POLICIES",
    "RIVALS",
    "SCENARIOS",
    "Attempt",
    "Listing",
    "Numbers",
    "Ours",
    "Policy",
    "Pooled",
    "Row",
    "Scenario",
    "Setting",
    "Simulation",
    "World",
    "best_rival",
    "compare",
    "compare_all",
    "draw",
    "percent",
    "play",
    "pool",
    "verdict",
    "write",
]
