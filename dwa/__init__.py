"""The Dynamic Weight Algorithm: which deployment should answer this request, by expected loss.

    balancer = Balancer(clock=time.monotonic, rng=random.Random())
    ranking = balancer.rank(candidates, Shape(input_tokens=900))
    for candidate in ranking.candidates:
        with balancer.begin(candidate, shape) as ticket:
            ...                                    # send it
            ticket.success(input_tokens=912, output_tokens=140, cost=0.0004)

Standard library only; it knows no provider, no HTTP and no clock of its own.
"""

from dwa.native import prefer_compiled

prefer_compiled(__path__)  # first of all: from here on it is settled which modules are loaded

from dwa.balancer import Balancer
from dwa.candidate import Candidate, Shape
from dwa.decision import Decision
from dwa.folding import unfolded
from dwa.objective import BALANCED, CHEAPEST, FASTEST, PRESETS, RELIABLE, Objective, Slo, cheapest_under
from dwa.params import Params
from dwa.ranking import Ranking
from dwa.sentence import sentence
from dwa.stats import DeploymentStats, Durations, SloStats
from dwa.strategies import STRATEGIES, Reason
from dwa.ticket import AlreadySettledError, Ticket

__all__ = [
    "BALANCED",
    "CHEAPEST",
    "FASTEST",
    "PRESETS",
    "RELIABLE",
    "STRATEGIES",
    "AlreadySettledError",
    "Balancer",
    "Candidate",
    "Decision",
    "DeploymentStats",
    "Durations",
    "Objective",
    "Params",
    "Ranking",
    "Reason",
    "Shape",
    "Slo",
    "SloStats",
    "Ticket",
    "cheapest_under",
    "sentence",
    "unfolded",
]
