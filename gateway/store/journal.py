"""What is in memory, on disk as well, so that a killed process loses no row it has accepted.

    <slot>/journal.a, journal.b    frames as in a segment, up to the first of length 0

Rows are appended to one file while those of the other are being written to the database: `turn` swaps the two, and
`clear` empties the one at rest by putting a 0 at its head, so that no file is made, cut or synced on the way. What is
behind the 0 is old and never read.

Law: what `append` returned from outlives the process, however it dies; not the machine, since nothing is synced. An
append is one `pwrite` into the page cache, some 3 µs with the packing of a row (measured), and no thread. Of the event
loop's thread.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_HEAD = struct.Struct(">II")
_END = bytes(_HEAD.size)
#: Bytes beyond which an emptied file is cut: a burst must not occupy the disk for ever. Doubled: twice that is kept per
#: process; halved: bursts of some thousand rows, which come again, pay for blocks anew.
_LARGEST = 8 * 2**20
JOURNALS = ("journal.a", "journal.b")


class Journal:
    """The journal of one slot, empty at first."""

    def __init__(self, slot: Path) -> None:
        """Use the files in `slot`, whose rows must have been taken out. Raises `OSError`."""
        self._files: list[int] = []
        self._ends = [0, 0]
        self._active = 0
        try:
            for name in JOURNALS:
                self._files.append(os.open(slot / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        except OSError:
            self.close()
            raise

    def append(self, payload: bytes) -> None:
        """Write a row. Raises `OSError`, and then the row is not in it."""
        end = self._ends[self._active]
        frame = b"".join((_HEAD.pack(len(payload), zlib.crc32(payload)), payload, _END))
        if os.pwrite(self._files[self._active], frame, end) < len(frame) - _HEAD.size:
            # What was written of it does not pass for a row, and the next one goes over it.
            raise OSError("the disk took only part of a row")
        self._ends[self._active] = end + len(frame) - _HEAD.size

    def turn(self) -> None:
        """From here on, append to the other file, which must be clear."""
        self._active = 1 - self._active

    def clear(self) -> None:
        """Empty the file at rest: its rows are elsewhere. Raises `OSError`."""
        self._empty(1 - self._active)

    def clear_all(self) -> None:
        """Empty both. Raises `OSError`."""
        self._empty(0)
        self._empty(1)

    def close(self) -> None:
        """Close the files, whatever is in them; safe to repeat."""
        for file in self._files:
            os.close(file)
        self._files.clear()

    def _empty(self, number: int) -> None:
        if self._ends[number] > _LARGEST:
            os.ftruncate(self._files[number], 0)
        elif self._ends[number]:
            os.pwrite(self._files[number], _END, 0)
        self._ends[number] = 0
