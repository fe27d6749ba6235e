"""A log file of several processes: no line is lost or torn, however often it is begun anew."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.logfile import SharedFile

LINES = 1_500
_WRITER = """
import logging, sys
from pathlib import Path
from gateway.logfile import SharedFile
name, path, lines = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
handler = SharedFile(path, size=4_000, count=1000)
handler.setFormatter(logging.Formatter("%(message)s"))
sys.stdout.write("ready"); sys.stdout.flush(); sys.stdin.read(1)
for number in range(lines):
    handler.emit(logging.makeLogRecord({"msg": f'{{"by": "{name}", "number": {number}}}' }))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "steelyard.log"


@pytest.fixture
def made() -> Iterator[list[SharedFile]]:
    handlers: list[SharedFile] = []
    yield handlers
    for one in handlers:
        one.close()


def a_file(made: list[SharedFile], path: Path, *, size: int = 100, count: int = 3) -> SharedFile:
    handler = SharedFile(path, size=size, count=count)
    handler.setFormatter(logging.Formatter("%(message)s"))
    made.append(handler)
    return handler


def say(handler: SharedFile, text: str) -> None:
    handler.emit(logging.makeLogRecord({"msg": text}))


def test_two_processes_lose_no_line_while_they_begin_new_files(path: Path) -> None:
    command = [sys.executable, "-c", _WRITER]
    writers = [
        subprocess.Popen([*command, name, path, str(LINES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for one in writers:
        assert one.stdout is not None
        assert one.stdout.read(5) == b"ready"
    for one in writers:
        assert one.communicate(b"\n", timeout=60) is not None
        assert one.returncode == 0
    files = sorted(path.parent.glob("steelyard.log*"), key=lambda one: one.name)
    files = [one for one in files if one.suffix != ".lock"]
    found = [json.loads(line) for one in files for line in one.read_text().splitlines()]
    assert {(one["by"], one["number"]) for one in found} == {(by, n) for by in "ab" for n in range(LINES)}
    assert len(found) == 2 * LINES
    assert len(files) >= 15
    assert all(one.stat().st_size <= 8_000 for one in files)


def test_older_files_are_numbered_and_the_oldest_go(made: list[SharedFile], path: Path) -> None:
    handler = a_file(made, path, size=10, count=2)
    for word in ("first", "second", "third", "fourth"):
        say(handler, word + "....")
    told = {one.name: one.read_text().strip(".\n") for one in path.parent.iterdir() if one.suffix != ".lock"}
    assert told == {"steelyard.log": "fourth", "steelyard.log.1": "third", "steelyard.log.2": "second"}


def test_a_line_longer_than_the_file_may_be_is_written_whole(made: list[SharedFile], path: Path) -> None:
    handler = a_file(made, path, size=10)
    say(handler, "x" * 1_000)
    assert path.read_text() == "x" * 1_000 + "\n"


def test_size_nought_leaves_it_to_logrotate_which_needs_to_tell_nobody(made: list[SharedFile], path: Path) -> None:
    handler = a_file(made, path, size=0)
    say(handler, "a" * 1_000)
    path.rename(path.with_suffix(".moved"))
    say(handler, "b")
    assert path.read_text() == "b\n"
    os.truncate(path, 0)  # as `copytruncate` does
    say(handler, "c")
    assert path.read_text() == "c\n"


def test_others_go_on_in_the_new_file(made: list[SharedFile], path: Path) -> None:
    one, another = a_file(made, path), a_file(made, path)
    say(one, "x" * 90)
    say(another, "y" * 90)
    say(one, "z")
    assert path.read_text() == "y" * 90 + "\nz\n"


def test_a_process_that_is_frozen_with_the_lock_holds_up_nobody(made: list[SharedFile], path: Path) -> None:
    frozen = a_file(made, path)
    assert frozen._locked(2)  # LOCK_EX
    handler = a_file(made, path)
    for _ in range(3):
        say(handler, "x" * 90)
    assert path.read_text().count("\n") == 3


def test_what_cannot_be_written_goes_to_standard_error(
    made: list[SharedFile], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = a_file(made, path)
    handler.close()
    say(handler, "still here")
    assert capsys.readouterr().err == "still here\n"


def test_a_file_that_cannot_be_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        SharedFile(tmp_path / "file" / "log", size=0, count=1)
