"""The pictures of `docs/pictures`: what the DWA does when something happens, drawn by its simulator.

The same as `steelyard dwa simulate --scenario … --strategy … --plot …`, for a handful of scenarios at one seed; so the
same command draws the same picture, byte for byte, until the algorithm or the scenario changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dwa.simulate.plot import draw
from dwa.simulate.runs import CHANCE, ORACLE, OURS, play
from dwa.simulate.scenarios import SCENARIOS

#: The first, as in every command of the simulator that names none.
SEED = 1
#: Scenario → whose loss is shown beside ours.
PICTURES: Mapping[str, tuple[str, ...]] = {
    "outage_fast": ("litellm_latency", "peak_ewma_p2c", ORACLE, CHANCE),
    "swap": ("discounted_thompson", "peak_ewma_p2c", ORACLE, CHANCE),
    "new_provider": ("discounted_thompson", "litellm_latency", ORACLE, CHANCE),
    "capacity_knee": ("litellm_least_busy", "peak_ewma_p2c", ORACLE, CHANCE),
    "equals": ("litellm_latency", ORACLE, CHANCE),
}


def drawn(name: str) -> str:
    """One picture, as SVG."""
    world = SCENARIOS[name].world(SEED)
    runs = {policy: play(world, policy, SEED) for policy in (OURS, *PICTURES[name])}
    return draw(f"{name}, seed {SEED}", world, runs)


def draw_all(folder: Path) -> None:
    """Write all of them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        (folder / f"{name}.svg").write_text(drawn(name))
