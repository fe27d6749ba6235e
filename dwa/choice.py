"""Judged candidates → the order to try them: share among near-equals, look at a shunned one, probe a broken one.

One uniform number decides everything that is left to chance, in a fixed order: each admission of a recovering host,
then the draw.
"""

from __future__ import annotations

from math import exp

from dwa.breaker import CLOSED
from dwa.deployment import Deployment
from dwa.explore import Explorer
from dwa.overdraft import WORTH
from dwa.params import Params
from dwa.score import Judgement
from dwa.share import draw
from dwa.strategies import Reason
from dwa.survey import Survey

BAND = 6.0
"""Temperatures within which candidates take part in the draw: beyond, a share is under 0.3 %. Doubled or halved: no
difference but time."""
PROBE_SIZE = 1.1
"""Largest request, in typical ones, that may be a probe at once. Doubled: essays are probes; halved: only
short answers."""
PROBE_PATIENCE_S = 2.0
"""s a probe waits for such a request. Doubled: back 2 s later under long requests; halved: probes
with whatever comes."""
BROKEN = 3
OVERRULED = {"at_max_concurrency": 0, "paced": 1, "quota_spent": 2, "half_open": BROKEN, "breaker_open": BROKEN}
"""Order of the last resort: our own caution is overruled first, a broken host last, a Retry-After never."""


def share(
    params: Params, explorer: Explorer, survey: Survey, judgement: Judgement, uniform: float, size: float
) -> tuple[list[int], Reason]:
    """The order under the algorithm itself, and why the first is first; `size` in typical requests."""
    losses = judgement.losses
    count = len(losses)
    if count == 1:
        return [0], "only_candidate"
    order = sorted(range(count), key=losses.__getitem__)
    free = count
    if survey.ramping:
        order, free, uniform = held_back(survey, order, uniform)
    first = order[0]
    best = losses[first]
    temperature = best * params.temperature or 1.0
    if free > 1 and losses[order[1]] - best <= BAND * temperature:
        near: list[float] = []
        for i in order[:free]:
            behind = (losses[i] - best) / temperature
            if behind > BAND:
                break
            near.append(exp(-behind))
        place, _ = draw(near, uniform)
        first = order[place]
    reason: Reason = "best_performance" if first == order[0] else "near_equal_share"
    if first == survey.warm:
        reason = "sticky_session"
    if survey.due:
        looked = explorer.pick(
            survey.now, survey.due, survey.deployments, losses, judgement.hopes(survey.deployments), best, size
        )
        if looked is not None and looked != first:
            first, reason = looked, "exploration"
    if first != order[0]:
        order.remove(first)
        order.insert(0, first)
    return order, reason


def held_back(survey: Survey, order: list[int], uniform: float) -> tuple[list[int], int, float]:
    """The order with recovering deployments moved behind the others, unless admitted.

    Also how many stand before them, and what is left of the uniform number after deciding each admission.
    """
    held: set[int] = set()
    for i, part in survey.ramping:
        shut = 1.0 - part
        if uniform < shut:
            held.add(i)
            uniform /= shut
        else:
            uniform = (uniform - shut) / part
    if len(held) == len(order):
        return order, len(order), uniform
    free = [i for i in order if i not in held]
    return free + [i for i in order if i in held], len(free), uniform


def join(
    params: Params, survey: Survey, judgement: Judgement, order: list[int], size: float, *, weighed: bool
) -> Reason | None:
    """Why one that was left out joins the survey after all and is put first in the order; None when none does.

    To look whether a broken deployment is back: the first that this request may look at, as a dear one that still waits
    keeps no other from its probe. Else, where losses are `weighed`, one that is paced and far better than the others.
    """
    best = min(judgement.losses)
    reason: Reason
    if any(_probes(params, one, survey, judgement, best, size) for one in survey.half_open):
        reason = "half_open_probe"
    elif weighed and any(why == "paced" and _overdraws(one, survey, judgement, best) for one, why, _ in survey.blocked):
        reason = "out_of_turn"
    else:
        return None
    order.insert(0, len(survey.candidates) - 1)
    return reason


def _probes(params: Params, probe: Deployment, survey: Survey, judgement: Judgement, best: float, size: float) -> bool:
    waited = survey.now - probe.breaker.reopens_at
    if size > PROBE_SIZE and waited < PROBE_PATIENCE_S:
        return False
    survey.add(probe)
    judgement.add(probe, survey.seconds[-1], survey.costs[-1])
    # Without its failures: how many of those there were while it was down is not what the probe is to tell.
    dear = judgement.worth[-1] > best * (1.0 + params.probe_dear)
    if dear and waited < params.probe_dear_wait_s:
        survey.retract()
        judgement.retract()
        return False
    probe.breaker.lease_probe(survey.now)
    return True


def _overdraws(paced: Deployment, survey: Survey, judgement: Judgement, best: float) -> bool:
    overdraft = paced.quota.out_of_turn(survey.now)
    if overdraft is None or paced.breaker.state != CLOSED or paced.in_flight >= paced.limit:
        return False
    survey.add(paced)
    judgement.add(paced, survey.seconds[-1], survey.costs[-1])
    if WORTH * judgement.losses[-1] >= best:
        survey.retract()
        judgement.retract()
        return False
    overdraft.lease(survey.now)
    return True


def overruled(survey: Survey) -> list[tuple[int, float]]:
    """Nobody is healthy: still try. All but those waiting for their Retry-After join the survey; the place of each.

    First those only we hold back, the soonest first, then the broken. Of these first whoever has the fewest unanswered
    attempts: several are asked at a time whether they are back, instead of one with everything.
    """
    places: list[tuple[int, float]] = []
    for deployment, why, until in survey.blocked:
        if why in OVERRULED:
            places.append((OVERRULED[why], deployment.in_flight if OVERRULED[why] == BROKEN else until))
            survey.add(deployment)
    return places
