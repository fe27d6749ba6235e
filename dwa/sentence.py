"""A decision in plain English: who was chosen and why, what made the difference to the next, and who was held back.

    a/m was chosen because its expected loss under the objective balanced was the least of two candidates. It was
    expected to take 1.1 s, to cost $0.0004 and to fail in 1 % of the cases. The runner-up, b/m, had 12 % more expected
    loss, mainly for its cost ($0.0031 instead of $0.0004), in spite of its latency (0.9 s instead of 1.05 s). Held back
    was c/m (breaker open, after failures or silence, for another 3.2 s).

Law: every number is one of the decision's own or follows from two of them, at three digits, and nothing is said that
they do not show. Two numbers that read the same, or that point the other way than the loss does (what a failure costs
depends on who is next), are left out rather than explained away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import NamedTuple

from dwa.decision import Decision
from dwa.share import draw_two
from dwa.wording import count, listed, money, number, percent, seconds

NOTABLE = 0.1
"""Share of the main difference that a difference the other way must have to be told. Doubled: half of them are left
out; halved: trifles are told."""
TIMES = 2.0
"""Ratio from which it is told as such: "120 % more" is hard to read."""


class _Tense(NamedTuple):
    chosen: str
    was: str
    were: str
    had: str
    could: str


_MADE = _Tense("was chosen", "was", "were", "had", "could")
_PLANNED = _Tense("would be chosen", "is", "are", "has", "can")


def sentence(decision: Decision, *, planned: bool = False) -> str:
    """One paragraph about a choice, or about one that is only asked about (`planned`: "would be chosen")."""
    tense = _PLANNED if planned else _MADE
    if not decision.order:
        parts = [_nobody(decision, tense), _held_back(decision, tense)]
    else:
        why = _WHY.get(decision.reason, _by_name)(decision, tense)
        chosen = f"{_first(decision)} {tense.chosen} {why}."
        parts = [
            chosen,
            _expected(decision, tense),
            _runner_up(decision, tense),
            _recovering(decision, tense),
            _held_back(decision, tense),
        ]
    return " ".join(part for part in parts if part)


# --- who, and why -------------------------------------------------------------------------------------------------


def _first(decision: Decision) -> str:
    return decision.keys[decision.order[0]]


def _admitted(decision: Decision) -> str:
    """Whether recovering ones take part was left to chance first: the rule held for the others."""
    return " among those that admitted this request" if decision.ramping else ""


def _best(decision: Decision, tense: _Tense) -> str:
    among = count(len(decision.keys), "candidate")
    if decision.ramping:
        among = f"those of {among} that admitted this request"
    # Of a choice not made yet the best is the likeliest, and near-equals or a look may still go before it.
    chance = _chance(decision, tense) if tense is _PLANNED else ""
    least = f"because its expected loss under the objective {decision.objective} {tense.was} the least of {among}"
    return least + chance


def _near_equal(decision: Decision, tense: _Tense) -> str:
    first = decision.order[0]
    above = _ratio(decision.losses[first], min(decision.losses)) if decision.losses else None
    margin = "next to the least" if above is None or above <= 1.0 else f"{percent(above - 1.0)} above the least"
    return (
        "by lot among near-equals, which share the traffic: its expected loss under the objective "
        f"{decision.objective} {tense.was} {margin}{_chance(decision, tense)}"
    )


def _exploration(decision: Decision, tense: _Tense) -> str:
    losses = decision.losses
    best = not losses or losses[decision.order[0]] <= min(losses)
    behind = "" if best else f", although its expected loss {tense.was} not the least"
    budget = f", kept to about {percent(decision.looks)} of the traffic" if decision.looks > 0.0 else ""
    return f"to see how well it does now{behind} (exploration{budget})"


def _probe(decision: Decision, tense: _Tense) -> str:
    return (
        f"as a probe: its breaker had opened after failures or silence, its pause {tense.was} over, and one request "
        "tests whether it has recovered"
    )


def _out_of_turn(decision: Decision, tense: _Tense) -> str:
    return (
        f"out of its turn: it {tense.was} held back lest it refuse, but the expected loss of all who {tense.could} be "
        f"asked {tense.was} more than twice its own"
    )


def _only(decision: Decision, tense: _Tense) -> str:
    if not decision.excluded:
        return f"because it {tense.was} the only candidate"
    others = count(len(decision.excluded) + 1, "candidate")
    return f"because it {tense.was} the only one of {others} that {tense.could} be tried"


def _last_resort(decision: Decision, tense: _Tense) -> str:
    # Of one that is alone nothing was ordered.
    order = "; those that only the gateway holds back come before the broken" if len(decision.keys) > 1 else ""
    return f"as a last resort, because no candidate {tense.was} healthy{order}"


def _sticky(decision: Decision, tense: _Tense) -> str:
    return (
        f"because the prompt cache of this session {tense.was} expected to be warm there, which counts in its time and "
        f"its cost under the objective {decision.objective}"
    )


def _by_rule(rule: str) -> Callable[[Decision, _Tense], str]:
    def told(decision: Decision, tense: _Tense) -> str:
        return f"{_by_name(decision, tense)}, which takes the one with {rule}{_admitted(decision)}"

    return told


def _by_chance(rule: str) -> Callable[[Decision, _Tense], str]:
    def told(decision: Decision, tense: _Tense) -> str:
        return f"{_by_name(decision, tense)}, which draws {rule}{_admitted(decision)}{_chance(decision, tense)}"

    return told


def _two_choices(decision: Decision, tense: _Tense) -> str:
    peaks, many = decision.peaks, len(decision.keys)
    name = _by_name(decision, tense)
    if many > 1 and len(peaks) == len(decision.losses) == many:
        by_cost = sorted(range(many), key=lambda i: (peaks[i], decision.losses[i]))
        cheap, dear = (by_cost[place] for place in sorted(draw_two(many, decision.seed)))
        # Else it was held back after the draw, to recover.
        if cheap == decision.order[0]:
            drawn = f"{name}: {decision.keys[cheap]} and {decision.keys[dear]} were drawn at random"
            cost = "peak latency times requests in flight plus one"
            if number(peaks[cheap]) == number(peaks[dear]):
                return f"{drawn}, and by {cost} they {tense.were} about alike ({seconds(peaks[cheap])})"
            return f"{drawn}, and it {tense.had} less {cost} ({seconds(peaks[cheap])} against {seconds(peaks[dear])})"
    return f"{name}, which takes the better of two drawn at random{_admitted(decision)}"


def _by_name(decision: Decision, _: _Tense) -> str:
    strategy = decision.reason.removeprefix("strategy:")
    return f"by the strategy {strategy}" if strategy != decision.reason else f"for the reason {strategy}"


_WHY: Mapping[str, Callable[[Decision, _Tense], str]] = {
    "best_performance": _best,
    "near_equal_share": _near_equal,
    "exploration": _exploration,
    "half_open_probe": _probe,
    "out_of_turn": _out_of_turn,
    "only_candidate": _only,
    "last_resort": _last_resort,
    "sticky_session": _sticky,
    "strategy:round_robin": _by_rule("the longest time since its last turn"),
    "strategy:random": _by_chance("among all alike"),
    "strategy:priority": _by_rule("the first place in the configured order"),
    "strategy:weighted": _by_chance("by the configured weights"),
    "strategy:least_busy": _by_rule("the fewest requests in flight"),
    "strategy:latency": _by_rule("the shortest expected time"),
    "strategy:cost": _by_rule("the least expected cost"),
    "strategy:p2c_ewma": _two_choices,
}


def _chance(decision: Decision, tense: _Tense) -> str:
    odds = decision.odds()
    return f"; its chance to be first {tense.was} {percent(odds[decision.order[0]])}" if odds else ""


# --- what was expected, and of whom else ---------------------------------------------------------------------------


def _expected(decision: Decision, tense: _Tense) -> str:
    if not decision.losses:
        return ""
    first = decision.order[0]
    cost = f"cost {money(decision.costs[first])}" if decision.costs[first] else "cost nothing"
    return (
        f"It {tense.was} expected to take {seconds(decision.seconds[first])}, to {cost} and to fail in "
        f"{percent(decision.errors[first])} of the cases."
    )


def _runner_up(decision: Decision, tense: _Tense) -> str:
    """By loss, whatever the order is by; a last resort is by state, and its losses say nothing about its order."""
    if len(decision.order) < 2 or not decision.losses:
        return ""
    first, other = decision.order[:2]
    key = decision.keys[other]
    if decision.reason == "last_resort":
        return f"The next {tense.was} {key}."
    mine, theirs = decision.losses[first], decision.losses[other]
    if number(mine) == number(theirs):
        return f"The runner-up, {key}, {tense.had} about the same expected loss."
    return f"The runner-up, {key}, {tense.had} {_compared(theirs, mine)} expected loss{_because(decision)}."


def _compared(theirs: float, mine: float) -> str:
    ratio = _ratio(theirs, mine)
    if ratio is None:
        return "more" if theirs > mine else "less"
    if ratio >= TIMES:
        return f"{number(ratio)} times as much"
    return f"{percent(abs(ratio - 1.0))} {'more' if ratio > 1.0 else 'less'}"


def _ratio(one: float, other: float) -> float | None:
    """None where a ratio tells nothing."""
    return one / other if one > 0.0 and other > 0.0 else None


def _because(decision: Decision) -> str:
    """Which part of the loss made the difference, and which spoke against it."""
    first, other = decision.order[:2]
    mine, theirs = decision.terms(first), decision.terms(other)
    sign = 1.0 if decision.losses[other] > decision.losses[first] else -1.0
    gaps = {name: sign * (theirs[name] - mine[name]) for name in mine}
    main, against = max(gaps, key=gaps.__getitem__), min(gaps, key=gaps.__getitem__)
    if gaps[main] <= 0.0:
        return ""
    told = f", mainly for {_term(decision, main, sign)}"
    if -gaps[against] >= NOTABLE * gaps[main]:
        told += f", in spite of {_term(decision, against, -sign)}"
    return told


def _term(decision: Decision, name: str, sign: float) -> str:
    """A term of the runner-up's loss against the first's; `sign` is 1 where it is the greater."""
    first, other = decision.order[:2]
    word, pick, tell = _TERMS[name]
    values = pick(decision)
    theirs, mine = tell(values[other]), tell(values[first])
    shown = theirs != mine and sign * (values[other] - values[first]) > 0.0
    return f"its {word} ({theirs} instead of {mine})" if shown else f"its {word}"


def _waits(decision: Decision) -> list[float]:
    return [whole - idle for whole, idle in zip(decision.seconds, decision.idle, strict=True)]


def _lacks(decision: Decision) -> list[float]:
    return [1.0 - quality for quality in decision.quality]


def _grade(lack: float) -> str:
    return number(1.0 - lack)


_TERMS: Mapping[str, tuple[str, Callable[[Decision], list[float]], Callable[[float], str]]] = {
    "latency": ("latency", attrgetter("idle"), seconds),
    "cost": ("cost", attrgetter("costs"), money),
    "errors": ("failures", attrgetter("errors"), percent),
    "load": ("load", _waits, seconds),
    "quality": ("quality", _lacks, _grade),
}
"""Term → its word, its numbers (more is worse), and how they are told."""


# --- who could not, and who could only in part ---------------------------------------------------------------------


def _recovering(decision: Decision, tense: _Tense) -> str:
    told = [f"{decision.keys[i]} ({percent(part)})" for i, part in decision.ramping]
    if not told:
        return ""
    return f"Recovering, and admitting a part of its requests, {_verb(told, tense)} {listed(told)}."


def _held_back(decision: Decision, tense: _Tense) -> str:
    reason = decision.reason if decision.order else ""
    told = [
        f"{key} ({_excluded(why)})"
        for key, why in decision.excluded.items()
        # The one that was asked all the same is told already; as a last resort all of them were.
        if reason in ("", "last_resort") or key != _first(decision)
    ]
    if not told:
        return ""
    if reason == "last_resort":
        return f"Reasons against: {listed(told)}."
    return f"Held back {_verb(told, tense)} {listed(told)}."


def _verb(told: list[str], tense: _Tense) -> str:
    return tense.was if len(told) == 1 else tense.were


_HELD = {
    "breaker_open": ("breaker open, after failures or silence", ", for another {}"),
    "half_open": ("breaker half open: only a probe may go there", ", in {}"),
    "rate_limited": ("rate limited", " for another {}"),
    "paced": ("paced below its rate limit", ", free in {}"),
    "quota_spent": ("quota spent", ", renewed in {}"),
    "at_max_concurrency": ("as many requests in flight as it may have", ", for another {}"),
}


def _excluded(why: str) -> str:
    """`breaker_open for 3.2 s` in words; what is not known is told as it is."""
    state, _, left = why.partition(" for ")
    words, until = _HELD.get(state, (state, " for {}"))
    try:
        return words + (until.format(seconds(float(left.removesuffix(" s")))) if left else "")
    except ValueError:
        return why


def _nobody(decision: Decision, tense: _Tense) -> str:
    many = len(decision.excluded)
    if many == 0:
        return f"There {tense.was} no candidate."
    if many == 1:
        return f"The only candidate {tense.could} not be tried."
    which = "Neither of the two candidates" if many == 2 else f"None of the {count(many, 'candidate')}"
    return f"{which} {tense.could} be tried."
