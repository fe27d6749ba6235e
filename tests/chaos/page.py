"""`docs/reliability.md`, written from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.chaos.measuring import CALM, PACE, Outcome
from tests.chaos.world import BUDGET

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_INTRODUCTION = f"""# Reliability

What Steelyard depends on is made to fail while callers keep coming, and everything is counted. `make chaos` does it
anywhere in less than ten minutes and writes this page; it needs nothing but what the tests need.

`steelyard serve` with four simulated providers over HTTP, a real PostgreSQL and a real Redis behind proxies that can be
slow, hang or cut, or SQLite; cases of the same setting befall one and the same gateway, one after another. Callers come
{PACE:g} times a second in two dialects, whole and streamed, some with what the cache knows: {CALM:g} s of calm, then
the case for some seconds, then its end, and again {CALM:g} s of calm.

- **answered**: the whole and right answer, with a clean end. **budget spent**: 429 `insufficient_quota`. **refused**:
  an error that says why and when to come again. **cut off**: anything else.
- **rows lost**: requests answered with 200 whose id is not in the log at the end; compared one by one.
- **budgets exceeded**: one caller in ten has a key with a budget that is spent while the case happens; 1 if its
  requests have cost more than that and one request. **of a budget**: what they have cost.
- **waited**: what 19 of 20 callers without a budget waited at most, before and during the case, on the machine that
  wrote this: two cores, shared with others. (Whoever has a budget of which a killed process of another machine
  had leased the rest waits until that is taken for dead, for 45 s at most.)
- **well after**: seconds from the beginning of mending (the start of a server included) until `/api/health` has every
  service healthy and no row waits on the disk.
"""


def page(outcomes: Sequence[Outcome], left_out: Sequence[str], unwell: Sequence[str] = ()) -> str:
    """The whole page; `unwell` are cases after which the gateway did not recover, or which did not happen."""
    asked = sum(one.asked for one in outcomes)
    lost = sum(one.lost for one in outcomes)
    exceeded = sum(one.spent.too_much for one in outcomes)
    counts = [f"{sum(one.told(name) for one in outcomes):,}" for name in _VERDICTS]
    rows = [
        [
            "case",
            "asked",
            *_VERDICTS.values(),
            "rows lost",
            "budgets exceeded",
            "of a budget",
            "waited, s",
            "well after, s",
        ],
        *(_row(one) for one in outcomes),
        ["**all**", f"{asked:,}", *counts, f"**{lost}**", f"**{exceeded}**", "", "", ""],
    ]
    written = [_INTRODUCTION, _table(rows)]
    if notes := [f"- {one.case.name}: {one.case.unanswered}." for one in outcomes if one.case.unanswered]:
        written += ["Who may be cut off or refused there:\n", "\n".join(notes) + "\n"]
    if faults := [f"- {one.case.name}: {'; '.join(one.faults)}" for one in outcomes if one.faults]:
        written += ["**Not passed:**\n", "\n".join(faults) + "\n"]
    if unwell:
        written += ["**Not to be had (no recovery, or no fault):**\n", "\n".join(f"- {x}" for x in unwell) + "\n"]
    if left_out:
        written += ["Left out, as this machine lets us mount no small disk:\n", "\n".join(f"- {x}" for x in left_out)]
    return "\n".join(written)


_VERDICTS = {"answered": "answered", "spent": "budget spent", "refused": "refused", "broken": "cut off"}


def _row(one: Outcome) -> list[str]:
    counts = [str(one.told(name)) for name in _VERDICTS]
    spent = [str(int(one.spent.too_much)), f"{one.spent.all / BUDGET:.0%}"]
    waited = f"{one.calm:.2f} → {one.during:.2f}"
    return [one.case.name, str(one.asked), *counts, str(one.lost), *spent, waited, f"{one.recovered:.1f}"]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "| --- |" + " ---: |" * (len(rows[0]) - 1), *rest]) + "\n"
