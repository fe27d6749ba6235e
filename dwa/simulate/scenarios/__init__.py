"""Every scenario, by name. No parameter was chosen with those marked `holdout`."""

from __future__ import annotations

from collections.abc import Mapping

from dwa.simulate.scenarios.broken import BROKEN
from dwa.simulate.scenarios.drawn import DRAWN
from dwa.simulate.scenarios.limits import LIMITS
from dwa.simulate.scenarios.many import MANY
from dwa.simulate.scenarios.model import Scenario, Watch, roles
from dwa.simulate.scenarios.moving import MOVING
from dwa.simulate.scenarios.steady import STEADY

FAMILIES: Mapping[str, tuple[Scenario, ...]] = {
    "steady": STEADY,
    "broken": BROKEN,
    "moving": MOVING,
    "limits": LIMITS,
    "many": MANY,
    "drawn": DRAWN,
}
SCENARIOS: Mapping[str, Scenario] = {one.name: one for family in FAMILIES.values() for one in family}

__all__ = ["FAMILIES", "SCENARIOS", "Scenario", "Watch", "roles"]
