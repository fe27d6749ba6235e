"""Prometheus's own tool reads our configuration and rules, and runs the tests of every alert (prometheus/tests)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.operated import ROOT, RULES
from tests.acceptance.prometheus_server import CONFIGURATION, WITHOUT, configuration, found

_PROMTOOL = found("promtool")
pytestmark = pytest.mark.skipif(_PROMTOOL is None, reason=WITHOUT)
_TESTS = sorted((ROOT / "prometheus" / "tests").glob("*.yml"))


def _promtool(*arguments: object) -> None:
    assert _PROMTOOL is not None
    done = subprocess.run([_PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_our_configuration() -> None:
    # Whether the file of the credentials is there is the deployment's business.
    _promtool("check", "config", "--syntax-only", CONFIGURATION)


def test_prometheus_understands_the_configuration_of_the_tests(tmp_path: Path) -> None:
    """With every file that it names."""
    _promtool("check", "config", configuration(tmp_path, 1, "key", 2))


def test_prometheus_understands_our_rules() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)


@pytest.mark.parametrize("path", _TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_must_and_are_silent_when_not(path: Path) -> None:
    _promtool("test", "rules", path)
