"""The spill's laws, on a real disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.spill import Spill, read_segment

_RECORDS = [b"a" * 10, b"b", b"c" * 300]


def _open(folder: Path, *, max_bytes: int = 2**20, segment_bytes: int = 2**16) -> Spill:
    spill = Spill(folder, max_bytes=max_bytes, segment_bytes=segment_bytes)
    spill.open()
    return spill


def _drain(spill: Spill) -> list[bytes]:
    found: list[bytes] = []
    while (segment := spill.oldest()) is not None:
        payloads, damaged = read_segment(segment)
        found += payloads
        spill.discard(segment, damaged=damaged)
    return found


def test_what_is_appended_comes_back_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    spill = _open(tmp_path, segment_bytes=40)
    wanted = [f"record {n}".encode() for n in range(20)]
    for start in range(0, 20, 3):
        spill.append(wanted[start : start + 3])
    assert spill.segments > 3
    assert spill.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.spill"))
    assert _drain(spill) == wanted
    assert (spill.segments, spill.bytes) == (0, 0)
    assert list(tmp_path.rglob("*.spill")) == []
    spill.close()


def test_rows_are_readable_by_others_the_moment_append_returns(tmp_path: Path) -> None:
    spill = _open(tmp_path)
    spill.append(_RECORDS)
    (segment,) = tmp_path.rglob("*.spill")
    assert read_segment(segment) == (_RECORDS, False)
    spill.close()


def _segment(folder: Path) -> Path:
    spill = _open(folder)
    spill.append(_RECORDS)
    spill.close()
    (segment,) = folder.rglob("*.spill")
    return segment


def test_a_segment_cut_anywhere_gives_every_whole_record_and_is_no_damage(tmp_path: Path) -> None:
    whole = _segment(tmp_path).read_bytes()
    ends = [18, 18 + 9, 18 + 9 + 308]
    cut = tmp_path / "cut"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        assert read_segment(cut) == (_RECORDS[: sum(end <= length for end in ends)], False)


def test_blocks_the_disk_never_filled_are_no_damage(tmp_path: Path) -> None:
    segment = _segment(tmp_path)
    segment.write_bytes(segment.read_bytes() + bytes(4096))
    assert read_segment(segment) == (_RECORDS, False)


@given(st.data())
def test_a_flipped_bit_never_passes_for_a_record(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    segment = _segment(tmp_path_factory.mktemp("spill"))
    whole = bytearray(segment.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    segment.write_bytes(whole)
    payloads, _ = read_segment(segment)
    assert payloads == _RECORDS[: len(payloads)]
    assert len(payloads) < len(_RECORDS)


def test_a_damaged_segment_is_replayed_up_to_the_damage_and_kept_aside(tmp_path: Path) -> None:
    segment = _segment(tmp_path)
    whole = bytearray(segment.read_bytes())
    whole[18 + 8] ^= 1  # the second record's only byte
    segment.write_bytes(whole)
    spill = _open(tmp_path)
    assert _drain(spill) == _RECORDS[:1]
    assert (spill.segments, spill.bytes) == (0, 0)
    spill.close()
    assert [path.read_bytes() for path in tmp_path.rglob("*.damaged")] == [bytes(whole)]
    assert _drain(_open(tmp_path)) == []


def test_the_living_keep_their_segments_and_the_dead_are_inherited_once(tmp_path: Path) -> None:
    first, second = _open(tmp_path), _open(tmp_path)
    first.append([b"first"])
    second.append([b"second"])
    third = _open(tmp_path)
    assert _drain(third) == []
    second.close()  # gives up its lock, as the kernel does for the dead
    fourth = _open(tmp_path)
    fifth = _open(tmp_path)
    assert _drain(fifth) == []
    assert _drain(fourth) == [b"second"]
    assert _drain(first) == [b"first"]
    for spill in (first, third, fourth, fifth):
        spill.close()


def test_a_new_owner_of_a_slot_never_writes_into_the_old_ones_segment(tmp_path: Path) -> None:
    segment = _segment(tmp_path)
    torn = segment.read_bytes()[:-5]
    segment.write_bytes(torn)
    heir = _open(tmp_path)
    heir.append([b"new"])
    assert segment.read_bytes() == torn
    assert _drain(heir) == [*_RECORDS[:2], b"new"]
    heir.close()


def test_beyond_its_limit_the_spill_refuses_and_recovers_when_replayed(tmp_path: Path) -> None:
    spill = _open(tmp_path, max_bytes=100)
    spill.append([b"x" * 80])
    with pytest.raises(OSError, match="spill may take 100 bytes"):
        spill.append([b"y" * 10, b"z" * 10])
    assert _drain(spill) == [b"x" * 80]
    spill.append([b"y" * 10])
    spill.close()


def test_a_disk_that_fills_in_mid_record_keeps_the_records_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = _open(tmp_path)
    spill.append([b"before"])
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 4:
            return write(file, bytes(data[: len(data) // 2]))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        spill.append([b"lost"] * 3)
    monkeypatch.undo()
    spill.append([b"after"])
    assert _drain(spill) == [b"before", b"after"]
    spill.close()


def test_syncing_makes_every_segment_durable_once_and_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = _open(tmp_path, segment_bytes=10)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    synced: list[str] = []

    def note(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}")[-8:])

    monkeypatch.setattr(os, "fsync", note)
    for n in range(3):
        spill.append([b"x" * 20, str(n).encode()])
    assert spill.dirty
    spill.sync()
    assert not spill.dirty
    assert synced == ["01.spill", "02.spill", "03.spill", str(tmp_path / "0")[-8:]]
    spill.sync()
    assert len(synced) == 4
    _drain(spill)
    assert before is None or len(os.listdir("/proc/self/fd")) == before
    spill.close()


def test_a_folder_that_cannot_be_made_is_an_error_and_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spill = Spill(tmp_path / "file", max_bytes=10, segment_bytes=10)
    with pytest.raises(OSError, match="file"):
        spill.open()
    (tmp_path / "file").unlink()
    spill.open()
    spill.close()
