"""docs/workflows.md and examples/workflows/README.md, followed to the letter: every command, in their order.

The gateway is what `make run` serves without any setting; a second `make run` comes after a `kill -9`. Commands are run
by bash, which keeps the variables from block to block, in a folder that looks like a clone after `make run`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bad_days import PATIENCE
from tests.acceptance.bad_processes import ROOT, Program, a_program
from tests.serving import until

DOCUMENT = (ROOT / "docs" / "workflows.md").read_text()
BESIDE = (ROOT / "examples" / "workflows" / "README.md").read_text()
START = "make run"
#: What a reader's pause is for, on a machine of any speed: his execution asks for his word.
WAITING = """until curl -s localhost:8000/api/executions/$ID | \\
    python -c 'import json, sys; sys.exit(json.load(sys.stdin)["status"] != "waiting")'; do sleep 0.2; done"""
#: Begins something that must be at work when the gateway is killed.
AT_WORK = "long-document --detach"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Worker(Program):
    """`steelyard worker`."""

    def _worded(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "gateway", "worker", *arguments]


class Terminal:
    """The stranger's second terminal."""

    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = folder
        self._program = program
        bin_ = folder / ".venv" / "bin"
        bin_.mkdir(parents=True)
        curl = f'"{sys.executable}" "{ROOT}/tests/acceptance/as_curl.py"'
        python = f'"{sys.executable}"'
        for name, command in (("steelyard", f"{python} -m gateway"), ("python", python), ("curl", curl)):
            script = bin_ / name
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)
        for name in ("examples", "docs"):
            (folder / name).symlink_to(ROOT / name)
        self._kept = folder / "kept.sh"
        self._kept.write_text("")

    def type(self, block: str) -> str:
        """Run the commands of a block; what they print. Fail when one of them does."""
        block = re.sub(r"^sleep \d+$", WAITING, block, flags=re.MULTILINE)
        block = block.replace("localhost:8000", f"127.0.0.1:{self._program.port}")
        script = f". ./kept.sh\nset -a\n{block}\nexport -p > kept.sh"
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "STEELYARD_URL": self._program.url}
        environ["PATH"] = f"{self.folder}/.venv/bin:{environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}\n{self._program.said.read_text()[-3000:]}"
        return done.stdout

    def kept(self, name: str) -> str:
        """The value of a variable."""
        found = re.search(rf'^declare -x {name}="(.*)"$', self._kept.read_text(), re.MULTILINE)
        assert found, name
        return found[1]

    def steps(self) -> list[dict[str, Any]]:
        """The steps of the execution that `$ID` names."""
        return json.loads(self.type(f"curl -s localhost:8000/api/executions/{self.kept('ID')}/node-executions"))[
            "steps"
        ]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with a_program(tmp_path / "clone") as made:
        yield made


def begun(terminal: Terminal) -> bool:
    return any(one["node_id"] == "chapters" for one in terminal.steps())


@pytest.mark.timeout(300)
def test_a_stranger_who_follows_it_gets_what_it_says(program: Program, tmp_path: Path) -> None:
    terminal = Terminal(program.folder, program)
    (program.folder / "plan-review.yaml").write_text(blocks(DOCUMENT, "yaml")[0])
    said: dict[str, str] = {}
    for block in [one for text in (DOCUMENT, BESIDE) for one in blocks(text, "sh")]:
        lines = block.strip().splitlines()
        if (starting := lines[0].split())[-2:] == START.split():
            program.export(**dict(word.split("=") for word in starting[:-2]))
            program.kill()
            program.start(really=True)
            block = block.partition(START)[2]
        if lines[0].startswith(("steelyard serve", "steelyard worker")):
            stay(lines, tmp_path / "split")
        elif block.strip():
            said[block] = terminal.type(block)
            if AT_WORK in block and START not in block and "resume" not in block:
                until(lambda: begun(terminal), within=PATIENCE)
    told(said)
    assert (program.folder / "files" / "Bread.md").read_text().startswith("# simulated")


def told(said: dict[str, str]) -> None:
    """What came out where the document says what does."""

    def after(words: str) -> str:
        found = [out for block, out in said.items() if words in block]
        assert found, words
        return found[0]

    waiting = answer(after("sleep 5"))
    assert waiting["status"] == "waiting"
    assert {one["node_id"]: one["status"] for one in waiting["node_states"]}["gate"] == "waiting"
    assert "Not before Monday." in after('"decision": "approve"')
    assert "execution.completed" in after('"decision": "approve"')
    [watched] = [out for block, out in said.items() if block.strip() == "steelyard workflows watch $ID"]
    assert "execution.completed" in watched
    assert watched.count("step.succeeded outline") == 1
    assert watched.count("step.started chapters[") > 3  # it was at work when it was killed
    assert "1 call is saved." in after("workflows resume $ID")
    assert "It was rejected: Too long." in after("workflows resume $ID")
    assert answer(after("execute?wait=60"))["outputs"]["verdict"].startswith("[simulated] ")
    assert "verdict:" in after('--input topic="')
    assert len(answer(after("nightly-digest.yaml"))["next_times"]) == 6
    assert "average:" in after("run business-plan-review")
    assert "# simulated" in after("/content")


def answer(said: str) -> Any:
    """What `curl` printed last."""
    return json.loads(said.splitlines()[-1])


def stay(lines: Sequence[str], folder: Path) -> None:
    """Programs that stay: each begins as it is written, gets ready, and leaves when it is asked to."""
    for line in lines:
        command, *arguments = line.removeprefix("steelyard ").split()
        made = (Worker if command == "worker" else Program)(folder, None, *arguments)
        process = made.begin()
        try:
            if command == "worker":
                until(lambda made=made: made.told("running executions"), within=PATIENCE)
            else:
                made.until_ready(process)
            made.terminate()
            assert process.wait(PATIENCE) == 0, made.said.read_text()
        finally:
            made.kill()


def test_there_is_a_shell_to_run_it() -> None:
    assert shutil.which("bash")


def test_every_kind_of_block_is_looked_at() -> None:
    languages = set(re.findall(r"^```(\w*)$", DOCUMENT + BESIDE, re.MULTILINE)) - {""}
    assert languages == {"sh", "yaml"}
