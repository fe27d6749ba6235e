"""docs/dwa-results.md: every scenario x every policy, in Markdown, from runs made now and never from a stored file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

from dwa.simulate.rivals import WEAKNESSES
from dwa.simulate.runs import CHANCE, HEDGED, ORACLE, OURS, OWN, Pooled
from dwa.simulate.scenarios import FAMILIES, SCENARIOS, Scenario

INTRODUCTION = """\
# How well the balancer chooses

Simulated, on fresh seeds, by `steelyard dwa report`. **Gap closed** is (random - policy) / (random - oracle) of the
mean loss per request: 0 is choosing by chance, 100 is a clairvoyant oracle that knows each host's momentary state but
neither its noise nor the length of the answer. In brackets a 95 % bootstrap interval over the seeds. Loss is what the
objective weighs: seconds, dollars, missing quality and failures the caller sees. Percentiles are means over seeds.

Bars are what the project asks of itself. Hold-out scenarios were not looked at while tuning.
"""


COLUMNS = (
    "policy",
    "gap closed",
    "loss",
    "p50 s",
    "p95 s",
    "p99 s",
    "errors",
    "USD/1000",
    "leave s",
    "return s",
    "explored",
    "Jain",
)


def write(results: Mapping[str, Mapping[str, Pooled]], seeds: range, rivals: range) -> str:
    """The document. `results` maps scenario → policy → numbers, of these seeds and for the rivals of those."""
    told = f"Seeds {seeds.start} to {seeds.stop - 1}, for the rivals up to {rivals.stop - 1}"
    parts = [INTRODUCTION, f"{told}; requests in all {_requests(results):,}.\n"]
    parts.append("## Ours, the bar, and the best rival\n")
    parts += _summary(results)
    parts.append("\n## What each rival gives away\n")
    parts += ["| rival | mean gap | weakness |", "| --- | ---: | --- |"]
    for rival, weakness in WEAKNESSES.items():
        gaps = [found[rival].gap for found in results.values() if rival in found]
        if gaps:
            parts.append(f"| {rival} | {100 * sum(gaps) / len(gaps):.0f} | {weakness} |")
    for family, scenarios in FAMILIES.items():
        known = [one for one in scenarios if one.name in results]
        if known:
            parts.append(f"\n## {family.capitalize()}\n")
            parts += [line for one in known for line in _scenario(one, results[one.name])]
    return "\n".join(parts) + "\n"


def best_rival(found: Mapping[str, Pooled]) -> Pooled | None:
    """The rival that closed most."""
    rivals = [one for name, one in found.items() if name not in (*OWN, ORACLE, CHANCE)]
    return max(rivals, key=lambda one: one.gap) if rivals else None


def verdict(scenario: Scenario, ours: Pooled, rival: Pooled | None) -> str:
    """Whether the bar is met, and whether a rival is better by more than the interval."""
    words: list[str] = []
    if scenario.bar is not None:
        words.append("met" if 100 * ours.gap >= scenario.bar else "missed")
    if rival is not None and rival.gap > ours.high:
        words.append("rival ahead")
    return ", ".join(words)


def percent(one: Pooled) -> str:
    """The gap with its interval."""
    return f"{100 * one.gap:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _requests(results: Mapping[str, Mapping[str, Pooled]]) -> int:
    return sum(one.mean.requests for found in results.values() for one in found.values())


def _summary(results: Mapping[str, Mapping[str, Pooled]]) -> list[str]:
    parts = [
        "| scenario | bar | ours | hedged | best rival | its gap | verdict |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    for name, found in results.items():
        scenario, rival = SCENARIOS[name], best_rival(found)
        if OURS not in found:
            continue
        ours = found[OURS]
        bar = "" if scenario.bar is None else f"{scenario.bar:g}"
        shown = f"{name} (hold-out)" if scenario.holdout else name
        hedged = f"{100 * found[HEDGED].gap:.1f}" if HEDGED in found else ""
        other = ("", "") if rival is None else (rival.policy, f"{100 * rival.gap:.1f}")
        judged = verdict(scenario, ours, rival)
        parts.append(f"| {shown} | {bar} | {percent(ours)} | {hedged} | {other[0]} | {other[1]} | {judged} |")
    return parts


def _scenario(scenario: Scenario, found: Mapping[str, Pooled]) -> Sequence[str]:
    parts = [
        f"### {scenario.name}\n",
        f"{scenario.asks}\n",
        f"| {' | '.join(COLUMNS)} |",
        f"| --- {'| ---: ' * (len(COLUMNS) - 1)}|",
    ]
    for one in sorted(found.values(), key=lambda one: -one.gap):
        mean = one.mean
        cells = [
            f"**{one.policy}**" if one.policy == OURS else one.policy,
            percent(one),
            f"{mean.loss:.4f}",
            f"{mean.p50:.2f}",
            f"{mean.p95:.2f}",
            f"{mean.p99:.2f}",
            f"{100 * mean.seen:.2f} %",
            f"{1000 * mean.cost:.3f}",
            _known(mean.leave_s, ".1f"),
            _known(mean.return_s, ".1f"),
            f"{100 * one.wasted:.1f} %",
            _known(mean.fairness, ".3f"),
        ]
        parts.append(f"| {' | '.join(cells)} |")
    return [*parts, ""]


def _known(value: float, form: str) -> str:
    return "" if isnan(value) else format(value, form)
