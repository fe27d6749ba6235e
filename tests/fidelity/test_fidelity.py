"""The published fidelity score is what a run shows: no cell is lost, no reason is stale, no probe is credulous."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest

from tests.fidelity import sdk
from tests.fidelity.cells import Cell, Feature, credulous, decide
from tests.fidelity.run import FEATURES, PAGE, README, every_cell, line, page
from tests.fidelity.wire import ASKED, DIALECTS, PLAIN, Json
from tests.fidelity.world import Heard, World, world

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
            for name, ask in ASKED.items()
        }
    assert [found for feature in FEATURES for found in credulous(feature, sent)] == []


class _Deaf(World):
    """A gateway that passes on nothing of what is asked, and tells nothing of what is answered."""

    def __init__(self) -> None:
        """No gateway at all."""

    async def ask(
        self, ingress: str, provider: str, ask: Json, reply: Json, *, stream: bool, drop: bool = False
    ) -> Heard:
        raw = json.dumps(ASKED[provider]).encode()
        body = json.dumps(PLAIN[ingress]).encode()
        return Heard(200, {}, body, PLAIN[ingress], ASKED[provider], raw, b"told")


class _Stubborn(World):
    """A gateway that refuses everything, and says of a field nobody sent that this is why."""

    def __init__(self) -> None:
        """No gateway at all."""

    async def ask(
        self, ingress: str, provider: str, ask: Json, reply: Json, *, stream: bool, drop: bool = False
    ) -> Heard:
        if drop:
            return Heard(200, {"x-steelyard-dropped-params": "made_up"}, b"", PLAIN[ingress], None, b"", b"")
        error = {"error": {"message": f"Not supported by {provider}/some-model: made_up. Leave it out."}}
        return Heard(400, {}, json.dumps(error).encode(), error, None, b"", b"")


@pytest.mark.parametrize("gateway", [_Deaf(), _Stubborn()])
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
async def test_a_gateway_that_carries_nothing_keeps_no_cell(feature: Feature, gateway: World) -> None:
    if feature.absence and isinstance(gateway, _Deaf):
        return
    for ingress, provider in itertools.product(DIALECTS, DIALECTS):
        for stream in (False, True):
            cell = await decide(gateway, feature, ingress, provider, stream)
            assert cell.verdict in ("lost", "impossible"), cell
            # What has no reason is lost.
            assert cell.verdict == "lost" or any(gap.reason == cell.why for gap in feature.gaps.values())


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_is_said_to_be_absent_is_not_in_the_official_sdk(feature: Feature) -> None:
    for where, gap in feature.gaps.items():
        side, _, caller = where.partition(":")
        of_answer = side == "tell" or not feature.sent
        known = sdk.answered(caller or side) if of_answer else sdk.asked(caller or side)
        for name in gap.absent:
            assert name not in known, f"{feature.name}: {where} knows {name}"
