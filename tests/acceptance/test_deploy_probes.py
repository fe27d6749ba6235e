"""What containers, probes and balancers ask of a gateway, asked of one that runs: every address they name answers."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.request import urlopen

import pytest

from tests.acceptance.bad_processes import free_port
from tests.acceptance.driving import World
from tests.deployed import KUBERNETES, ROOT, containers, manifests, of_kind

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def healthy(port: int, **environ: str) -> subprocess.CompletedProcess[str]:
    """The health check of the image, as the Dockerfile has it run."""
    command = [sys.executable, "-IS", str(ROOT / "deploy" / "healthy.py")]
    environ = {**os.environ, "STEELYARD_PORT": str(port), **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("environ", [{}, {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}])
def test_a_gateway_that_serves_is_healthy(world: World, environ: dict[str, str]) -> None:
    told = healthy(int(world.url.rpartition(":")[2]), **environ)
    assert (told.returncode, told.stderr) == (0, "")


def test_one_that_is_not_there_is_not() -> None:
    told = healthy(free_port())
    assert told.returncode == 1
    assert "no answer on port" in told.stderr


def test_every_probe_of_kubernetes_is_answered(world: World) -> None:
    (gateway,) = [
        one
        for deployment in of_kind(manifests(KUBERNETES / "base"), "Deployment")
        for one in containers(deployment)
        if one["name"] == "gateway"
    ]
    for probe in PROBES:
        asked = gateway[probe]["httpGet"]
        assert asked["port"] in {port["name"] for port in gateway["ports"]}
        with urlopen(world.url + asked["path"], timeout=20) as answer:  # loopback only
            assert answer.status == 200
