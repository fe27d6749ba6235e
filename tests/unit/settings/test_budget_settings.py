"""Budgets in the configuration: of keys, of tags, of providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import SettingsError, load
from gateway.settings.limits import Budget

_FILE = """
keys:
  - {name: batch, key: 0123456789abcdef, tags: [nightly], budget: {usd: 50, soft: 0.5}}
budgets:
  tags:
    nightly: {usd: 200, period: week}
providers:
  openai: {api_key: x, budget: {usd: 0.5, period: total}}
"""


def _loaded(folder: Path, text: str) -> object:
    path = folder / "steelyard.yaml"
    path.write_text(text)
    return load({}, config=path)


def test_budgets_are_of_keys_tags_and_providers(tmp_path: Path) -> None:
    path = tmp_path / "steelyard.yaml"
    path.write_text(_FILE)
    settings = load({}, config=path)
    assert settings.keys[0].budget == Budget(usd=50, period="month", soft=0.5)
    assert settings.budgets.tags == {"nightly": Budget(usd=200, period="week", soft=0.8)}
    assert settings.providers["openai"].budget == Budget(usd=0.5, period="total")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("budgets: {tags: {a: {usd: 0}}}", r"budgets\.tags\.a\.usd"),
        ("budgets: {tags: {a: {usd: 1, period: fortnight}}}", "month"),
        ("budgets: {tag: {a: {usd: 1}}}", "tags"),
        ("providers: {openai: {api_key: x, budget: {usd: 1, soft: 2}}}", "soft"),
    ],
)
def test_what_is_no_budget_is_told_by_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        _loaded(tmp_path, text)
