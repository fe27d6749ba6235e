"""A file as it comes in: beside its place until it is whole, and seen to be what was sent.

Law: at its place is the whole file or what was there before. The gateway's `ETag` is a checksum; what does not have it
was spoilt on its way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from steelyard_client.errors import Unreadable

_TAG = '"sha256-'


class Saving:
    """A file that is to be at `place`. Left without `keep`, it never was."""

    def __init__(self, place: Path) -> None:
        """Nothing is written before the first bytes."""
        self._place = place
        self._part = place.with_name(f".{place.name}.{uuid4().hex}.part")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._file = self._part.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            self._part.unlink()

    def write(self, piece: bytes) -> None:
        """More of it. Raises `OSError`."""
        self._file.write(piece)
        self._digest.update(piece)

    def keep(self, status: int, headers: Mapping[str, str]) -> None:
        """That was all. Raises `Unreadable` when it is not what was sent, and `OSError`."""
        check(self._digest.hexdigest(), status, headers)
        self._file.close()
        self._part.replace(self._place)


def check(digest: str, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
    """Whether bytes with this SHA-256 are those of an answer with these headers. Raises `Unreadable`."""
    tag = headers.get("etag", "")
    if tag.startswith(_TAG) and tag.removeprefix(_TAG).removesuffix('"') != digest:
        raise Unreadable("The file is not what was sent: its checksum differs.", status=status, body=body)
