"""A fitted log as a world of `dwa.simulate.physics`: hosts whose attempts end as recorded ones did.

    fate of an attempt = refused, failed or cut with the shares of its time, else (A + n_in·F + n_out·B)·level·noise

Requests come when they came, are as long as they were, and choose among whom they had. A request that nobody answered
has no length in the log: it gets the median of those that asked for the same. Luck belongs to the request and its
attempts, not to the host, so two policies of one seed meet the same luck.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from dwa.candidate import Candidate, Shape
from dwa.objective import Objective
from dwa.simulate.hosts import Host
from dwa.simulate.measure import quantile
from dwa.simulate.physics import Line, World
from dwa.simulate.policy import CUT, FAILED, OK, REFUSED, Attempt, Ours, Setting
from dwa.simulate.recorded.fit import Fit, Fitted, Speed, Spell
from dwa.simulate.recorded.log import Facts, Recorded, Tried
from dwa.simulate.traffic import Luck, Request
from dwa.simulate.truth import Yardstick

ATTEMPTS = 5
"""Most deployments that a request is tried at. Doubled: no difference until six fail at once; halved: requests fail
that the gateway would have saved."""


@dataclass(frozen=True, slots=True)
class Eligible(Shape):
    """A shape with the places of who may answer it."""

    places: tuple[int, ...] = ()
    fallback: tuple[int, ...] = ()
    """Tried in order when all of `places` have failed."""


@dataclass(frozen=True, slots=True)
class Spelled(Host):
    """A recorded deployment during one spell."""

    speed: Speed = field(default_factory=Speed)
    noise: tuple[float, ...] = (1.0,)
    spell: Spell = field(default_factory=lambda: Spell(0.0))


class SpelledLine(Line):
    """A recorded deployment at work. More traffic does not slow it: by how much it would, no log of less can tell."""

    def fate(self, attempt: Attempt, request: Request, now: float) -> tuple[float, float]:
        """As the log's attempts of this spell ended."""
        host, luck = self.host, request.luck[attempt.place]
        assert isinstance(host, Spelled)
        spell = host.spell
        if luck.fate < spell.refuses:
            attempt.kind = REFUSED
            return _drawn(spell.refuse_s, luck.factor), inf
        if luck.fate < spell.refuses + spell.fails:
            attempt.kind = FAILED
            return _drawn(spell.fail_s, luck.factor), inf
        factor = spell.level * _drawn(host.noise, luck.straggles)
        first = host.speed.first(request.prompt) * factor
        if luck.fate < spell.refuses + spell.fails + spell.cuts:
            attempt.kind = CUT
            attempt.cost = host.dollars(request.prompt, request.answer / 2)
            wait = _drawn(spell.cut_s, luck.factor)
            return wait, min(first, wait)
        attempt.kind = OK
        attempt.answer = request.answer
        attempt.cost = host.dollars(request.prompt, request.answer)
        return host.speed.seconds(request.prompt, request.answer) * factor, first


class Replayed(Ours):
    """The balancer, ranking for each request those who could answer it."""

    def __init__(self, setting: Setting, candidates: Sequence[Candidate], strategy: str) -> None:
        self._listed = list(candidates)
        self._among: dict[tuple[int, ...], list[Candidate]] = {}
        super().__init__(setting, strategy=strategy)

    def relisted(self, now: float) -> None:
        """Prices and priorities are those of the whole period."""
        self._now = now
        self._candidates = self._listed
        self._places = {one.key: place for place, one in enumerate(self._listed)}

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """The balancer's ranking of the eligible, then the fallback's."""
        assert isinstance(shape, Eligible)
        order = self._ranked(shape, shape.places, now)
        return [*order, *self._ranked(shape, shape.fallback, now)] if shape.fallback else order

    def _ranked(self, shape: Shape, places: tuple[int, ...], now: float) -> list[int]:
        found = self._among.get(places)
        if found is None:
            found = self._among[places] = [self._listed[place] for place in places]
        self._present = found
        return list(super().rank(shape, now))


class Recording:
    """What a log's facts were fitted to; makes the worlds of a replay."""

    def __init__(self, facts: Facts, attempts: Sequence[Tried], known: Mapping[str, Candidate]) -> None:
        """Fit to all `attempts` of the log; `known` is what the configuration says about deployments, by key."""
        requests = facts.requests
        self.facts = facts
        self._fallbacks = _fallbacks(requests)
        self._served = _served(requests)
        eligible = [self._eligible(one) for one in requests]
        keys = sorted({key for pair in eligible for tier in pair for key in tier})
        fit = Fit(attempts, known.get)
        self.fitted: list[Fitted] = [fit.of(key) for key in keys]
        places = {key: place for place, key in enumerate(keys)}
        self._tiers = [tuple(tuple(places[key] for key in tier) for tier in pair) for pair in eligible]
        self._sizes = self._typical(requests)
        self.began = requests[0].at

    @property
    def unsized(self) -> int:
        """Requests whose length is not recorded."""
        return sum(one.served is None for one in self.facts.requests)

    @property
    def guessed(self) -> int:
        """Requests whose candidates are not recorded."""
        return sum(not one.candidates for one in self.facts.requests)

    def world(self, objective: Objective, patience_s: float, seed: int) -> World:
        """The world of one seed; the same requests and the same luck whatever the objective."""
        rng = Random(seed)
        tries = min(max((sum(map(len, pair)) for pair in self._tiers), default=1), ATTEMPTS)
        requests: list[tuple[Request, Shape]] = []
        for one, (places, fallback) in zip(self.facts.requests, self._tiers, strict=True):
            prompt, answer = (one.prompt, one.answer) if one.served is not None else self._sizes[one.model]
            luck = tuple(Luck(0.0, 0.0, rng.random(), rng.random(), rng.random()) for _ in range(tries))
            request = Request(one.at - self.began, prompt, answer, "", one.stream, False, 0, luck)
            shape = Eligible(prompt, route=one.model, stream=one.stream, places=places, fallback=fallback)
            requests.append((request, shape))
        changes = [
            (spell.at - self.began, place, _host(fitted, spell))
            for place, fitted in enumerate(self.fitted)
            for spell in fitted.spells[1:]
        ]
        return World(
            hosts=tuple(_host(fitted, fitted.spells[0]) for fitted in self.fitted),
            timeline=tuple(sorted(changes, key=lambda change: change[0])),
            requests=requests,
            yardstick=Yardstick(objective, 1.0, 1.0),
            replicas=1,
            seconds=requests[-1][0].at,
            line=SpelledLine,
            attempts=tries,
            patience_s=patience_s,
        )

    def _eligible(self, one: Recorded) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Who could answer, and who was tried beyond them."""
        first = one.candidates or tuple(self._served[one.model])
        beyond = [attempt.key for attempt in one.attempts] + list(self._fallbacks.get(one.route or "", ()))
        return first, tuple(key for key in dict.fromkeys(beyond) if key not in first)

    def _typical(self, requests: Sequence[Recorded]) -> dict[str, tuple[int, int]]:
        by_model: defaultdict[str, list[Recorded]] = defaultdict(list)
        for one in requests:
            if one.served is not None:
                by_model[one.model].append(one)
        everyone = [one for found in by_model.values() for one in found]
        return {model: _median_size(by_model.get(model) or everyone) for model in {one.model for one in requests}}


def _host(fitted: Fitted, spell: Spell) -> Spelled:
    candidate = fitted.candidate
    return Spelled(
        fitted.key,
        price_in=candidate.price_in,
        price_out=candidate.price_out,
        quality=candidate.quality,
        speed=fitted.speed,
        noise=fitted.noise,
        spell=spell,
    )


def _fallbacks(requests: Sequence[Recorded]) -> dict[str, dict[str, None]]:
    """By route: who was tried beyond its candidates. The tiers of a route are the same for all its requests."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for one in requests:
        if one.route and one.candidates:
            found[one.route].update({a.key: None for a in one.attempts if a.key not in one.candidates})
    return dict(found)


def _served(requests: Sequence[Recorded]) -> dict[str, dict[str, None]]:
    """By what was asked for: who was ever tried or ranked for it."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for one in requests:
        found[one.model].update(dict.fromkeys((*one.candidates, *(attempt.key for attempt in one.attempts))))
    return dict(found)


def _median_size(found: Sequence[Recorded]) -> tuple[int, int]:
    """Tokens of prompt and answer; of nothing, the balancer's own expectation."""
    if not found:
        return 500, 200
    return int(quantile([one.prompt for one in found], 0.5)), int(quantile([one.answer for one in found], 0.5))


def _drawn(values: Sequence[float], uniform: float) -> float:
    return values[int(uniform * len(values))]
