"""The form of a backup: gzip over lines of JSON, the same whichever engine it came from.

    {"format": "steelyard-backup", "version": 1, "revision": "0009", "tables": [{"name", "columns": [[name, kind]…]}]…}
    {"table": "exchanges"}           the rows that follow are of it
    ["req_01…", "2026-11-22T…", …]   a row: its columns in the header's order
    {"file": "exec_…/artifact_…", "size": 1234}
    "…"                              a piece of that file, base64
    {"rows": 12, "files": 1, "sha256": "…"}      the end: of all bytes of the lines before

Law: what is read is what was written, on both engines: a time is its instant, money every place of it. (A `nan`, which
SQLite does not know, is 0 there.) A file without its end, or with another sum, is not believed.

The kinds, and not today's tables, say what a column is: an older version's backup is read by them.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from base64 import b64decode
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct
from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, LargeBinary, String, Table, column, table
from sqlalchemy.sql.expression import TableClause

from gateway.store.tables import Money, MoneySum, UtcDateTime

FORMAT, VERSION = "steelyard-backup", 1
#: zlib's level: 6 takes twice as long for a tenth less.
_LEVEL = 3
#: Bytes of a line at most: two bodies of a request and as much again for base64, many times over.
_LONGEST = 1 << 30
Kind = Literal["text", "integer", "float", "boolean", "time", "money", "json", "json_or_null", "bytes"]
_TYPES: dict[Kind, Any] = {
    "text": String(),
    "integer": BigInteger(),
    "float": Double(),
    "boolean": Boolean(),
    "time": UtcDateTime(),
    "money": MoneySum(),
    "json": JSON(),
    "json_or_null": JSON(none_as_null=True),
    "bytes": LargeBinary(),
}
_READ: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "time": datetime.fromisoformat,
    "money": Decimal,
    "bytes": b64decode,
}
_ENCODER = msgspec.json.Encoder(decimal_format="string")
_DECODER = msgspec.json.Decoder()


class NoBackup(Exception):
    """This file is no whole backup that this version can read."""


class FileTrouble(Exception):
    """A file could not be read or written: the backup itself, or one of an artifact."""


@contextmanager
def files_of(path: object) -> Generator[None]:
    """Tell an `OSError` apart from those of the database's connection."""
    try:
        yield
    except OSError as exc:
        raise FileTrouble(f"{path}: {exc.strerror or exc}") from exc


class Shape(Struct, frozen=True):
    """A table: its columns in their order, each with its kind."""

    name: str
    columns: tuple[tuple[str, Kind], ...]

    def clause(self) -> TableClause:
        """The table, for statements."""
        return table(self.name, *(column(name, _TYPES[kind]) for name, kind in self.columns))


class Header(Struct, frozen=True, kw_only=True):
    """The first line. `oldest` is when the oldest request came, Unix seconds; None when there is none."""

    format: str
    version: int
    steelyard: str
    revision: str
    made_at: datetime
    engine: str
    oldest: float | None
    tables: tuple[Shape, ...]


class End(Struct, frozen=True):
    """The last line."""

    rows: int
    files: int
    sha256: str


class Section(Struct, frozen=True):
    """What the lines that follow are: rows of a table, or pieces of a file of so many bytes."""

    table: str | None = None
    file: str | None = None
    size: int = 0


def shape_of(found: Table) -> Shape:
    """The shape of one of our tables."""
    # As plain text: SQLAlchemy's own kind of it is none that is written down.
    return Shape(f"{found.name}", tuple((f"{one.name}", _kind(one)) for one in found.columns))


def _kind(one: Column[Any]) -> Kind:
    match one.type:
        case UtcDateTime():
            return "time"
        case Money():
            return "money"
        case JSON():
            return "json_or_null" if one.nullable else "json"
        case Boolean():
            return "boolean"
        case Integer():
            return "integer"
        case Double():
            return "float"
        case LargeBinary():
            return "bytes"
        case _:
            return "text"


class Writer:
    """Writes a backup, line by line, into a file that is only now made."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin. This and all that follows raise `FileTrouble`."""
        self._path = path
        with files_of(path):
            self._open()
        self._sum = hashlib.sha256()
        self._rows = self._files = 0
        try:
            self._line(header)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        path = self._path
        self._raw = path.open("xb")
        path.chmod(0o600)
        # Without a name and time in its head: the same database makes the same file.
        self._packed = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._raw, mtime=0)

    def begin(self, section: Section) -> None:
        """What follows is of this."""
        self._files += section.file is not None
        told = {"table": section.table} if section.table else {"file": section.file, "size": section.size}
        self._line(told)

    def row(self, values: Sequence[Any]) -> None:
        """A row."""
        self._rows += 1
        self._line([value if type(value) is not float or isfinite(value) else str(value) for value in values])

    def piece(self, data: bytes) -> None:
        """A piece of a file."""
        self._line(data)

    def end(self) -> End:
        """Write the last line, and bring all of it to the disk."""
        told = End(self._rows, self._files, self._sum.hexdigest())
        with files_of(self._path):
            self._packed.write(_ENCODER.encode(told) + b"\n")
            self._packed.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
        return told

    def close(self) -> None:
        """Close the file, whole or not."""
        self._raw.close()

    def _line(self, value: Any) -> None:
        line = _ENCODER.encode(value) + b"\n"
        self._sum.update(line)
        with files_of(self._path):
            self._packed.write(line)


class Reader:
    """Reads a backup. Iterated, it gives sections, rows and pieces in turn, and `NoBackup` where it is none."""

    def __init__(self, path: Path) -> None:
        """Read the header. This and all that follows raise `NoBackup` or `FileTrouble`."""
        self._path = path
        with files_of(path):
            self._raw = path.open("rb")
            #: Bytes of the file.
            self.size = path.stat().st_size
        self._packed = gzip.GzipFile(fileobj=self._raw, mode="rb")
        self._sum = hashlib.sha256()
        self.end: End | None = None
        try:
            self.header = self._header()
        except BaseException:
            self.close()
            raise

    @property
    def position(self) -> int:
        """How many of its bytes were read."""
        return self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._packed.close()
        self._raw.close()

    def __iter__(self) -> Iterator[Section | list[Any] | bytes]:
        """Everything between header and end, which is checked when it is reached."""
        readers: list[Callable[[Any], Any] | None] = []
        shapes = {shape.name: shape for shape in self.header.tables}
        rows = files = 0
        while True:
            line = self._next()
            value = self._decoded(line)
            if isinstance(value, list):
                rows += 1
                yield self._row(cast("list[Any]", value), readers)
            elif isinstance(value, str):
                yield self._converted(b64decode, value)
            elif "sha256" in value:
                self._check(value, rows, files)
                return
            else:
                section = self._convert(value, Section)
                files += section.file is not None
                if section.table is not None:
                    if section.table not in shapes:
                        raise NoBackup(f"{self._path} has rows of a table that it does not describe.")
                    readers = [_READ.get(kind) for _, kind in shapes[section.table].columns]
                yield section
            self._sum.update(line)

    def _row(self, values: list[Any], readers: Sequence[Callable[[Any], Any] | None]) -> list[Any]:
        if len(values) != len(readers):
            raise NoBackup(f"{self._path} is damaged: a row has {len(values)} values for {len(readers)} columns.")
        return [
            value if value is None or read is None else self._converted(read, value)
            for value, read in zip(values, readers, strict=True)
        ]

    def _header(self) -> Header:
        line = self._next()
        told = self._decoded(line)
        if not isinstance(told, dict) or cast("dict[str, Any]", told).get("format") != FORMAT:
            raise NoBackup(f"{self._path} is no backup of Steelyard's.")
        if cast("dict[str, Any]", told).get("version") != VERSION:
            raise NoBackup(f"{self._path} is of a newer version of Steelyard: restore it with that one.")
        self._sum.update(line)
        return self._convert(told, Header)

    def _unpacked(self) -> bytes:
        try:
            return self._packed.readline(_LONGEST)
        except gzip.BadGzipFile as exc:  # which is an OSError, but no disk's
            raise EOFError(str(exc)) from exc

    def _next(self) -> bytes:
        try:
            with files_of(self._path):
                line = self._unpacked()
        except (EOFError, zlib.error) as exc:
            raise NoBackup(f"{self._path} is no backup, or damaged: {exc}.") from exc
        if not line.endswith(b"\n"):
            raise NoBackup(f"{self._path} ends too early: it was never finished, or is cut off.")
        return line

    def _check(self, value: Any, rows: int, files: int) -> None:
        told = self._convert(value, End)
        if told != End(rows, files, self._sum.hexdigest()):
            raise NoBackup(f"{self._path} is damaged: its checksum is another.")
        self.end = told

    def _decoded(self, line: bytes) -> Any:
        return self._converted(_DECODER.decode, line)

    def _convert(self, value: Any, kind: Any) -> Any:
        return self._converted(lambda one: msgspec.convert(one, kind), value)

    def _converted(self, read: Callable[[Any], Any], value: Any) -> Any:
        try:
            return read(value)
        except (ValueError, TypeError, ArithmeticError) as exc:
            raise NoBackup(f"{self._path} is damaged: a value is none of its kind.") from exc
