"""The published fidelity score is what a run shows: no cell is lost, no reason is stale, no probe is credulous."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fidelity import native, responses, sdk
from tests.fidelity.cells import Cell, Feature, Words, credulous, decide
from tests.fidelity.run import FEATURES, PAGE, PAIRS, README, every_cell, line, page
from tests.fidelity.wire import ASKED, DIALECTS, INGRESSES, PLAIN, Json
from tests.fidelity.world import Heard, World, world

_REWRITE = "`make fidelity` writes it anew"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    return asyncio.run(every_cell(tmp_path_factory.mktemp("fidelity")))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Heard]:
    """What is heard of a question that asks for nothing, by caller and provider."""

    async def asked() -> dict[tuple[str, str], Heard]:
        async with world(tmp_path_factory.mktemp("plain")) as running:
            return {pair: await running.ask(*pair, ASKED[pair[0]], PLAIN[pair[1]], stream=False) for pair in PAIRS}

    return asyncio.run(asked())


def test_there_are_as_many_cells_as_promised(cells: list[Cell]) -> None:
    assert len(cells) == len(FEATURES) * len(INGRESSES) * len(DIALECTS) * 2
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    assert len(FEATURES) >= 25


@pytest.mark.parametrize("words", [responses.WORDS, native.words(FEATURES)], ids=lambda words: words.ingress)
def test_no_words_are_for_a_feature_that_is_none(words: Words) -> None:
    names = {feature.name for feature in FEATURES}
    assert {*words.ask, *words.got, *words.again, *words.gaps, *words.own} <= names


def test_every_caller_asks_for_every_feature_or_has_a_reason() -> None:
    for feature, ingress in itertools.product(FEATURES, INGRESSES):
        assert (ingress in feature.ask) != (f"ask:{ingress}" in feature.gaps), f"{feature.name}: {ingress}"
        # What only an answer shows is looked for in everybody's.
        is_told = ingress in feature.ask and feature.reply and not feature.again
        assert not is_told or ingress in feature.got, f"{feature.name}: {ingress}"


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


def test_no_probe_finds_what_nobody_said(plain: dict[tuple[str, str], Heard]) -> None:
    sent = {name: plain[name, name].sent or {} for name in DIALECTS}
    for provider in DIALECTS:
        told = {ingress: plain[ingress, provider].answer for ingress in INGRESSES}
        assert [found for feature in FEATURES for found in credulous(feature, sent, told)] == []


async def test_the_native_request_refuses_what_it_has_no_field_for(tmp_path: Path) -> None:
    async with world(tmp_path) as running:
        for feature in FEATURES:
            for name in native.strange(ask := feature.ask.get("openai")):
                asked = {**ASKED["orchestrate"], name: (ask or {})[name]}
                heard = await running.ask("orchestrate", "openai", asked, PLAIN["openai"], stream=False)
                assert heard.status == 400
                assert name in heard.answer["error"]["message"]


class _Deaf(World):
    """A gateway that passes on nothing of what is asked, and tells nothing of what is answered."""

    def __init__(self, plain: dict[tuple[str, str], Heard]) -> None:
        self._plain = plain

    async def ask(
        self,
        ingress: str,
        provider: str,
        ask: Json,
        reply: Json,
        *,
        stream: bool,
        drop: bool = False,
        older: bool = False,
    ) -> Heard:
        return replace(self._plain[ingress, provider], told=b"something else")


class _Stubborn(World):
    """A gateway that refuses everything, and says of a field nobody sent that this is why."""

    def __init__(self) -> None:
        """No gateway at all."""

    async def ask(
        self,
        ingress: str,
        provider: str,
        ask: Json,
        reply: Json,
        *,
        stream: bool,
        drop: bool = False,
        older: bool = False,
    ) -> Heard:
        if drop:
            return Heard(200, {"x-steelyard-dropped-params": "made_up"}, b"", {}, None, b"", b"")
        error = {"error": {"message": f"Not supported by {provider}/some-model: made_up. Leave it out."}}
        return Heard(400, {}, json.dumps(error).encode(), error, None, b"", b"")


#: What is carried by saying nothing, a deaf gateway carries as well as any.
_CARRYING = [
    (feature, is_deaf) for feature in FEATURES for is_deaf in (True, False) if not (feature.absence and is_deaf)
]


@pytest.mark.parametrize(
    ("feature", "is_deaf"), _CARRYING, ids=[f"{one.name}-{'deaf' if deaf else 'stubborn'}" for one, deaf in _CARRYING]
)
async def test_a_gateway_that_carries_nothing_keeps_no_cell(
    feature: Feature, is_deaf: bool, plain: dict[tuple[str, str], Heard]
) -> None:
    gateway = _Deaf(plain) if is_deaf else _Stubborn()
    for ingress, provider in PAIRS:
        for stream in (False, True):
            cell = await decide(gateway, feature, ingress, provider, stream)
            assert cell.verdict in ("lost", "impossible"), cell
            # What has no reason is lost.
            assert cell.verdict == "lost" or any(gap.reason == cell.why for gap in feature.gaps.values())


#: Feature, where it has a gap, and a name that is said to be absent there.
_ABSENT = [(one, where, name) for one in FEATURES for where, gap in one.gaps.items() for name in gap.absent]


@pytest.mark.parametrize(
    ("feature", "where", "name"), _ABSENT, ids=[f"{one.name}-{where}-{name}" for one, where, name in _ABSENT]
)
def test_what_is_said_to_be_absent_is_not_in_the_official_sdk(feature: Feature, where: str, name: str) -> None:
    side, _, caller = where.partition(":")
    of_answer = side == "tell" or not feature.sent
    assert name not in (sdk.answered(caller or side) if of_answer else sdk.asked(caller or side))
