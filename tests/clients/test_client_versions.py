"""The README names the clients with the versions that are tested. This needs none of them."""

from __future__ import annotations

import json
import re

import pytest

from tests.acceptance.bad_processes import ROOT
from tests.clients.clients_world import HERE
from tests.clients.them import CLIENTS

_ROW = re.compile(r"^\| [^|]*?`([^`]+)`[^|]*\| ([0-9.]+) \|", re.MULTILINE)


def _pinned() -> dict[str, str]:
    """Every package that is installed for the tests, with its version."""
    found: dict[str, str] = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    for home in sorted({client.home for client in CLIENTS} - {"node"}):
        lines = (HERE / "python" / f"{home}.txt").read_text().splitlines()
        found = dict(line.split("==") for line in lines if "==" in line) | found
    return found


def _told() -> list[tuple[str, str]]:
    return _ROW.findall((ROOT / "README.md").read_text().partition("### Clients that are tested")[2])


def test_every_script_is_some_clients() -> None:
    scripts = {path.name for path in (*HERE.glob("node/*.mjs"), *HERE.glob("python/*.py")) if path.stem != "obeying"}
    assert scripts == {client.script for client in CLIENTS}


def test_the_readme_tells_of_as_many_clients_as_there_are() -> None:
    assert len(_told()) == 11


@pytest.mark.parametrize(("package", "version"), _told())
def test_the_readme_names_the_version_that_is_tested(package: str, version: str) -> None:
    pinned = _pinned()
    # The npm package of that name is told first, and pinned exactly.
    assert pinned[package] == version
