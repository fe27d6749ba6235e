"""`make bench` end to end, as short as it goes: rows and no errors. Its times are for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: A drop-in call and a stream, and one of each that is translated.
MEASURED = ("chat", "stream", "anthropic-stream", "gemini")


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )


def test_a_quick_run_over_tls_measures_everything_without_an_error(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    quick = ["--quick", "--seconds", "0.3", "--concurrency", "4", "--tls", "--sqlite", "--out", str(out), "--markdown"]
    done = run("bench", *quick, "--workload", *MEASURED)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert [(row["workload"], row["concurrency"]) for row in rows] == [(name, c) for name in MEASURED for c in (4, 0)]
    for row in rows:
        for side in ("through", "straight"):
            assert row[side]["requests"] > 0, row
            assert row[side]["errors"] == {}, row
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == len(rows) + 2


def test_a_flag_that_makes_no_sense_is_refused() -> None:
    done = run("bench", "--concurrency", "0")
    assert done.returncode == 2
    assert "must be 1 or more" in done.stderr


def test_a_curve_is_measured_through_the_gateway_with_as_many_keys_as_it_says(tmp_path: Path) -> None:
    out = tmp_path / "curves.json"
    short = ["--curve", "keys", "--sizes", "3", "70", "--rounds", "1", "--seconds", "1", "--out", str(out)]
    done = run("bench.curves", *short)
    assert done.returncode == 0, done.stderr
    points = json.loads(out.read_text())["points"]
    assert [(point["curve"], point["size"], point["errors"]) for point in points] == [("keys", 3, 0), ("keys", 70, 0)]
    assert all(point["per_second"] > 0 for point in points)


def test_workflows_are_measured_in_all_their_parts(tmp_path: Path) -> None:
    out = tmp_path / "workflows.json"
    short = ["--database", "sqlite", "--steps", "5", "--executions", "4", "--waiting", "3", "--seconds", "0.5"]
    done = run("bench.workflows", *short, "--out", str(out), "--markdown")
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["databases"]["sqlite"]
    for shape in ("chain", "fan-out", "map"):
        assert found[f"{shape}, whole by step, ms"] > 0
    assert found["many, steps/s"] > 0
    # A step that does nothing is kept all the same.
    assert found["many, statements by step"] >= 1
    assert found["prompt, end to end p50, ms"] > 0
    assert found["begin, until the first step p50, ms"] > 0
    assert found["approval, until the next step p50, ms"] > 0
    # The look for keys that were changed, twice a second, and what the engine adds: so short a time tells no more.
    assert found["no workflow: statements/s"] > 0
    assert found["engine loaded: statements/s"] > 0
    assert found["3 waiting: MB"] > 0
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == len(found) + 2


def test_a_fan_out_without_a_middle_is_refused() -> None:
    done = run("bench.workflows", "--steps", "2")
    assert done.returncode == 2
    assert "3 or more" in done.stderr


def test_the_choice_of_the_dwa_is_measured_among_ten_and_a_hundred() -> None:
    told = run("bench.picking")
    assert told.returncode == 0, told.stderr
    medians = {row[1].strip(): float(row[2]) for line in told.stdout.splitlines() if len(row := line.split("│")) > 3}
    assert set(medians) == {"choice among 10", "choice among 100", "an attempt begun and learned from"}
    assert all(figure > 0 for figure in medians.values())
