"""What is pinned in two places is pinned alike, and what is installed is held by hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What is installed, and what its wheel is built with.
every_lock = pytest.mark.parametrize("lock", ["requirements.lock", "deploy/build.lock"])


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", one).lower(): version for one, version in found}


@every_lock
def test_hashes_are_of_the_versions_that_everything_is_tested_with(lock: str) -> None:
    constraints, locked = pins("constraints.txt"), pins(lock)
    assert locked
    assert {name: constraints.get(name) for name in locked} == locked


@every_lock
def test_every_locked_line_has_a_hash(lock: str) -> None:
    lines = [one for one in (ROOT / lock).read_text().splitlines() if not one.startswith("#")]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_what_we_name_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[^\w.-]", one)[0].lower().replace("_", "-") for one in named}
    assert names <= pins("requirements.lock").keys()


def test_the_wheel_is_built_with_what_it_asks_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {re.split(r"[^\w.-]", one)[0] for one in asked} <= pins("deploy/build.lock").keys()
