"""Sixty executions of ten prompts over three workers, of which ten are killed: each node succeeds once.

What is asked twice is proved from the provider's own record, and from the order of events: nothing here rests on a
clock. The moments of the kills follow from the seed and from how much has been asked.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.acceptance.flows import Call, Json, Oracle, a_postgres, an_oracle
from tests.acceptance.workflow_fleet import Fleet, Worker, a_fleet, has_paid_once

SEED = 6
EXECUTIONS, KILLS, WORKERS = 60, 10, 3
#: Which nodes each of the ten waits for: up to four at a time, in five ranks.
WAITS_FOR = {
    "n0": (),
    "n1": ("n0",),
    "n2": ("n0",),
    "n3": ("n0",),
    "n4": ("n1",),
    "n5": ("n2",),
    "n6": ("n3",),
    "n7": ("n4", "n5"),
    "n8": ("n6",),
    "n9": ("n7", "n8"),
}
CALLS = EXECUTIONS * len(WAITS_FOR)
#: Seconds of silence after which a worker is dead. Shorter, one that only waits for its turn on a busy machine would be
#: taken for dead, and its calls made again with nobody killed; longer, the test takes longer.
LEASE = 5.0


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
        return
    with a_postgres() as made:
        yield made("chaos")


def answer_to(question: str) -> str:
    """What follows from the question alone, so that whoever gets another's answer asks on with a wrong one."""
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def slowly(question: str) -> str:
    """The same, after a while that follows from the question as well: so calls are under way at every moment."""
    time.sleep(random.Random(question).uniform(0.02, 0.4))
    return answer_to(question)


def definition() -> Json:
    """Each node asks with the number of the execution, its own name, and the answers that it waits for."""
    nodes: Json = {}
    for key, before in WAITS_FOR.items():
        answers = " ".join(f"{{{{ nodes.{one}.output.text }}}}" for one in before)
        nodes[key] = {"type": "prompt", "prompt": f"{{{{ input.number }}}} {key} {answers}".strip(), "cache": False}
    edges = [{"source": one, "target": key} for key, before in WAITS_FOR.items() for one in before]
    outputs = {key: f"{{{{ nodes.{key}.output.text }}}}" for key in WAITS_FOR}
    schema = {"required": ["number"], "properties": {"number": {"type": "integer"}}}
    return {"slug": "chaos", "name": "C", "input_schema": schema, "nodes": nodes, "edges": edges, "outputs": outputs}


def right_answers(number: int) -> dict[str, str]:
    """What each node of that execution must have been told."""
    said: dict[str, str] = {}
    for key, before in WAITS_FOR.items():
        said[key] = answer_to(" ".join([str(number), key, *(said[one] for one in before)]))
    return said


class Reaper:
    """Kills workers as calls come in, and starts others."""

    def __init__(self, fleet: Fleet, oracle: Oracle) -> None:
        self._fleet, self._oracle = fleet, oracle
        self._rng = random.Random(SEED)
        self._alive: list[Worker] = []
        self.killed: set[str] = set()
        #: Calls that had been answered when their worker was killed.
        self._answered: set[Call] = set()

    def run(self) -> None:
        """All of it: a kill in each tenth of the calls."""
        self._alive = [self._fleet.begin_worker() for _ in range(WORKERS)]
        for number in range(KILLS):
            due = int(CALLS * (number + self._rng.random()) / KILLS)
            self._fleet.flows.eventually(lambda due=due: len(self._oracle.calls) > due and self._busy())
            time.sleep(self._rng.random() * 0.05)  # a moment that no call decides
            self._kill(self._rng.choice(self._busy() or self._alive))
            self._alive.append(self._fleet.begin_worker())

    def in_flight(self) -> set[Call]:
        """Calls that were under way when their worker was killed; some come to light only afterwards."""
        return {one for one in self._oracle.calls if one.asker in self.killed} - self._answered

    def _busy(self) -> list[Worker]:
        return [one for one in self._alive if self._fleet.asked_by(one)]

    def _kill(self, victim: Worker) -> None:
        victim.kill()
        self.killed.add(victim.name)
        self._answered |= {one for one in self._oracle.calls if one.asker == victim.name and one.answered}
        self._alive.remove(victim)


@pytest.mark.timeout(300)
def test_after_ten_kills_each_node_has_succeeded_once_and_only_what_was_in_flight_was_asked_again(
    database: str, tmp_path: Path
) -> None:
    with an_oracle() as oracle, a_fleet(tmp_path, oracle, database, lease=LEASE) as fleet:
        oracle.reply = slowly
        fleet.flows.save(definition())
        begun = [fleet.flows.begin("chaos", {"number": number}) for number in range(EXECUTIONS)]
        reaper = Reaper(fleet, oracle)
        reaper.run()
        cut_off: Counter[tuple[int, str]] = Counter()
        for number, execution in enumerate(begun):
            done = fleet.flows.until(execution)
            assert done["outputs"] == right_answers(number), done["error"]
            history = has_paid_once(fleet.flows, execution, list(WAITS_FOR))
            cut_off.update({(number, node): times for node, times in history.cut_off.items()})
        repeated_only_what_was_in_flight(oracle.calls, reaper, cut_off)


def repeated_only_what_was_in_flight(calls: list[Call], reaper: Reaper, cut_off: Counter[tuple[int, str]]) -> None:
    """Hold it, by the provider's record and by that of the executions."""
    asked: dict[tuple[int, str], list[Call]] = {}
    for call in calls:
        number, node = call.question.split()[:2]
        asked.setdefault((int(number), node), []).append(call)
    assert len(asked) == CALLS
    for which, those in asked.items():
        assert len({call.question for call in those}) == 1
        # Not more often than it was in flight when its execution had to be taken over …
        assert len(those) - 1 <= cut_off[which]
    # … and in no case but that whoever had asked before was killed.
    repeated = {call for those in asked.values() for call in those[:-1]}
    assert {call.asker for call in repeated} <= reaper.killed
    assert len(reaper.killed) == KILLS
    # All that the provider was at work on at a kill was asked again, and beside it what had been answered and not kept.
    in_flight = reaper.in_flight()
    assert in_flight
    assert in_flight <= repeated
    assert len(repeated - in_flight) <= sum(cut_off.values()) - len(in_flight)
