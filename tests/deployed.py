"""The files of Dockerfile, compose, Kubernetes and systemd as data, for the tests that hold them to the product."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import rich_click as click
import yaml

from gateway.cli import main
from gateway.settings.environment import API_KEYS, options
from providers import PROVIDERS

ROOT = Path(__file__).parents[1]
COMPOSE = ("docker-compose.yml", "docker-compose.dev.yml", "docker-compose.prod.yml")
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production")
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
KUBECTL = shutil.which("kubectl")


@cache
def compose(name: str) -> dict[str, Any]:
    """A compose file as it is written, anchors resolved and nothing merged."""
    return yaml.safe_load((ROOT / name).read_text())


def services(name: str) -> dict[str, dict[str, Any]]:
    """Its services."""
    return compose(name)["services"]


def ours(name: str = "docker-compose.yml") -> dict[str, dict[str, Any]]:
    """The services of that file that run Steelyard, as docker-compose.yml says which."""
    made = {one for one, service in services("docker-compose.yml").items() if "steelyard" in service["image"]}
    return {one: service for one, service in services(name).items() if one in made}


@cache
def manifests(folder: Path) -> tuple[dict[str, Any], ...]:
    """Every object written in a folder of Kubernetes files, kustomizations and the adapter's values left out."""
    left_out = {"kustomization.yaml", "steelyard.yaml", "prometheus-adapter-values.yaml"}
    files = sorted(path for path in folder.rglob("*.yaml") if path.name not in left_out)
    return tuple(one for path in files for one in yaml.safe_load_all(path.read_text()))


@cache
def rendered(overlay: str) -> str:
    """An overlay as it would be applied."""
    assert KUBECTL is not None
    command = [KUBECTL, "kustomize", str(KUBERNETES / "overlays" / overlay)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def of_kind(objects: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    """Those of one kind."""
    return [one for one in objects if one["kind"] == kind]


def containers(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a Deployment's pods all, those that come first included."""
    pod = deployment["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod.get("containers", ())]


def unit(path: Path) -> dict[str, list[str]]:
    """What a systemd unit says, by key, each key's lines in their order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile, with their words, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    split = (line.partition(" ") for line in lines if line.strip())
    return [(name, words.strip()) for name, _, words in split]


def understood(arguments: list[str]) -> None:
    """Fail unless the command line is one that `steelyard` knows; nothing is run."""
    context = click.Context(main, info_name="steelyard")
    command: Any = main
    while isinstance(command, click.Group):
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        context = found.make_context(name, arguments, parent=context) if not isinstance(found, click.Group) else context
        command = found


def secret_variables() -> set[str]:
    """Names of the variables whose value is a secret, and may hence only be `file:…`."""
    keys = {name for provider in PROVIDERS for name in provider.key_variables}
    return {API_KEYS, *keys, *(option.env for option in options() if option.kind.secret)}


def tool(name: str) -> str | None:
    """A program of the dependency group `deploy`, or of this machine."""
    own = Path(sys.executable).with_name(name)
    return str(own) if own.exists() else shutil.which(name)


def said_by(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a program says, and its exit code."""
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=60
    )


def seconds(text: str) -> float:
    """A duration of compose, such as 90s."""
    assert text.endswith("s"), text
    return float(text.removesuffix("s"))
