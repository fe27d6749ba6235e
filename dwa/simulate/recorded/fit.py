"""seconds = (A + n_in·F + n_out·B) · level(t) · noise, per deployment, from what its own attempts took.

A, F and B are not negative and fitted by least squares on relative errors, each reweighted (Huber) until stragglers
stop to matter; what is left over is kept as it is, as the noise that a replay draws from, so stragglers and heavy tails
stay as frequent as they were. Slow spells (`segments.levels`) are levels, not noise: they come when they came.

Failures, refusals and broken streams are shares of the attempts in pieces of constant rate (`segments.rates`), and take
as long as recorded ones did. Each piece begins half-way between the attempts on its two sides: nobody was there to see.

The bill is the listed price times recorded/listed, or, for what the list does not know, least squares on the recorded
costs. Too few attempts (below `FEW`) cannot tell A from F and B: such a deployment gets the speed of the whole log,
moved to its own level as far as its few answers say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log

from dwa.candidate import Candidate
from dwa.simulate.measure import quantile
from dwa.simulate.policy import CUT, FAILED, OK, REFUSED
from dwa.simulate.recorded.log import Tried, taught
from dwa.simulate.recorded.segments import levels, rates

FEW = 20
"""Answers below which a deployment has no speed of its own."""
ROUNDS = 12
HUBER = 2.0
"""Relative errors, in robust s.d., beyond which an answer counts less."""
DOUBT = 4.0
"""Answers that the level of the whole log counts as, against a deployment's few own."""
ENOUGH = 5_000
"""Answers a speed is fitted to; of more, every second, third …"""
NOISES = 4_000
"""Residuals kept to draw from, or up to twice as many."""
KNOWN_LEAST_S = 1e-5
"""s. Prior knowledge of nothing would be taken for none. Doubled or halved: no difference."""
_LEAST_S = 1e-6
Row = tuple[float, float, float]
"""Prompt tokens, answer tokens, and what they took (seconds, or USD)."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Typical seconds of an answer."""

    start_s: float = 0.6
    prompt_s: float = 0.0
    """Per prompt token."""
    answer_s: float = 1 / 60
    """Per answer token."""

    def seconds(self, prompt: float, answer: float) -> float:
        """Of a whole answer; above zero."""
        return max(self.start_s + prompt * self.prompt_s + answer * self.answer_s, _LEAST_S)

    def first(self, prompt: float) -> float:
        """Until its first token."""
        return self.start_s + prompt * self.prompt_s


@dataclass(frozen=True, slots=True)
class Spell:
    """How a deployment was from `at` on: shares 0..1 of its attempts, and their seconds to draw from."""

    at: float
    level: float = 1.0
    """Factor on the seconds of answers."""
    fails: float = 0.0
    refuses: float = 0.0
    cuts: float = 0.0
    fail_s: tuple[float, ...] = ()
    refuse_s: tuple[float, ...] = ()
    cut_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a log says about one deployment."""

    key: str
    attempts: int
    """Those that teach something."""
    failures: int
    """Of these: failures, refusals and broken streams."""
    answers: int
    """Of these: with seconds and tokens."""
    speed: Speed
    noise: tuple[float, ...]
    """Factors on the seconds; never empty."""
    spells: tuple[Spell, ...]
    """In order of time; never empty."""
    candidate: Candidate
    """With the prices as billed, and the speed of the first spell as prior knowledge."""
    priced: bool
    """A bill or a list says what it costs."""

    @property
    def thin(self) -> bool:
        """Too few answers for a speed of its own."""
        return self.answers < FEW


class Fit:
    """Fits deployments one by one, against the whole log."""

    def __init__(self, attempts: Sequence[Tried], candidate: Callable[[str], Candidate | None]) -> None:
        """`candidate` is what the configuration says about a key today."""
        self._candidate = candidate
        self._by_key: dict[str, list[Tried]] = {}
        for one in sorted(attempts, key=lambda one: one.at):
            if taught(one):
                self._by_key.setdefault(one.key, []).append(one)
        by_key = [rows for mine in self._by_key.values() if (rows := _rows(mine))]
        self.speed = fit_speed([row for rows in by_key for row in rows]) if by_key else Speed()
        """Of the whole log."""
        # Around each deployment's own level: that they differ is no noise.
        self._noise = _noise([one for rows in by_key for one in _centred(_left(rows, self.speed))])

    def of(self, key: str) -> Fitted:
        """What the log says about a deployment, which may be nothing."""
        mine = self._by_key.get(key, [])
        timed = [one for one in mine if _timed(one)]
        rows = _rows(mine)
        speed, noise, slow = self._own(timed, rows) if len(rows) >= FEW else self._borrowed(rows)
        candidate, priced = _priced(key, self._candidate(key), mine)
        spells = _spells(mine, slow)
        level = spells[0].level
        return Fitted(
            key,
            attempts=len(mine),
            failures=sum(taught(one) != OK for one in mine),
            answers=len(timed),
            speed=speed,
            noise=noise,
            spells=spells,
            # A gateway that has run for a while knows how fast its deployments are; not, that they will change.
            candidate=replace(
                candidate,
                first_token_s=max(speed.start_s * level, KNOWN_LEAST_S),
                token_s=max(speed.answer_s * level, KNOWN_LEAST_S),
            ),
            priced=priced,
        )

    def _own(self, timed: Sequence[Tried], rows: list[Row]) -> tuple[Speed, tuple[float, ...], list[Spell]]:
        speed = fit_speed(rows)
        left = _left(rows, speed)
        slow: list[Spell] = []
        noise: list[float] = []
        before = 0.0
        for start, end in levels(left):
            noise += _centred(left[start:end])
            level = exp(quantile(left[start:end], 0.5))
            slow.append(Spell(_between(before, timed[start].at, first=start == 0), level=level))
            before = timed[end - 1].at
        return speed, _noise(noise), slow

    def _borrowed(self, rows: Sequence[Row]) -> tuple[Speed, tuple[float, ...], list[Spell]]:
        off = sum(_left(rows, self.speed)) / (len(rows) + DOUBT)
        return self.speed, self._noise, [Spell(0.0, level=exp(off))]


def fit_speed(rows: Sequence[Row]) -> Speed:
    """A, F and B of at least one row, whose seconds are above zero."""
    start_s, prompt_s, answer_s = _fit([(1.0, prompt, answer) for prompt, answer, _ in rows], [row[2] for row in rows])
    return Speed(start_s, prompt_s, answer_s)


def _timed(one: Tried) -> bool:
    return taught(one) == OK and one.seconds > 0.0 and (one.prompt > 0 or one.answer > 0)


def _rows(mine: Sequence[Tried]) -> list[Row]:
    return [(one.prompt, one.answer, one.seconds) for one in mine if _timed(one)]


def _left(rows: Sequence[Row], speed: Speed) -> list[float]:
    """Logs of seconds over expectation."""
    return [log(seconds / speed.seconds(prompt, answer)) for prompt, answer, seconds in rows]


def _centred(logs: Sequence[float]) -> list[float]:
    middle = quantile(logs, 0.5)
    return [one - middle for one in logs]


def _noise(logs: Sequence[float]) -> tuple[float, ...]:
    step = max(len(logs) // NOISES, 1)
    return tuple(exp(one) for one in logs[::step]) or (1.0,)


def _spells(mine: Sequence[Tried], slow: Sequence[Spell]) -> tuple[Spell, ...]:
    """Spells of failures and of slowness, laid over each other."""
    found: list[Spell] = []
    kinds = [taught(one) for one in mine]
    before = 0.0
    for start, end in rates([kind != OK for kind in kinds]):
        here = list(zip(mine[start:end], kinds[start:end], strict=True))
        seconds = {
            wanted: tuple(one.seconds for one, kind in here if kind == wanted) for wanted in (FAILED, REFUSED, CUT)
        }
        total = end - start
        found.append(
            Spell(
                _between(before, mine[start].at, first=start == 0),
                fails=len(seconds[FAILED]) / total,
                refuses=len(seconds[REFUSED]) / total,
                cuts=len(seconds[CUT]) / total,
                fail_s=seconds[FAILED],
                refuse_s=seconds[REFUSED],
                cut_s=seconds[CUT],
            )
        )
        before = mine[end - 1].at
    return tuple(_laid_over(found or [Spell(0.0)], slow or [Spell(0.0)]))


def _laid_over(rates_: Sequence[Spell], slow: Sequence[Spell]) -> list[Spell]:
    merged: list[Spell] = []
    for at in sorted({one.at for one in (*rates_, *slow)}):
        rate = [one for one in rates_ if one.at <= at][-1]
        level = [one for one in slow if one.at <= at][-1].level
        merged.append(replace(rate, at=at, level=level))
    return merged


def _between(before: float, after: float, *, first: bool) -> float:
    return 0.0 if first else (before + after) / 2


def _priced(key: str, known: Candidate | None, mine: Sequence[Tried]) -> tuple[Candidate, bool]:
    """The candidate with the prices it was billed at, and whether anything says what those are."""
    candidate = known or Candidate(key)
    billed: list[Row] = [(one.prompt, one.answer, one.cost) for one in mine if _timed(one)]
    paid = sum(cost for *_, cost in billed)
    listed = sum(prompt * candidate.price_in + answer * candidate.price_out for prompt, answer, _ in billed)
    if listed > 0.0:
        factor = paid / listed
        return replace(
            candidate, price_in=candidate.price_in * factor, price_out=candidate.price_out * factor, price_cached=None
        ), True
    if paid > 0.0:
        dear = [row for row in billed if row[2] > 0.0]
        price_in, price_out = _fit([(prompt, answer) for prompt, answer, _ in dear], [row[2] for row in dear])
        return replace(candidate, price_in=price_in, price_out=price_out, price_cached=None), True
    return candidate, known is not None or bool(billed)


def _fit(columns: Sequence[tuple[float, ...]], values: Sequence[float]) -> tuple[float, ...]:
    """Coefficients, not negative, of `values` (above zero) on `columns`, by least squares on relative errors."""
    step = len(values) // ENOUGH + 1
    columns, values = columns[::step], values[::step]
    guess = list(values)
    trust = [1.0] * len(values)
    found: tuple[float, ...] = ()
    for _ in range(ROUNDS):
        found = _solve(columns, values, [t / (g * g) for t, g in zip(trust, guess, strict=True)])
        guess = [
            max(sum(c * x for c, x in zip(found, row, strict=True)), _LEAST_S * value)
            for row, value in zip(columns, values, strict=True)
        ]
        errors = [abs(value / g - 1.0) for value, g in zip(values, guess, strict=True)]
        wide = HUBER * (1.4826 * quantile(errors, 0.5)) or 1e-9
        trust = [1.0 if error <= wide else wide / error for error in errors]
    return found


def _solve(
    columns: Sequence[tuple[float, ...]], values: Sequence[float], weights: Sequence[float]
) -> tuple[float, ...]:
    """Weighted least squares without negative coefficients: the most negative one is left out, until none is."""
    count = len(columns[0])
    products = [
        [sum(w * row[i] * row[j] for w, row in zip(weights, columns, strict=True)) for j in range(count)]
        for i in range(count)
    ]
    sums = [sum(w * row[i] * y for w, row, y in zip(weights, columns, values, strict=True)) for i in range(count)]
    kept = [i for i in range(count) if products[i][i] > 0.0]
    while True:
        found = _eliminate([[products[i][j] for j in kept] for i in kept], [sums[i] for i in kept])
        worst = min(range(len(kept)), key=found.__getitem__, default=0)
        if len(kept) <= 1 or found[worst] >= 0.0:
            by_column = dict(zip(kept, found, strict=True))
            return tuple(max(by_column.get(i, 0.0), 0.0) for i in range(count))
        del kept[worst]


def _eliminate(matrix: list[list[float]], sums: list[float]) -> list[float]:
    """Solve by Gauss and Jordan; the smallest of ridges settles columns that cannot be told apart."""
    size = len(sums)
    rows = [[*row, total] for row, total in zip(matrix, sums, strict=True)]
    for i in range(size):
        rows[i][i] *= 1.0 + 1e-9
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(size):
            if k != i and rows[i][i]:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[size] / row[i] if row[i] else 0.0 for i, row in enumerate(rows)]
