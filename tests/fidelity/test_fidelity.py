"""The published fidelity score is what a run shows: no cell is lost, no reason is stale, no probe is credulous."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fidelity import sdk
from tests.fidelity.asking import a, g, o
from tests.fidelity.cells import Cell, Feature, credulous
from tests.fidelity.run import FEATURES, PAGE, README, every_cell, line, page
from tests.fidelity.wire import PLAIN
from tests.fidelity.world import world

_PLAINLY = {"openai": o(), "anthropic": a(), "gemini": g()}
_REWRITE = "`make fidelity` writes it anew"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    return asyncio.run(every_cell(tmp_path_factory.mktemp("fidelity")))


def test_there_are_as_many_cells_as_promised(cells: list[Cell]) -> None:
    assert len(cells) == len(FEATURES) * 3 * 3 * 2
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    assert len(FEATURES) >= 25


def test_no_cell_is_lost(cells: list[Cell]) -> None:
    assert [cell for cell in cells if cell.verdict not in ("exact", "equivalent", "refused", "impossible")] == []


def test_one_format_on_both_sides_is_exact_where_it_can_be_asked(cells: list[Cell]) -> None:
    verdicts = {cell.verdict for cell in cells if cell.ingress == cell.provider}
    moving = {feature.name for feature in FEATURES if feature.moves}
    assert verdicts == {"exact", "equivalent", "impossible"}
    for cell in cells:
        if cell.ingress == cell.provider and cell.verdict == "equivalent":
            # Its second turn went to another provider.
            assert cell.feature in moving


def test_the_page_is_what_the_run_shows(cells: list[Cell]) -> None:
    assert PAGE.read_text() == page(cells), f"docs/fidelity.md is not what the run shows; {_REWRITE}"


def test_the_readme_says_the_score(cells: list[Cell]) -> None:
    assert line(cells) in README.read_text(), f"the README's line is not what the run shows; {_REWRITE}"


def test_every_reason_is_used(cells: list[Cell]) -> None:
    used = {(cell.feature, cell.why) for cell in cells if cell.verdict == "impossible"}
    for feature in FEATURES:
        for where, gap in feature.gaps.items():
            assert (feature.name, gap.reason) in used, f"{feature.name}: nothing is impossible for {where}"


async def test_no_probe_finds_what_nobody_said(tmp_path: Path) -> None:
    async with world(tmp_path) as running:
        sent = {
            name: (await running.ask(name, name, ask, PLAIN[name], stream=False)).sent or {}
            for name, ask in _PLAINLY.items()
        }
    assert [found for feature in FEATURES for found in credulous(feature, sent)] == []


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_is_said_to_be_absent_is_not_in_the_official_sdk(feature: Feature) -> None:
    for where, gap in feature.gaps.items():
        side, _, caller = where.partition(":")
        of_answer = side == "tell" or not feature.sent
        known = sdk.answered(caller or side) if of_answer else sdk.asked(caller or side)
        for name in gap.absent:
            assert name not in known, f"{feature.name}: {where} knows {name}"
