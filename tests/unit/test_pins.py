"""What is pinned in two places is pinned alike, and what is installed is held by hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", one).lower(): version for one, version in found}


def test_hashes_are_of_the_versions_that_everything_is_tested_with() -> None:
    constraints, locked = pins("constraints.txt"), pins("requirements.lock")
    assert locked
    assert {name: constraints.get(name) for name in locked} == locked


def test_every_locked_line_has_a_hash() -> None:
    lines = [one for one in (ROOT / "requirements.lock").read_text().splitlines() if not one.startswith("#")]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_what_we_name_is_locked() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in named}
    assert names <= pins("requirements.lock").keys()
