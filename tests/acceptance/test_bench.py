"""`make bench` end to end, as short as it goes: rows and no errors. Its times are for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: A drop-in call and a stream, and one of each that is translated.
MEASURED = ("chat", "stream", "anthropic-stream", "gemini")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )


def test_a_quick_run_over_tls_measures_everything_without_an_error(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    quick = ["--quick", "--seconds", "0.3", "--concurrency", "4", "--tls", "--sqlite", "--out", str(out), "--markdown"]
    done = bench(*quick, "--workload", *MEASURED)
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
    done = bench("--concurrency", "0")
    assert done.returncode == 2
    assert "must be 1 or more" in done.stderr
