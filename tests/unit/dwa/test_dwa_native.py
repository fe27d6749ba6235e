"""Compiled or not, it is the same DWA; and what is compiled of older sources is never used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dwa import native

ROOT = Path(__file__).parents[3]
#: Whole worlds, to their end: breakers open, hosts hang, quotas are hit, streams break, and replicas tell each other.
PLAYED = """
import hashlib
from dwa.native import is_compiled
from dwa.simulate import SCENARIOS, Simulation
from dwa.simulate.hedging import HedgedSimulation
from dwa.simulate.runs import HEDGED, OURS, builder

digest = hashlib.sha256()
for name in ("cold_start", "outage_hanging", "limited_blind", "cut_streams", "all_silent", "eight_replicas_outage"):
    world = SCENARIOS[name].world(7)
    for runs, policy in ((Simulation, OURS), (HedgedSimulation, HEDGED)):
        for row in runs(world, builder(policy), 7).run():
            digest.update(repr(row).encode())
print(is_compiled(), digest.hexdigest())
"""


def sources(to: Path) -> Path:
    """A copy of the package without what was compiled."""
    return Path(shutil.copytree(ROOT / "dwa", to / "dwa", ignore=shutil.ignore_patterns(native.FOLDER, "__pycache__")))


def says(at: Path, *words: str, **environ: str) -> str:
    """What a process of its own prints that has its packages from there."""
    command = [sys.executable, *words]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(at), **environ}
    return subprocess.run(command, cwd=at, env=environ, text=True, capture_output=True, check=True, timeout=100).stdout


def test_compiled_or_not_the_same_seed_makes_the_same_choices(tmp_path: Path) -> None:
    if not native.is_compiled():
        pytest.skip("nothing is compiled of these sources: `make native`")
    sources(tmp_path)
    interpreted, compiled = (says(at, "-c", PLAYED).split() for at in (tmp_path, ROOT))
    assert (interpreted[0], compiled[0]) == ("False", "True")
    assert interpreted[1] == compiled[1]


def test_what_is_compiled_comes_first_until_a_source_changes(tmp_path: Path) -> None:
    package = sources(tmp_path)
    path = [str(package)]
    native.prefer_compiled(path)
    assert path == [str(package)]
    (package / native.FOLDER).mkdir()
    (package / native.FOLDER / native.STAMP).write_text(native.stamp(package))
    native.prefer_compiled(path)
    assert path == [str(package / native.FOLDER), str(package)]
    (package / "load.py").write_text((package / "load.py").read_text() + "\n")
    path = [str(package)]
    native.prefer_compiled(path)
    assert path == [str(package)]


def test_a_renamed_source_is_another(tmp_path: Path) -> None:
    package = sources(tmp_path)
    before = native.stamp(package)
    (package / "load.py").rename(package / "loaded.py")
    assert native.stamp(package) != before


def test_without_a_compiler_it_says_so_and_goes_on(tmp_path: Path) -> None:
    package = sources(tmp_path)
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    told = says(tmp_path, "hatch_build.py", CC="no-such-compiler")
    assert "there is no C compiler; install gcc or clang, or set CC" in told
    assert not (package / native.FOLDER).exists()


def test_what_is_left_interpreted_is_there() -> None:
    told = says(ROOT, "-c", "import hatch_build as it; print(*sorted(it.INTERPRETED))").split()
    assert [name for name in told if not (ROOT / "dwa" / f"{name}.py").exists()] == []
