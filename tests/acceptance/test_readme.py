"""Every snippet of the README, run against a running gateway: what it shows is what a stranger gets."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gateway.settings import load
from gateway.settings.reference import env_example, readme_table
from providers import simulator
from tests.serving import Serving, settings_in, simulated, with_worker

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
ADDRESS = "http://localhost:8000"


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    cast = simulator.instant(simulator.default_cast())
    settings = with_worker(settings_in(tmp_path_factory.mktemp("readme")))
    with simulator.start(cast) as running, Serving(simulated(settings, running, cast)) as serving:
        yield serving


def curl(command: str, address: str) -> tuple[int, str]:
    """What `curl` would get: enough of it for the README, so that a machine without it can run this."""
    words = shlex.split(command.replace("\\\n", " ").replace(ADDRESS, address))
    assert words[0] == "curl"
    url, data, headers, method = "", None, dict[str, str](), None
    rest = iter(words[1:])
    for word in rest:
        if word in {"-d", "--data"}:
            data = next(rest).encode()
        elif word in {"-H", "--header"}:
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif word in {"-X", "--request"}:
            method = next(rest)
        elif not word.startswith("-"):
            url = word
    if data is not None:
        headers.setdefault("content-type", "application/json")
    try:
        with urlopen(Request(url, data, headers, method=method), timeout=20) as answer:  # loopback only
            return answer.status, answer.read().decode()
    except HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


@pytest.mark.parametrize("command", [line for text in blocks("sh") for line in re.split(r"(?<!\\)\n", text)])
def test_a_shell_line_works(command: str, gateway: Serving) -> None:
    if command.startswith("curl"):
        status, body = curl(command, gateway.url)
        assert status == 200, body
    elif command.startswith("make "):
        verb = command.split()[1]
        assert re.search(rf"^{verb}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"make has no verb {verb}"
    elif command.startswith("steelyard "):
        words = shlex.split(command, comments=True)[1:]
        shown = subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stderr
    else:
        assert not command.strip() or command.startswith(("#", "git ", "cd ")), f"no test knows how to run: {command}"


@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_snippet_runs(code: str, gateway: Serving, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(code.replace(ADDRESS, gateway.url))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "[simulated]" in done.stdout


@pytest.mark.parametrize("text", blocks("yaml"))
def test_a_configuration_loads(text: str, tmp_path: Path) -> None:
    config = tmp_path / "steelyard.yaml"
    config.write_text(text)
    settings = load({"OPENAI_API_KEY": "k1", "ANTHROPIC_API_KEY": "k2", "TEAM_KEY": "k3" * 20}, config=config)
    assert settings.providers


def test_the_shown_answer_has_the_fields_of_a_real_one(gateway: Serving) -> None:
    shown = json.loads(blocks("json")[0])
    command = next(line for text in blocks("sh") for line in re.split(r"(?<!\\)\n", text) if "orchestrate" in line)
    real = json.loads(curl(command, gateway.url)[1])
    assert shown.keys() == real.keys()
    answer = real["results"][0]
    # Whoever happens to answer: Gemini's API tells no tier.
    dialects = {one.name: one.dialect for one in simulator.default_cast().providers}
    silent = {"service_tier"} if dialects[answer["provider"]] == "gemini" else set[str]()
    assert shown["results"][0].keys() - silent == answer.keys()
    assert shown["metadata"].keys() == real["metadata"].keys()


def test_the_table_of_variables_is_the_generated_one() -> None:
    assert readme_table() in README


def test_the_example_environment_is_the_generated_one() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()
