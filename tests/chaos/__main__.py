"""`make chaos`: make everything fail that Steelyard depends on, under load, and write `docs/reliability.md`.

Exit code 1 when a row is lost, a budget exceeded, a caller left without an answer where none may be, or when a gateway
does not recover; the page tells of it, too. `--only WORDS` runs the cases whose names contain them, and writes no page.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.processes import prepare
from tests.chaos.cases import CASES, Case
from tests.chaos.measuring import Outcome, run
from tests.chaos.page import PAGE, page
from tests.chaos.services import Postgres, a_postgres, may_mount
from tests.chaos.world import BUDGET, World, a_world

console = Console(stderr=True, highlight=False)


class Options(argparse.Namespace):
    """What was asked for."""

    only: str
    keep: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make chaos ARGS="…"', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="run the cases whose names contain these words, and write nothing")
    parser.add_argument("--keep", action="store_true", help="leave what the gateways said, and where")
    return parser.parse_args(arguments, Options())


async def _one(case: Case, title: str, world: World) -> Outcome | None:
    """Run a case and say what came of it; None when nothing did."""
    with console.status(title) as status:
        try:
            outcome = await run(case, CASES.index(case), world, lambda what: status.update(f"{title}: {what}"))
        except Exception as exc:  # noqa: BLE001 - told, and the other cases go on
            console.print(f"[red]✗[/] {title}: {type(exc).__name__}: {str(exc)[:500]}", soft_wrap=True)
            return None
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted((outcome.verdicts + outcome.thrifty).items()))
    waited = f"waited {outcome.calm:.2f} → {outcome.during:.2f} s, well after {outcome.recovered:.1f} s"
    spent = f"{outcome.spent.all / BUDGET:.0%} of a budget spent"
    mark = "[red]✗[/]" if outcome.faults else "[green]✓[/]"
    console.print(f"{mark} {title}: {told}; {outcome.lost} rows lost; {spent}; {waited}", soft_wrap=True)
    for why in outcome.faults:
        console.print(f"    {why}", soft_wrap=True, markup=False)
    return outcome


async def _all(cases: Sequence[Case], folder: Path, shared: Postgres) -> list[Outcome | None]:
    """Cases of the same layout befall the same gateway, one after another; one that does not recover is replaced."""
    told: list[Outcome | None] = []
    while len(told) < len(cases):
        layout = cases[len(told)].layout
        async with a_world(layout, folder / str(len(told)), shared) as world:
            while len(told) < len(cases) and cases[len(told)].layout == layout:
                case = cases[len(told)]
                told.append(await _one(case, f"{len(told) + 1:2}/{len(cases)} {case.name}", world))
                if told[-1] is None:
                    break
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write, and say what came of it."""
    asked = parse(arguments)
    prepare()
    began = time.monotonic()
    cases = [case for case in CASES if asked.only.lower() in case.name.lower()]
    left_out = [] if may_mount() else [case.name for case in cases if case.layout.disk]
    folder = Path(tempfile.mkdtemp(prefix="steelyard-chaos-"))
    try:
        with a_postgres(folder / "pg") as shared:
            chosen = [case for case in cases if case.name not in left_out]
            told = asyncio.run(_all(chosen, folder, shared))
    finally:
        if asked.keep:
            console.print(f"What was said is in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    outcomes = [one for one in told if one is not None]
    failed = sum(one is None or bool(one.faults) for one in told)
    minutes = (time.monotonic() - began) / 60
    console.print(f"{len(told)} cases in {minutes:.1f} minutes; {failed} failed.")
    if not asked.only:
        unwell = [case.name for case, one in zip(chosen, told, strict=True) if one is None]
        PAGE.write_text(page(outcomes, left_out, unwell))
        console.print(f"Written to {PAGE}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
