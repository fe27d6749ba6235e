"""The same events with two attempts side by side: overdue → may the next be asked too? → the first sign of life wins.

Laws: what wins is the first token of a stream, else the whole answer; the loser is given up at that moment, frees its
place at the host, and is paid for: its prompt, and what of the answer it had written. If one fails while the other runs
the other goes on as the failover, and the next is asked when both have failed. At most two run at once.

A prompt is paid for even if nothing had come of it yet, as providers that bill what was sent do. That makes hedging as
dear as it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop
from typing import NamedTuple

from dwa.candidate import Shape
from dwa.simulate.physics import END, FIRST, FORSAKEN, Journey, Line, Simulation, World
from dwa.simulate.policy import BAD, CUT, FAILED, OK, REFUSED, Attempt, Hedger, Policy, Setting

LOOK = 3


class _Lane(NamedTuple):
    """An attempt under way: when its first token comes, and when it ends."""

    attempt: Attempt
    first_at: float
    ends_at: float


class _Race:
    """The attempts of one request that run now, and how many were sent in all."""

    __slots__ = ("lanes", "sent")

    def __init__(self) -> None:
        self.lanes: list[_Lane] = []
        self.sent = 0


class HedgedSimulation(Simulation):
    """One run of policies that hedge. ValueError for others."""

    def __init__(self, world: World, make: Callable[[Setting, Sequence[Line]], Policy], seed: int) -> None:
        super().__init__(world, make, seed)
        if not all(isinstance(policy, Hedger) for policy in self.policies):
            raise ValueError("this policy does not hedge")
        self._races: dict[Journey, _Race] = {}

    def _try(self, journey: Journey, shape: Shape, place: int, now: float) -> None:
        if self._is_over(journey, place, now):
            self._races.pop(journey, None)
            self._close(journey, now, place, -1, seen=True)
            return
        self._send(journey, self._races.setdefault(journey, _Race()), shape, now)

    def _send(self, journey: Journey, race: _Race, shape: Shape, now: float) -> None:
        attempt, line = self._attempt(journey, shape, race.sent, now)
        wait, first_s = line.fate(attempt, journey.request, now)
        race.sent += 1
        race.lanes.append(_Lane(attempt, now + min(first_s, wait), now + wait))
        if shape.stream and first_s < wait:
            self._push(now + first_s, attempt, journey, FIRST)
        self._push(now + wait, attempt, journey, END)
        self._push(_hedger(journey).hedge_at(attempt, now), attempt, journey, LOOK)

    def _step(self) -> None:
        now, _, attempt, journey, event = heappop(self._events)
        self._advance(now)
        race = self._races.get(journey)
        lane = next((lane for lane in race.lanes if lane.attempt is attempt), None) if race else None
        if race is None or lane is None:
            return  # it was given up, or has ended
        if event == LOOK:
            self._look(journey, race, attempt, now)
        elif event == FIRST:
            attempt.first_at = now
            journey.policy.first_token(attempt, now)
            self._give_up(journey, race, lane, now)
        elif event == FORSAKEN:
            if len(race.lanes) == 1 and not self._is_over(journey, race.sent, now):
                attempt.kind = FAILED
                self._end(journey, race, lane, now)
        else:
            self._end(journey, race, lane, now)

    def _look(self, journey: Journey, race: _Race, attempt: Attempt, now: float) -> None:
        if attempt.first_at is not None or len(race.lanes) > 1 or race.sent >= self._world.attempts:
            return
        hedger, rest = _hedger(journey), journey.order[race.sent :]
        for host in rest:
            if hedger.may_hedge(attempt, host, now):
                asked = list(journey.order[: race.sent])
                journey.order = [*asked, host, *(other for other in rest if other != host)]
                self._send(journey, race, attempt.shape, now)
                return
        if rest:
            self._push(hedger.hedge_at(attempt, now), attempt, journey, LOOK)

    def _end(self, journey: Journey, race: _Race, lane: _Lane, now: float) -> None:
        attempt = lane.attempt
        race.lanes.remove(lane)
        self.lines[attempt.host].in_flight -= 1
        journey.policy.finish(attempt, now)
        journey.cost += attempt.cost
        kind = attempt.kind
        if kind not in (FAILED, REFUSED):
            self._give_up(journey, race, None, now)
            del self._races[journey]
            self._close(journey, now, race.sent, -1 if kind in (CUT, BAD) else attempt.host, seen=kind == CUT)
        elif not race.lanes:
            journey.last = attempt
            self._try(journey, attempt.shape, race.sent, now)

    def _give_up(self, journey: Journey, race: _Race, winner: _Lane | None, now: float) -> None:
        """Cancel all but the winner."""
        for lane in race.lanes:
            if lane is winner:
                continue
            line = self.lines[lane.attempt.host]
            line.in_flight -= 1
            _hedger(journey).outrun(lane.attempt, now)
            if lane.attempt.kind in (OK, CUT):
                spent = max(now - lane.first_at, 0.0) / max(lane.ends_at - lane.first_at, 1e-9)
                journey.cost += line.host.dollars(journey.request.prompt, journey.request.answer * spent)
        race.lanes = [] if winner is None else [winner]


def _hedger(journey: Journey) -> Hedger:
    policy = journey.policy
    assert isinstance(policy, Hedger)
    return policy
