"""A board on which every process pins one note and reads the others': what the replicas of one gateway tell each other.

Law: an exchange never fails its caller and takes bounded time; without an answer it says so (None), and each process
goes on alone. A note is replaced by its writer's next one, and gone some seconds after its writer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

#: Seconds after which a note is no longer handed out: its writer has missed this many exchanges of a second.
EXPIRES = 10.0


class News(NamedTuple):
    """What an exchange brought: the others' notes by their writers' names, and the board's clock in Unix seconds."""

    at: float
    notes: dict[str, bytes]


class Board(Protocol):
    """Where notes are pinned."""

    async def exchange(self, name: str, note: bytes) -> News | None:
        """Pin `note` under `name` and read what the others have pinned; None when the board cannot be reached."""
        ...

    async def remove(self, name: str) -> None:
        """Take one's note off, on the way out."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class FolderBoard:
    """A folder that all processes of one machine can write to: a note is a file, replaced in one step."""

    def __init__(self, folder: Path, *, wall: Callable[[], float]) -> None:
        """Use `folder`, which must exist; `wall` is the clock of its files, in Unix seconds."""
        self._folder = folder
        self._wall = wall

    async def exchange(self, name: str, note: bytes) -> News | None:
        """See `Board`. Some files of a few kB: quicker than a thread would be."""
        try:
            return self._exchange(name, note)
        except OSError:
            return None

    def _exchange(self, name: str, note: bytes) -> News:
        fresh = self._folder / f".{name}"
        fresh.write_bytes(note)
        fresh.rename(self._folder / f"{name}.note")
        now = self._wall()
        notes: dict[str, bytes] = {}
        for path in self._folder.glob("*.note"):
            with contextlib.suppress(FileNotFoundError):  # its writer has just left
                # From the future, too: the clock has been set back, and whoever lives pins it anew in a second.
                if abs(now - path.stat().st_mtime) > EXPIRES:
                    path.unlink()
                elif path.stem != name:
                    notes[path.stem] = path.read_bytes()
        return News(now, notes)

    async def remove(self, name: str) -> None:
        """See `Board`."""
        with contextlib.suppress(OSError):
            (self._folder / f"{name}.note").unlink()

    async def close(self) -> None:
        """Nothing is held."""
