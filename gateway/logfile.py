"""A log file that several processes write to, and that is begun anew when it has grown.

Older ones are `log.1`, `log.2` and so on, the newest first.

Law: no line is lost or torn, whoever else writes, begins a new file or moves this one away. A line is one write at the
file's end, which the system does as one. Who writes shares a lock, who moves the files up has it alone; and each looks
whether the file is still the one by that name, and opens the other if not. So logrotate may do the same by `create`,
and needs to tell nobody. (By `copytruncate` it loses what comes between its copy and its cut, whoever writes.)

Nobody waits for the lock, since whoever holds it may be frozen: a file that cannot be moved now is moved at one of the
next lines, and a line that comes while one is being moved lands in what is `log.1` by then.

Limits: a file system over the network that does not lock, or append, is no place for it. A disk that is full, or a
folder that is gone, costs no request: the line goes to standard error instead.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from pathlib import Path

#: Log lines are for the operator and his group.
_MODE = 0o640
_LOCKS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


class SharedFile(logging.Handler):
    """Writes lines to a file that is shared."""

    def __init__(self, path: Path, *, size: int, count: int) -> None:
        """Begin a new file from `size` bytes on (0: never), and keep `count` older ones. Raises `OSError`."""
        super().__init__()
        self._path, self._size, self._count = path.absolute(), size, count
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._path.with_name(self._path.name + ".lock"), _LOCKS, _MODE)
        self._file = self._opened()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - a record that cannot be formatted is a defect of whoever made it, and told so
            self.handleError(record)
            return
        data = line.encode("utf-8", "backslashreplace")
        try:
            self._write(data)
        except OSError:
            # Nobody reads a log that cannot be written, and some read this.
            sys.stderr.write(line)

    def close(self) -> None:
        """Let go of the file."""
        self.acquire()
        try:
            for one in {self._file, self._lock} - {-1}:
                os.close(one)
            self._file = self._lock = -1
        finally:
            self.release()
        super().close()

    def _write(self, data: bytes) -> None:
        if self._lock < 0:
            raise OSError("the file is closed")
        alone = False
        locked = self._locked(fcntl.LOCK_SH)
        try:
            size = self._looked()
            if self._size and size and size + len(data) > self._size:
                alone = self._locked(fcntl.LOCK_EX)
                if alone:
                    self._begin_anew(len(data))
                else:
                    # Others write just now, and the lock that was shared is gone.
                    locked = self._locked(fcntl.LOCK_SH)
                    self._looked()
            while data:
                # All at once, but for a disk that is just full.
                data = data[os.write(self._file, data) :]
        finally:
            if locked or alone:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _locked(self, how: int) -> bool:
        try:
            fcntl.flock(self._lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _looked(self) -> int:
        """The size of the file, once it is the one by that name."""
        held, named = os.fstat(self._file), self._named()
        if named is not None and (held.st_ino, held.st_dev) == (named.st_ino, named.st_dev):
            return held.st_size
        opened = self._opened()
        os.close(self._file)
        self._file = opened
        return os.fstat(opened).st_size

    def _begin_anew(self, coming: int) -> None:
        """Move the files up, unless another process has just done it. The lock is held alone."""
        if self._looked() + coming <= self._size:
            return
        for number in range(self._count - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._looked()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _named(self) -> os.stat_result | None:
        try:
            return self._path.stat()
        except FileNotFoundError:
            return None

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
