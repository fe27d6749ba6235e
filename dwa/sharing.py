"""Several replicas in front of the same hosts: what each tells the others once a second, and what it learns from them.

    tell:  per host: in flight, breaker, Retry-After; and its last rounds, each a `Ledger`
    hear:  n residuals of mean r  →  one Kalman step with noise/n;  failures, cuts, tail  →  as if they were ours;
           outcomes  →  the breaker's evidence, by time of dispatch;  the latest transition of a breaker wins
    promises kept and missed under an SLO  →  one shadow price (`price.py`)

Law: a round is numbered and heard once, so nothing counts twice; it is told `ROUNDS` times, so an exchange that was
lost loses nothing. Who is not heard of for `FRESH_S` no longer counts as present. Alone, a replica behaves as if this
file did not exist; a host that only others know is none of ours.

Two things keep a herd from forming. The requests of others in flight are part of a host's crowd; and between two
exchanges they are taken to move as ours do (`crowd`): all see the same, so all will do the same, and whoever sends two
more there while waiting for news expects each of the others to do so as well.

Times are told on a clock that all share (Redis's, or the machine's); `offset` is that clock minus ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, cast

from dwa.breaker import HALF_OPEN, NEVER, RAMP
from dwa.deployment import Deployment
from dwa.explore import Traffic
from dwa.slo import Constraints

VERSION = 3
EVERY_S = 1.0
"""s between two exchanges. Doubled: a broken host is left by the others two seconds later; halved: twice the trips."""
ROUNDS = 5
"""Rounds that are told again. Doubled: longer outages of the exchange lose nothing, at twice the bytes; halved: two."""
FRESH_S = 3.5
"""s after which a silent replica is taken for gone. Doubled: the dead count as busy for longer; halved: one slow
exchange makes all others vanish for a moment."""
Told = Mapping[str, Any]
"""What one replica says: plain values, as they come out of any serialisation."""


class Replica:
    """One balancer among others. Made by `Balancer.join`."""

    __slots__ = (
        "_clock",
        "_deployments",
        "_forget",
        "_heard",
        "_marks",
        "_meet",
        "_past",
        "_resets",
        "_round",
        "_slos",
        "_traffic",
        "name",
        "peers",
    )

    def __init__(
        self,
        name: str,
        deployments: Mapping[str, Deployment],
        traffic: Traffic,
        slos: Constraints,
        meet: Callable[[str], Deployment | None],
        forget: Callable[[str | None], int],
        *,
        clock: Callable[[], float],
    ) -> None:
        """Speak as `name`, which nobody else may have, for these deployments.

        `meet` makes one that others have met and we have not, or None when it is none of ours; `forget` resets one, or
        (None) all.
        """
        self.name = name
        self.peers: dict[str, float] = {}
        """Who was heard of, and how many seconds ago they spoke."""
        self._clock = clock
        self._deployments = deployments
        self._traffic = traffic
        self._slos = slos
        self._meet = meet
        self._forget = forget
        self._round = count(1)
        self._marks = count(1)
        self._past: deque[tuple[int, dict[str, list[object]], dict[str, list[object]]]] = deque(maxlen=ROUNDS)
        self._heard: dict[str, tuple[int, int]] = {}
        self._resets: deque[tuple[int, str | None]] = deque(maxlen=ROUNDS)

    def announce_reset(self, what: str | None) -> None:
        """Have the others forget too: one provider, one deployment, or (None) all."""
        self._resets.append((self._resets[-1][0] + 1 if self._resets else 1, what))

    def tell(self, offset: float) -> dict[str, object]:
        """What the others should know. Ends the round."""
        now = self._clock()
        number = next(self._round)
        self._past.append((number, self._written(offset), self._slos.turn()))
        return {
            "version": VERSION,
            "at": now + offset,
            "rate": self._traffic.rate,
            "hosts": {key: self._state(d, offset) for key, d in self._deployments.items()},
            "slos": self._slos.stand(),
            "rounds": list(self._past),
            "resets": list(self._resets),
        }

    def hear(self, others: Mapping[str, Told], offset: float) -> None:
        """Learn from what the others tell; what is not of this version is passed over."""
        now = self._clock()
        fresh: dict[str, Told] = {}
        for name, told in others.items():
            if name == self.name or told.get("version") != VERSION:
                continue
            age = now + offset - told["at"]
            if age < FRESH_S:
                fresh[name] = told
            self._catch_up(name, told, now, offset)
        self.peers = {name: max(0.0, now + offset - told["at"]) for name, told in fresh.items()}
        self._heard = {name: last for name, last in self._heard.items() if name in others}
        self._traffic.elsewhere = sum(told["rate"] for told in fresh.values())
        for key, d in self._deployments.items():
            states = [told["hosts"][key] for told in fresh.values() if key in told["hosts"]]
            self._present(d, states, now, offset)
        # After their rounds, or whoever is new here would count those twice.
        self._slos.agree([told["slos"] for told in fresh.values()])

    # --- telling -----------------------------------------------------------------------------------------------

    def _written(self, offset: float) -> dict[str, list[object]]:
        rows: dict[str, list[object]] = {}
        for key, d in self._deployments.items():
            ledger = d.ledger
            if ledger is None:
                continue
            if not ledger.empty:
                outcomes = [[at + offset, failed] for at, failed in ledger.outcomes]
                counts = [ledger.successes, ledger.failures, ledger.cuts, ledger.waste, ledger.sent]
                rows[key] = [ledger.reference, ledger.times, ledger.ratios, counts, d.sent_at + offset, outcomes]
            ledger.turn()
        return rows

    def _state(self, d: Deployment, offset: float) -> list[object]:
        breaker = d.breaker
        if not breaker.mark and breaker.changed_at > NEVER:
            breaker.mark = f"{self.name}.{next(self._marks)}"
        probing = breaker.state == HALF_OPEN and breaker.probe_sent is not None
        changed, reopens = max(breaker.changed_at, 0.0) + offset, breaker.reopens_at + offset
        retry = d.quota.retry_at + offset
        return [d.in_flight, breaker.state, breaker.mark, changed, reopens, breaker.hung, probing, retry]

    # --- hearing -----------------------------------------------------------------------------------------------

    def _catch_up(self, name: str, told: Told, now: float, offset: float) -> None:
        """Rounds not heard yet. Of one who was unknown, all: they are younger than whatever we could have learned."""
        known = name in self._heard
        last, reset = self._heard.get(name, (0, 0))
        rounds = cast("list[tuple[int, dict[str, list[Any]], dict[str, list[Any]]]]", told["rounds"])
        if rounds and rounds[-1][0] < last:
            last = 0  # it was restarted under its old name
        for number, rows, promises in rounds:
            if number > last:
                last = number
                self._slos.hear(promises)
                for key, row in rows.items():
                    deployment = self._deployments.get(key) or self._meet(key)
                    if deployment is not None:
                        _learn(deployment, row, now, offset)
        for number, what in cast("list[tuple[int, str | None]]", told["resets"]):
            # Whoever has just come has nothing to forget that is older than itself.
            if number > reset and known:
                self._forget(what)
            reset = max(reset, number)
        self._heard[name] = (last, reset)

    def _present(self, d: Deployment, states: list[list[Any]], now: float, offset: float) -> None:
        d.peers = len(states)
        d.elsewhere = sum(state[0] for state in states)
        d.mirrored = d.in_flight
        d.allot()
        for _, breaker, mark, changed, reopens, hung, probing, retry in states:
            if retry - offset > max(now, d.quota.retry_at):
                d.quota.hold(retry - offset)
            # One that has never changed has no mark: it is no news, however long its replica has been there.
            if not mark:
                continue
            if d.breaker.adopt(breaker, mark, changed - offset, reopens - offset, now, hung=hung, probing=probing):
                if d.breaker.state == RAMP:
                    d.reliability.forgive()
                else:
                    d.reliability.broke()
                d.on_change()
        d.publish(now)


def _learn(d: Deployment, row: list[Any], now: float, offset: float) -> None:
    reference, times, ratios, (successes, failures, cuts, waste, sent), sent_at, outcomes = row
    latency = d.latency
    changes = latency.changes
    for kind, (n, residual, prompt, answer, busy) in enumerate(times):
        if n:
            latency.hear(now, kind, reference, n, residual / n, prompt / n, answer / n, busy / n)
    latency.hear_tail(*ratios)
    d.reliability.hear(now, successes, failures, cuts, waste)
    usual = d.reliability.usual()
    bad = failures + cuts
    alive = d.alive(now, waste / bad) if bad else ()
    for at, failed in outcomes:
        if d.breaker.hear(now, at - offset, failed=failed, usual=usual, pause=d.pause(), alive=alive):
            d.broke()
    d.sent += sent
    if sent:
        d.sent_at = max(d.sent_at, min(sent_at - offset, now))
    if latency.changes != changes:
        d.on_change()
