"""Where the bytes of artifacts lie: a port of five verbs, and the folder that it is by default.

    <folder>/<database>/<execution>/<artifact>         a file
    <folder>/<database>/<execution>/<artifact>.part    one that is being written, or was when its process died

Law: a file is there whole or not at all, and never changes: it is written beside its place, brought to the disk, and
then moved there. A path is three names of letters and digits that this gateway has made itself; what is none, whoever
says so, is no path here, so that none leads out of the folder. Only the gateway's own user can read files, as
they hold what prompts and answers hold.

Another store needs the same five verbs, and to raise `OSError` when it cannot.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

_NAME = "[A-Za-z0-9_-]{1,200}"
_PATH = re.compile(rf"{_NAME}/{_NAME}/{_NAME}(?:\.part)?")
#: Bytes of a piece. Doubled, a download holds twice the memory; halved, a large one asks a thread twice as often.
_PIECE = 256 * 1024
#: Where the system has it: what lies at the place of a file is read only if it is one, and no way to another.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
#: A folder that somebody removes while another writes into it, as it was empty, is made again so often.
_TRIES = 5
#: Paths that are told at once: whoever asks a database for them all names each in one statement, which has an end.
_AT_A_TIME = 500


class Files(Protocol):
    """Keeps files under paths. Every method raises `OSError` when it cannot."""

    def path(self, execution_id: str, artifact_id: str) -> str:
        """Where a new file of that execution goes."""
        ...

    async def write(self, path: str, pieces: AsyncIterator[bytes]) -> None:
        """Keep a file: afterwards it is there whole, over a loss of power, too. If `pieces` raises it is not there."""
        ...

    def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """A file, or `length` bytes of it, piece by piece."""
        ...

    async def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        ...

    def old(self, before: float) -> AsyncIterator[list[str]]:
        """The paths of what was written before that moment (Unix seconds), some at a time, half-written files too."""
        ...


class Folder:
    """Files in a folder."""

    def __init__(self, root: Path, database: str) -> None:
        """In this folder, which is made when the first is written; `database` sets the files of several apart."""
        self._root = root
        self._database = database

    def path(self, execution_id: str, artifact_id: str) -> str:
        """See `Files`."""
        return f"{self._database}/{execution_id}/{artifact_id}"

    async def write(self, path: str, pieces: AsyncIterator[bytes]) -> None:
        """See `Files`."""
        place = self._place(path)
        part = place.with_name(f"{place.name}.part")
        file = await asyncio.to_thread(_created, part)
        try:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(_finished, file, part, place)
        except BaseException:
            # A step that is cancelled amid its file, too: half of one must not stay.
            file.close()
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        """See `Files`."""
        file = await asyncio.to_thread(_opened, self._place(path), start)
        try:
            while length is None or length > 0:
                piece = await asyncio.to_thread(file.read, _PIECE if length is None else min(_PIECE, length))
                if not piece:
                    return
                length = None if length is None else length - len(piece)
                yield piece
        finally:
            file.close()

    async def delete(self, path: str) -> None:
        """See `Files`."""
        await asyncio.to_thread(_removed, self._place(path))

    async def old(self, before: float) -> AsyncIterator[list[str]]:
        """See `Files`: those of this database."""
        found = list[str]()
        for folder in await asyncio.to_thread(_names, self._root / self._database):
            names = await asyncio.to_thread(_older, self._root / self._database / folder, before)
            found += [path for name in names if _PATH.fullmatch(path := f"{self._database}/{folder}/{name}")]
            while len(found) >= _AT_A_TIME:
                yield found[:_AT_A_TIME]
                found = found[_AT_A_TIME:]
        if found:
            yield found

    def _place(self, path: str) -> Path:
        if not _PATH.fullmatch(path):
            raise OSError(f"'{path:.200}' is no path of the folder for artifacts")
        return self._root / path


def _created(part: Path) -> BinaryIO:
    part.parents[2].mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        for folder in (part.parents[1], part.parent):
            # By `exist_ok`, one that goes right after it was found would be an error.
            with suppress(FileNotFoundError, FileExistsError):
                folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):
            made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
            return os.fdopen(made, "wb")
    raise OSError(f"the folder '{part.parent.name}' is removed again and again")


def _finished(file: BinaryIO, part: Path, place: Path) -> None:
    with file:
        file.flush()
        os.fsync(file.fileno())
    part.replace(place)
    # A name is on the disk only when its folder is, and that folder's when the one above is.
    for folder in place.parents[:3]:
        _settle(folder)


def _settle(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _opened(place: Path, start: int) -> BinaryIO:
    file = os.fdopen(os.open(place, os.O_RDONLY | _NO_LINK), "rb", buffering=0)
    try:
        file.seek(start)
    except OSError:
        file.close()
        raise
    return file


def _removed(place: Path) -> None:
    place.unlink(missing_ok=True)
    with suppress(OSError):  # others are in it, or it is gone
        place.parent.rmdir()


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        return sorted(one.name for one in found if one.is_dir(follow_symlinks=False))
    return []


def _older(folder: Path, before: float) -> list[str]:
    names, empty = list[str](), True
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for one in found:
            empty = False
            if one.is_file(follow_symlinks=False) and one.stat(follow_symlinks=False).st_mtime < before:
                names.append(one.name)
    if empty:
        with suppress(OSError):  # somebody writes into it just now
            folder.rmdir()
    return names
