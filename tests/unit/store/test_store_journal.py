"""The journal's laws, on a real disk: what a process that dies now leaves to its heir."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.store.journal import Journal
from gateway.store.spill import Spill, read_segment


def left(folder: Path) -> list[bytes]:
    """What whoever comes next would find, were the owner dead: read from copies, since the owner lives."""
    return [row for name in ("journal.a", "journal.b") for row in read_segment(folder / name)[0]]


def test_what_is_appended_is_there_at_once_and_gone_when_cleared(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(b"one")
    journal.append(b"two")
    assert left(tmp_path) == [b"one", b"two"]
    journal.turn()
    journal.append(b"three")
    assert left(tmp_path) == [b"one", b"two", b"three"]
    journal.clear()
    assert left(tmp_path) == [b"three"]
    journal.turn()
    journal.append(b"4")
    journal.clear()
    # The longer rows behind the new one are old, and must not come back with it.
    assert left(tmp_path) == [b"4"]
    journal.clear_all()
    assert left(tmp_path) == []
    journal.close()


def test_rows_of_every_length_over_longer_old_ones_never_bring_those_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for length in range(60, 0, -1):
        journal.append(b"x" * length)
        journal.append(b"y" * length)
        assert left(tmp_path) == [b"x" * length, b"y" * length]
        journal.turn()
        journal.clear()
        journal.turn()
    journal.close()


def test_a_disk_that_takes_half_a_row_keeps_the_whole_ones_and_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append(b"before")
    pwrite = os.pwrite

    def half(file: int, data: bytes, at: int) -> int:
        return pwrite(file, data[: len(data) // 2], at)

    def full(file: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for disk in (half, full):
        monkeypatch.setattr(os, "pwrite", disk)
        with pytest.raises(OSError, match=r"part of a row|No space"):
            journal.append(b"lost" * 9)
        monkeypatch.undo()
        assert left(tmp_path) == [b"before"]
    journal.append(b"after")
    assert left(tmp_path) == [b"before", b"after"]
    journal.close()


def test_a_burst_does_not_occupy_the_disk_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for _ in range(9):
        journal.append(bytes(2**20))
    journal.turn()
    journal.clear()
    assert (tmp_path / "journal.a").stat().st_size == 0
    journal.close()


def test_the_heir_of_a_slot_makes_segments_of_its_journals_once(tmp_path: Path) -> None:
    dead = Spill(tmp_path, max_bytes=2**20, segment_bytes=2**16)
    dead.open()
    assert dead.journal is not None
    dead.append([b"spilled"])
    dead.journal.append(b"older")
    dead.journal.turn()
    dead.journal.append(b"newer")
    dead.close()  # gives up its lock, as the kernel does for the dead, and leaves the journal as it is
    for wanted in ([b"spilled", b"older", b"newer"], []):
        heir = Spill(tmp_path, max_bytes=2**20, segment_bytes=2**16)
        heir.open()
        found: list[bytes] = []
        while (segment := heir.oldest()) is not None:
            found += read_segment(segment)[0]
            heir.discard(segment)
        assert found == wanted
        assert (heir.bytes, left(tmp_path / "0")) == (0, [])
        heir.close()


def test_the_living_are_not_robbed_and_the_dead_are_adopted_by_one(tmp_path: Path) -> None:
    spills = [Spill(tmp_path, max_bytes=2**20, segment_bytes=2**16) for _ in range(3)]
    for spill in spills:
        spill.open()
    first, second, third = spills
    assert third.journal is not None
    third.journal.append(b"in memory")
    third.append([b"spilled"])
    assert (first.adopt(), second.adopt()) == (0, 0)
    third.close()
    assert (first.adopt(), second.adopt(), first.adopt()) == (2, 0, 0)
    assert first.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.spill"))
    first.close()
    second.close()
