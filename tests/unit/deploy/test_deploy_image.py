"""The Dockerfile copies what there is, installs what is locked, and runs as nobody. Its style is hadolint's."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch

import pytest

from tests import deployed
from tests.deployed import ROOT, dockerfile, said_by, understood

STEPS = dockerfile()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def words(name: str) -> list[str]:
    return [said for instruction, said in STEPS if instruction == name]


def copied() -> list[str]:
    """What is copied from the repository."""
    found: list[str] = []
    for said in words("COPY"):
        *sources, _ = [word for word in said.split() if not word.startswith("--")]
        found += [] if "--from=" in said else sources
    return found


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = deployed.tool("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (group `deploy`)")
    told = said_by(hadolint, "--failure-threshold", "style", "Dockerfile")
    assert (told.returncode, told.stdout) == (0, "")


def test_what_it_copies_is_there_and_nothing_else_reaches_it() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert sorted(copied()) == sorted(allowed)
    assert [one for one in copied() if not (ROOT / one).exists()] == []
    assert not [one for one in allowed if fnmatch(one, "secrets*") or fnmatch(one, ".env*")]


def test_the_wheel_is_made_of_every_package() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied())


def test_the_image_has_the_dwa_compiled_or_is_not_built() -> None:
    (build,) = [said for said in words("RUN") if "pip wheel" in said]
    assert build.startswith("HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 ")
    assert "sys.exit(not dwa.native.is_compiled())" in build
    assert any(" gcc " in said for said in words("RUN"))


def test_everything_is_installed_by_hash() -> None:
    installs = [one for said in words("RUN") for one in said.split("&&") if "pip" in one and " install " in one]
    assert len(installs) == 3
    for one in installs:
        assert "--no-deps" in one
        assert "--require-hashes" in one or "--no-index" in one


def test_the_interpreter_is_the_one_of_the_locks() -> None:
    (image,) = [said for said in words("ARG") if said.startswith("PYTHON_IMAGE=")]
    minor = re.search(r"CPython (\d+\.\d+)", (ROOT / "requirements.lock").read_text())
    assert minor is not None
    assert re.fullmatch(rf"PYTHON_IMAGE=python:{re.escape(minor[1])}\.\d+-slim-\w+", image)
    assert all(said.startswith("${PYTHON_IMAGE}") for said in words("FROM"))


def test_it_says_which_version_it_is() -> None:
    assert f"VERSION={PROJECT['project']['version']}" in words("ARG")
    assert 'org.opencontainers.image.version="${VERSION}"' in words("LABEL")[0]


def test_it_runs_as_nobody_and_is_asked_how_it_is() -> None:
    names = [name for name, _ in STEPS]
    assert words("USER") == ["10001:10001"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    check = words("HEALTHCHECK")[0]
    assert "/opt/steelyard/healthy.py" in check
    assert any(said.endswith("deploy/healthy.py /opt/steelyard/healthy.py") for said in words("COPY"))
    assert words("ENTRYPOINT") == ['["steelyard"]']
    understood(["serve"])
