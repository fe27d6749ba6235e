"""What-if: the requests of a log, replayed under another strategy or objective in a world fitted to that same log.

    log        what is read of a recorded request, which ones can be replayed, and the facts in figures
    segments   when something changed: outages and slow hours, by scan statistics
    fit        how fast, how dear and how reliable each deployment was, from its own attempts
    world      that as a world of `dwa.simulate.physics`: hosts, what changes when, requests with their candidates
    replay     the policy, the runs over several seeds, and what their figures may not be taken for

A counterfactual cannot be measured: whatever was not sent there is modelled. So every answer holds three sets of
figures: the facts, the recorded policy in the model (how far is the model from the facts?), and the asked one in the
same model; and it says in sentences what the model leaves out.
"""

from dwa.simulate.recorded.log import Facts, Fate, Figures, Recorded, Tried, facts_of, taught
from dwa.simulate.recorded.replay import MEASURES, Asked, Estimate, Outcome, Run, Spread, replay

__all__ = [
    "MEASURES",
    "Asked",
    "Estimate",
    "Facts",
    "Fate",
    "Figures",
    "Outcome",
    "Recorded",
    "Run",
    "Spread",
    "Tried",
    "facts_of",
    "replay",
    "taught",
]
