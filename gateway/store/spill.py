"""Rows on disk while the database is away: append-only segments, replayed in order, deleted after the commit.

    <folder>/adopting                     flock'd, shared, by whoever adopts; alone by whoever must know what is left
    <folder>/<slot>/lock                  flock'd by the process that owns the slot, for as long as it lives
    <folder>/<slot>/000000000001.spill    frames: length u32 · crc32 u32 · msgpack of one ExchangeRecord (big endian)
    <folder>/<slot>/journal.a, journal.b  the same of the rows in its owner's memory (`journal`)

Law: what `append` returned from is in the file, so it outlives the process; after `sync` it outlives the machine. A
process takes the lowest free slot; at start, and whenever it is told to `adopt`, it moves into its own what is in the
slots whose owner is gone: the kernel drops the lock of a dead process, however it died, and a pid that comes back
(always 1 in a container) is nobody's heir by accident. A last record cut short by a crash is ignored; damage anywhere
else moves the file aside as `.damaged`.

`append` holds its lock for one buffered write and `sync` for none: the request path may append while a worker thread
waits for the disk.

Limits: `max_bytes` per process; beyond it, and on a full disk, `append` raises OSError and its caller counts the rows
as dropped. Needs `flock` (POSIX). Slots are not deleted: an empty folder and a lock file remain for as many processes
as ever ran side by side.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import struct
import threading
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.store.journal import JOURNALS, Journal

_log = logging.getLogger("steelyard.spill")
_HEAD = struct.Struct(">II")
_SUFFIX = ".spill"


def read_segment(path: Path) -> tuple[list[bytes], bool]:
    """The payloads of a segment, and whether it is damaged: unreadable before its last record.

    Raises:
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    payloads: list[bytes] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        payload = data[at + _HEAD.size : end]
        if end > len(data) or length == 0 or zlib.crc32(payload) != checksum:
            break
        payloads.append(payload)
        at = end
    rest = data[at:]
    return payloads, not _is_torn(rest)


def _is_torn(rest: bytes) -> bool:
    """Whether what follows the last good frame is one unfinished frame: cut short, or blocks the disk never filled."""
    if len(rest) < _HEAD.size or not rest.strip(b"\0"):
        return True
    length, _ = _HEAD.unpack_from(rest)
    return _HEAD.size + length > len(rest)


class Spill:
    """This process's slot, and the segments it has to replay. Thread-safe."""

    def __init__(self, folder: Path, *, max_bytes: int, segment_bytes: int) -> None:
        """Keep the place; nothing is touched before `open`."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._mutex = threading.Lock()
        self._lock: int | None = None
        self._slot: Path | None = None
        #: Of this slot, while it is open.
        self.journal: Journal | None = None
        self._numbers = itertools.count(1)
        self._sealed: list[Path] = []
        self._file: int | None = None
        self._path: Path | None = None
        self._length = 0
        self._dirty = False
        self._sealed_unsynced: list[int] = []
        self.bytes = 0

    @property
    def dirty(self) -> bool:
        """Whether something was appended since the last `sync`."""
        return self._dirty or bool(self._sealed_unsynced)

    @property
    def segments(self) -> int:
        """Segments still to be replayed, the one being written included."""
        return len(self._sealed) + (self._file is not None)

    def open(self) -> None:
        """Take a slot and adopt the dead ones' segments, oldest first. A second call does nothing.

        Raises:
            OSError: the folder cannot be made, written or locked.
        """
        with self._mutex:
            if self._slot is not None:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._open()
            except OSError:
                self._release()
                raise

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the records behind one another; none of them when it fails.

        Raises:
            OSError: no room, or the file cannot be written.
        """
        frames = _framed(payloads)
        self.open()
        with self._mutex:
            if self.bytes + len(frames) > self._max_bytes:
                raise OSError(errno.ENOSPC, f"the spill may take {self._max_bytes} bytes, and did")
            file = self._writable()
            try:
                _write_all(file, frames)
            except OSError:
                self._take_back(file)
                raise
            self._dirty = True
            self._length += len(frames)
            self.bytes += len(frames)

    def sync(self) -> None:
        """Return when everything appended so far would survive a power cut.

        Raises:
            OSError: the disk refused.
        """
        with self._mutex:
            files, self._sealed_unsynced = self._sealed_unsynced, []
            if self._dirty and self._file is not None:
                files.append(os.dup(self._file))  # another thread may seal the segment meanwhile
            self._dirty = False
            slot = self._slot
        try:
            for file in files:
                os.fsync(file)
            if files and slot is not None:
                _sync_folder(slot)
        finally:
            for file in files:
                os.close(file)

    def oldest(self) -> Path | None:
        """The next segment to replay; the one being written is sealed when it is the last left."""
        with self._mutex:
            if not self._sealed and self._file is not None:
                self._seal()
            return self._sealed[0] if self._sealed else None

    def discard(self, path: Path, *, damaged: bool = False) -> None:
        """Forget a replayed segment: delete it, or keep it aside when part of it could not be read.

        Raises:
            OSError: it could not be removed; it will be replayed again, which changes nothing.
        """
        size = path.stat().st_size
        if damaged:
            path.rename(path.with_suffix(".damaged"))
            _log.error("a spill segment is damaged and was kept aside", extra={"path": str(path)})
        else:
            path.unlink()
        with self._mutex:
            self._sealed.remove(path)
            self.bytes -= size

    def close(self) -> None:
        """Seal what is open and give the slots back; what is unreplayed waits for the next start."""
        with self._mutex:
            if self._file is not None:
                self._seal()
        try:
            self.sync()
        finally:
            with self._mutex:
                self._release()

    def adopt(self) -> int:
        """Take over what processes that died since have left; how many segments.

        Raises:
            OSError: the folder cannot be read, or something in it not be moved; a later call goes on from there.
        """
        with self._mutex, _adopting(self._folder) as may:
            if self._slot is None or not may:
                return 0
            before = len(self._sealed)
            for slot in _slots(self._folder):
                if slot != self._slot and _has_rows(slot) and (lock := _locked(slot)) is not None:
                    try:
                        self._inherit(slot)
                    finally:
                        os.close(lock)
            return len(self._sealed) - before

    def bequeathed(self) -> bool:
        """Whether something is left to be written of what dead processes had: theirs still, or whoever's by now.

        Raises:
            OSError: the folder cannot be read.
        """
        with _adopting(self._folder, alone=True) as may:
            if not may:
                return True
            for slot in _slots(self._folder):
                if any(slot.glob(f"*{_SUFFIX}")):
                    return True
                if slot != self._slot and _has_rows(slot) and (lock := _locked(slot)) is not None:
                    os.close(lock)
                    return True
        return False

    def _open(self) -> None:
        for number in itertools.count():
            self._slot = self._folder / str(number)
            self._lock = _locked(self._slot)
            if self._lock is not None:
                break
        mine = self._slot
        assert mine is not None
        slots = [mine, *(slot for slot in _slots(self._folder) if slot != mine)]
        last = max((int(path.stem) for slot in slots for path in slot.glob(f"*{_SUFFIX}")), default=0)
        self._numbers = itertools.count(last + 1)
        self._sealed, self.bytes = [], 0
        with _adopting(self._folder) as may:
            for slot in slots if may else [mine]:
                lock = None if slot == mine else _locked(slot)
                if slot == mine or lock is not None:
                    try:
                        self._inherit(slot)
                    finally:
                        if lock is not None:
                            os.close(lock)
        self._sealed.sort(key=lambda path: (path.stat().st_mtime_ns, path))
        self.journal = Journal(mine)

    def _inherit(self, slot: Path) -> None:
        """Make what is in a slot that we hold the lock of segments of our own."""
        assert self._slot is not None
        for path in sorted(slot.glob(f"*{_SUFFIX}")):
            if slot != self._slot:
                path = path.rename(self._slot / f"{next(self._numbers):012d}{_SUFFIX}")
            self._sealed.append(path)
            self.bytes += path.stat().st_size
        for name in JOURNALS:
            journal = slot / name
            if not journal.exists():
                continue
            if payloads := read_segment(journal)[0]:
                self._sealed.append(self._rescued(payloads))
            os.truncate(journal, 0)

    def _rescued(self, payloads: Sequence[bytes]) -> Path:
        """A segment of the rows that a dead process had in memory; synced no more than they were before."""
        assert self._slot is not None
        path = self._slot / f"{next(self._numbers):012d}{_SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(file, _framed(payloads))
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(file)
        self.bytes += path.stat().st_size
        return path

    def _release(self) -> None:
        if self.journal is not None:
            self.journal.close()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._slot = self.journal = None

    def _writable(self) -> int:
        if self._file is not None and self._length >= self._segment_bytes:
            self._seal()
        if self._file is None:
            if self._slot is None:
                raise OSError(errno.EBADF, "the spill is closed")
            self._path = self._slot / f"{next(self._numbers):012d}{_SUFFIX}"
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            self._length = 0
        return self._file

    def _take_back(self, file: int) -> None:
        """Cut off a half-written frame; where even that fails, later records go to a new segment."""
        try:
            os.ftruncate(file, self._length)
        except OSError:
            self._seal()

    def _seal(self) -> None:
        assert self._file is not None
        assert self._path is not None
        if self._dirty:
            self._dirty = False
            self._sealed_unsynced.append(self._file)  # `sync` closes it: no append ever waits for a disk
        else:
            os.close(self._file)
        self._sealed.append(self._path)
        self._file = self._path = None


@contextmanager
def _adopting(folder: Path, *, alone: bool = False) -> Generator[bool]:
    """Whether rows of the dead may be moved now, or, `alone`, are not while this lasts. Nobody is waited for.

    Whoever looks alone has it for some 100 µs; who meets that comes again, as he does anyway.
    """
    handle = os.open(folder / "adopting", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _slots(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.isdigit())


def _has_rows(slot: Path) -> bool:
    """Is there anything to adopt? Looked at before its lock is tried, which would be in a newcomer's way."""
    return any(slot.glob(f"*{_SUFFIX}")) or any(_begun(slot / name) for name in JOURNALS)


def _begun(journal: Path) -> bool:
    """Whether there is a row at its head."""
    try:
        with journal.open("rb") as file:
            return bool(file.read(4).strip(b"\0"))
    except FileNotFoundError:
        return False


def _locked(slot: Path) -> int | None:
    """The lock of a slot, or None when somebody has it. Raises `OSError`."""
    slot.mkdir(exist_ok=True)
    lock = os.open(slot / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:
        os.close(lock)
        raise
    return lock


def _framed(payloads: Sequence[bytes]) -> bytes:
    return b"".join(part for payload in payloads for part in (_HEAD.pack(len(payload), zlib.crc32(payload)), payload))


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
