"""`steelyard workflows …` against a running gateway."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

from gateway.cli import main
from gateway.cli.workflows.calling import Caller
from gateway.cli.workflows.watching import Node, Picture
from tests.acceptance.bad_processes import free_port
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, OPENAI, World, with_keys, world_in
from tests.serving import until, with_worker

TONES = ["dry", "warm"]
LETTER: dict[str, Any] = {
    "slug": "letter",
    "name": "Letter",
    "description": "Writes one.",
    "input_schema": {
        "type": "object",
        "required": ["topic", "tone"],
        "properties": {
            "topic": {"type": "string", "description": "What it is about."},
            "tone": {"enum": TONES, "default": "dry"},
            "pages": {"type": "integer", "default": 2, "minimum": 1},
            "draft": {"type": "boolean"},
        },
    },
    "nodes": {
        "write": {
            "type": "prompt",
            "model": OPENAI,
            "prompt": "A {{ input.tone }} letter: {{ input.topic }}",
            "max_tokens": 4,
        },
        "count": {"type": "template", "template": "{{ input.pages }} pages, {{ input.tone }}"},
    },
    "edges": [{"source": "write", "target": "count"}],
    "outputs": {"pages": "{{ nodes.count.output.text }}"},
}
FAILING: dict[str, Any] = {
    "slug": "failing",
    "name": "Fails",
    "nodes": {
        "write": {"type": "prompt", "model": OPENAI, "prompt": "Say yes", "max_tokens": 4},
        "stop": {"type": "http", "url": "http://not-allowed.example.org/"},
    },
    "edges": [{"source": "write", "target": "stop"}],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("commands"), with_keys, with_worker) as made:
        for tree in (LETTER, FAILING):
            assert made.post("/api/workflows", tree, key=ADMIN_KEY).status == 201
        yield made


def steelyard(world: World, *words: str, key: str = ALICE_KEY, typed: str | None = None, **environ: str) -> Result:
    return CliRunner().invoke(
        main, ["workflows", *words], input=typed, env={"STEELYARD_URL": world.url, "STEELYARD_KEY": key, **environ}
    )


def fine(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def unboxed(result: Result) -> str:
    """What an error says, without the frame around it and the breaks that it makes."""
    return " ".join(re.sub(r"[╭╮╰╯│─]", " ", result.output).split())


def test_list_tells_of_every_workflow(world: World) -> None:
    shown = fine(steelyard(world, "list"))
    assert re.search(r"letter\W+\d\W+2\W+Letter", shown)
    slugs = [one["slug"] for one in json.loads(fine(steelyard(world, "list", "--json")))]
    assert [one for one in slugs if one not in {"copy", "printing"}] == ["failing", "letter"]  # another test's


def test_show_tells_of_inputs_and_nodes(world: World) -> None:
    shown = fine(steelyard(world, "show", "letter"))
    assert "input topic: string (required) What it is about." in shown
    assert 'input tone: dry | warm ["dry"] (required)\n' in shown
    assert "input pages: integer [2]\n" in shown
    assert re.search(r"2\W+count\W+template\W+write", shown)
    assert (
        json.loads(fine(steelyard(world, "show", "letter", "--version", "1", "--json")))["definition"]["slug"]
        == "letter"
    )


def test_what_the_gateway_refuses_is_told_and_ends_with_1(world: World) -> None:
    for words in (
        ("show", "nothing"),
        ("export", "nothing"),
        ("run", "nothing"),
        ("watch", "wfexec_0"),
        ("cancel", "x"),
    ):
        result = steelyard(world, *words)
        assert result.exit_code == 1
        assert "There is no" in result.output, result.output
    assert "The API key is not valid." in steelyard(world, "list", key="wrong").output


def test_a_gateway_that_is_not_there_is_named(world: World) -> None:
    result = steelyard(world, "list", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "Name it with --url or STEELYARD_URL." in unboxed(result)
    assert steelyard(world, "list", "--url", "localhost").exit_code == 2


def test_validate_needs_no_gateway_and_tells_all_that_is_wrong(world: World, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.json"
    good.write_text(yaml.safe_dump(LETTER))
    broken = {**LETTER, "nodes": {**LETTER["nodes"], "count": {"type": "template", "template": "{{ input.nothing }}"}}}
    broken["edges"] = [{"source": "write", "target": "nowhere"}]
    bad.write_text(json.dumps(broken))
    nowhere = {"STEELYARD_URL": f"http://127.0.0.1:{free_port()}"}
    assert fine(steelyard(world, "validate", str(good), **nowhere)) == f"{good}: valid\n"
    result = steelyard(world, "validate", str(good), str(bad), **nowhere)
    assert result.exit_code == 1
    assert "$.edges[0].target: " in result.stdout
    assert "$.nodes.count.template" in result.stdout
    told = json.loads(steelyard(world, "validate", "--json", str(good), str(bad), **nowhere).stdout)
    assert [one["valid"] for one in told] == [True, False]
    assert len(told[1]["problems"]) >= 2
    (tmp_path / "no.yaml").write_text("a: [1")
    both = steelyard(world, "validate", str(tmp_path / "no.yaml"), str(good))
    assert both.exit_code == 1
    assert both.stdout.startswith(f"{tmp_path / 'no.yaml'}: 1 problem\n  $: Line 1, column")
    assert f"{good}: valid" in both.stdout
    assert steelyard(world, "validate").exit_code == 2


def test_what_is_exported_can_be_pushed(world: World, tmp_path: Path) -> None:
    assert yaml.safe_load(fine(steelyard(world, "export", "letter"))) == json.loads(
        fine(steelyard(world, "export", "letter", "--json"))
    )
    file = tmp_path / "letter.json"
    fine(steelyard(world, "export", "letter", "-o", str(file)))
    tree = json.loads(file.read_text())
    assert fine(steelyard(world, "push", str(file), key=ADMIN_KEY)) == "letter: version 1, as it was\n"
    new = tmp_path / "copy.yaml"
    new.write_text(yaml.safe_dump({**tree, "slug": "copy"}))
    assert fine(steelyard(world, "push", str(new), key=ADMIN_KEY)) == "copy: version 1\n"
    new.write_text(yaml.safe_dump({**tree, "slug": "copy", "name": "Another"}))
    assert json.loads(fine(steelyard(world, "push", "--json", str(new), key=ADMIN_KEY)))[0]["version"] == 2
    assert steelyard(world, "push", str(new)).exit_code == 1
    new.write_text("[1]")
    assert "$.slug" in steelyard(world, "push", str(new), key=ADMIN_KEY).output
    new.write_text(yaml.safe_dump({**tree, "slug": "copy", "edges": [{"source": "a", "target": "b"}]}))
    assert "$.edges[0].source" in steelyard(world, "push", str(new), key=ADMIN_KEY).output


def test_run_shows_events_line_by_line_and_the_outputs(world: World) -> None:
    result = steelyard(world, "run", "letter", "-i", "topic=cheese", "--input", "tone=warm", "-i", "pages=3")
    shown = fine(result)
    lines = [line for line in shown.splitlines() if "step.succeeded" in line]
    assert [line.split()[2] for line in lines] == ["write", "count"]
    assert "execution.completed" in shown
    assert shown.endswith("pages:\n3 pages, warm\n")
    assert re.match(r"wfexec_\w+ pending\n", result.stderr)


def test_run_with_json_prints_the_execution_alone(world: World, tmp_path: Path) -> None:
    file = tmp_path / "inputs.yaml"
    file.write_text("topic: tea\ntone: dry\npages: 9\n")
    found = json.loads(fine(steelyard(world, "run", "letter", "--inputs", str(file), "-i", "pages=4", "--json")))
    assert (found["status"], found["outputs"]) == ("completed", {"pages": "4 pages, dry"})
    assert found["inputs"] == {"topic": "tea", "tone": "dry", "pages": 4}


@pytest.mark.parametrize(
    "words",
    [
        ("-i", "topic"),
        ("-i", "=x"),
        ("-i", "pages=many"),
        ("-i", "pages=true"),
        ("-i", "tone=loud"),
        ("-i", "draft=maybe"),
        ("--budget-usd", "0"),
        ("--unknown",),
    ],
)
def test_a_command_that_means_nothing_ends_with_2(world: World, words: tuple[str, ...]) -> None:
    assert steelyard(world, "run", "letter", *words).exit_code == 2


def test_inputs_that_do_not_fit_are_told_with_their_paths(world: World) -> None:
    result = steelyard(world, "run", "letter", "-i", "tone=warm", "-i", "pages=0")
    assert result.exit_code == 1
    assert "$.inputs.pages" in result.output


def test_interactive_asks_for_what_is_missing(world: World) -> None:
    typed = "loud\nwarm\nmany\n5\n\n"
    result = steelyard(world, "run", "letter", "-i", "topic=tea", "--interactive", "--json", typed=typed)
    found = json.loads(fine(result))
    assert found["inputs"] == {"topic": "tea", "tone": "warm", "pages": 5}
    for words in ("tone (dry | warm) [dry]", "pages (a whole number) [2]", "draft (true or false) [leave out]"):
        assert words in result.stderr
    assert "This must be one of dry, warm." in result.stderr
    assert "This must be a whole number." in result.stderr


def test_on_a_terminal_the_nodes_are_a_table_that_lives(world: World) -> None:
    words = ("run", "letter", "-i", "topic=a terminal", "-i", "tone=dry")
    shown = fine(steelyard(world, *words, TTY_COMPATIBLE="1", COLUMNS="120"))
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "completed  2/2 nodes" in plain
    assert re.search(r"write +succeeded +1 +\d+\.\d", plain)
    assert "step.succeeded" not in plain


def test_what_fails_ends_with_1_and_may_be_resumed(world: World) -> None:
    result = steelyard(world, "run", "failing")
    assert result.exit_code == 1
    assert "It failed at 'stop'" in result.stdout
    (execution,) = set(re.findall(r"wfexec_\w+", result.stdout))
    again = steelyard(world, "resume", execution)
    assert again.exit_code == 1
    assert "1 call is saved." in again.stderr
    assert steelyard(world, "watch", execution).exit_code == 1
    assert json.loads(steelyard(world, "watch", execution, "--json").stdout)["attempt"] == 2
    assert steelyard(world, "resume", execution, key=BOB_KEY).exit_code == 1


def test_what_was_begun_elsewhere_is_watched_or_cancelled(world: World) -> None:
    words = ("run", "letter", "-i", "topic=later", "-i", "tone=dry", "--detach")
    execution = fine(steelyard(world, *words)).strip()
    assert "execution.completed" in fine(steelyard(world, "watch", execution))
    assert f"{execution}: completed" in fine(steelyard(world, "cancel", execution))
    other = json.loads(fine(steelyard(world, *words, "--json")))["execution_id"]
    assert json.loads(fine(steelyard(world, "cancel", other, "--json")))["cancel_requested"] in {True, False}


def test_what_waits_for_a_person_is_decided(world: World) -> None:
    form = {"type": "object", "required": ["copies"], "properties": {"copies": {"type": "integer"}}}
    gate = {"type": "approval", "message": "Print it?", "form_schema": form}
    nodes: Any = {"gate": gate, "done": {"type": "template", "template": "{{ nodes.gate.output.data.copies + 1 }}"}}
    edges = [{"source": "gate", "target": "done"}]
    spelled: Any = {"slug": "printing", "name": "Printing", "nodes": nodes, "edges": edges}
    assert world.post("/api/workflows", spelled, key=ADMIN_KEY).status == 201
    execution = fine(steelyard(world, "run", "printing", "--detach")).strip()
    until(lambda: world.get(f"/api/executions/{execution}", ALICE_KEY).json["status"] == "waiting")
    assert "whole number" in steelyard(world, "approve", execution, "-i", "copies=some").stderr
    assert steelyard(world, "approve", execution).exit_code == 1  # the form asks for it
    assert steelyard(world, "approve", execution, "--node", "done").exit_code == 1
    assert steelyard(world, "approve", execution, "-i", "copies=2", key=BOB_KEY).exit_code == 1
    assert fine(steelyard(world, "approve", execution, "-i", "copies=2")) == "gate: approved\n"
    assert '"text": 3' in fine(steelyard(world, "watch", execution, "--json"))
    late = steelyard(world, "approve", execution, "--reject")
    assert (late.exit_code, "completed" in late.stderr) == (1, True)


def drawn(picture: Picture) -> str:
    console = Console(width=110, file=StringIO())
    console.print(picture.drawn())
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_ctrl_c_ends_the_watching_and_says_how_to_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = fine(steelyard(world, "run", "letter", "-i", "topic=oak", "-i", "tone=dry", "--detach")).strip()

    def interrupted(*_: object) -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Caller, "events", interrupted)
    result = steelyard(world, "watch", begun)
    assert result.exit_code == 130
    assert f"It goes on. See it with: steelyard workflows watch {begun}" in result.output
    monkeypatch.undo()
    assert steelyard(world, "watch", begun).exit_code == 0


def test_a_picture_counts_items_and_what_they_cost() -> None:
    now = 50.0
    picture = Picture("x", {"all": Node(), "gate": Node(kind="approval")}, lambda: now, "wfexec_1")

    def told(what: str, second: int, **data: Any) -> None:
        picture.take({"type": what, "node_id": "all", "at": f"2026-11-21T10:00:{second:02}Z", "data": data})

    told("step.started", 0, step_id="s", status="running", tries=1)
    told("step.succeeded", 1, step_id="s0", item=0, status="succeeded", cost_usd=0.25)
    told("step.failed", 2, step_id="s1", item=1, status="failed", cost_usd=0.5)
    assert (picture.nodes["all"].status, picture.nodes["all"].items) == ("running", 2)
    now = 53.25
    assert re.search(r"running \(2 items\)\W+1\W+3\.2\W+0\.750000", drawn(picture))
    told("step.progress", 2, step_id="s", status="running", tries=1, progress={"done": 2, "of": 7})
    assert "running (2/7 items)" in drawn(picture)
    told("step.succeeded", 4, step_id="s", status="succeeded", tries=1)
    assert picture.nodes["all"] == Node(
        "succeeded", 1, 4.0, 0.75, items=2, of=7, began=picture.nodes["all"].began, heard=50.0
    )
    now = 99.0
    assert re.search(r"succeeded \(2/7 items\)\W+1\W+4\.0\W+0\.750000", drawn(picture))
    assert "to decide" not in drawn(picture)
    picture.nodes["gate"].status = "waiting"
    assert "gate: to decide, steelyard workflows approve wfexec_1" in drawn(picture)
    assert sum(picture.costs.values()) == 0.75
    picture.take({"type": "execution.queued", "node_id": None, "at": "2026-11-21T10:00:05Z", "data": {}})
    assert picture.status == "pending"


def at_a_terminal(world: World, *words: str, typed: str = "") -> tuple[str, int]:
    """What a person sees who types this at a terminal, and the exit code."""
    ours, theirs = pty.openpty()
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "STEELYARD_URL": world.url,
        "STEELYARD_KEY": ALICE_KEY,
        "TERM": "xterm-256color",
        "COLUMNS": "110",
    }
    command = [sys.executable, "-m", "gateway", "workflows", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = bytearray()
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:
            pass  # how a terminal ends whose program has
        os.close(ours)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()), process.wait()


def test_at_a_terminal_a_table_lives_and_inputs_are_asked_for(world: World) -> None:
    seen, code = at_a_terminal(world, "run", "letter", "--interactive", typed="oak\nsad\nwarm\n\n\n")
    assert code == 0, seen
    for said in (
        "What it is about.",
        "tone (dry | warm) [dry]:",
        "This must be one of dry, warm.",
        "pages (a whole number) [2]:",
    ):
        assert said in seen
    assert re.search(r"letter wfexec_\w+  completed  2/2 nodes", seen)
    assert re.search(r"write\s+succeeded\s+1\s+\d", seen)
    assert "2 pages, warm" in seen
    seen, code = at_a_terminal(world, "run", "failing")
    assert code == 1
    assert re.search(r"stop\s+failed", seen)
    assert "Go on with: steelyard workflows resume wfexec_" in seen
    seen, code = at_a_terminal(world, "run", "letter", "-i", "topic=oak")
    assert code == 1
    assert seen.count('"tone" is a required property') == 1
