"""The judge's settings: off by default, and checked against what is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, load

OPENAI = {"OPENAI_API_KEY": "k"}


def written(folder: Path, text: str) -> Path:
    path = folder / "steelyard.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_by_default_there_is_no_judge() -> None:
    assert load(OPENAI).judge.model is None


def test_variables_make_one() -> None:
    chosen = {
        "STEELYARD_JUDGE_MODEL": "gpt-4o-mini",
        "STEELYARD_JUDGE_SAMPLE": "0.5",
        "STEELYARD_JUDGE_BUDGET_USD": "3",
    }
    judge = load(OPENAI | chosen).judge
    assert (judge.model, judge.sample, judge.budget_usd) == ("gpt-4o-mini", 0.5, 3.0)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "openai/gpt-4o-mini", "auto", "mine"])
def test_a_model_a_deployment_or_a_route_may_judge(tmp_path: Path, model: str) -> None:
    config = written(tmp_path, f"routes: {{mine: {{targets: [openai/gpt-4o-mini]}}}}\njudge: {{model: {model}}}\n")
    assert load(OPENAI, config=config).judge.model == model


def test_a_route_may_abstain(tmp_path: Path) -> None:
    routes = "{open: {targets: [openai/gpt-4o-mini]}, private: {targets: [openai/gpt-4o-mini], judge: false}}"
    found = load(OPENAI, config=written(tmp_path, f"routes: {routes}\n")).routes
    assert {name: route.judge for name, route in found.items()} == {"open": True, "private": False}


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"STEELYARD_JUDGE_MODEL": "gpt-4o-mni"}, "STEELYARD_JUDGE_MODEL (environment): there is no model or route"),
        ({"STEELYARD_JUDGE_MODEL": "gpt-4o-mni"}, "gpt-4o-mini"),
        ({"STEELYARD_JUDGE_SAMPLE": "1.5"}, "a number from 0 to 1"),
        ({"STEELYARD_JUDGE_BUDGET_USD": "-1"}, "0 or more"),
        ({"STEELYARD_API_KEYS": "judge:0123456789abcdef"}, "a name of the gateway's own"),
    ],
)
def test_what_cannot_be_is_told(environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(OPENAI | environ)
    assert told in str(caught.value)


def test_the_simulators_models_are_not_known_before_it_runs() -> None:
    assert load({"STEELYARD_JUDGE_MODEL": "sim-chat"}).judge.model == "sim-chat"
