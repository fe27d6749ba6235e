"""Which processes that share a spill have ended: known at once, and without their help.

    <spill>/living/<name>     flock'd by the process of that name for as long as it lives

The kernel drops the lock of a dead process, however it died; so a name whose file is there and can be locked is a dead
one's, and one without a file is not of here: of those only their silence tells. What such a process has spent, and had
not written yet, is in the same spill: `RequestLog.inherit` says when none of it is left.

Not by the numbers of processes: they come again, in a container the very same ones.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path


class Living:
    """The folder of them."""

    def __init__(self, spill: Path) -> None:
        """Beside the spill; nothing is touched before `enter`."""
        self._folder = spill / "living"
        self._mine: tuple[Path, int] | None = None

    def enter(self, name: str) -> None:
        """This process lives by that name, which is nobody else's. A second call does nothing. Raises `OSError`."""
        if self._mine is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / name
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                raise
            self._mine = path, handle

    def ended(self, names: Iterable[str]) -> set[str]:
        """Those of these that were of here, and are no more."""
        return {name for name in names if self._has_ended(name)}

    def _has_ended(self, name: str) -> bool:
        try:
            handle = os.open(self._folder / name, os.O_RDWR)
        except OSError:
            return False  # not of here, or not to be known
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(handle)
        return True

    def forget(self, name: str) -> None:
        """Nobody will ask for that one again."""
        (self._folder / name).unlink(missing_ok=True)

    def leave(self) -> None:
        """Nobody will ask for this process any more. Who leaves something behind lives until the kernel says not."""
        if self._mine is not None:
            (path, handle), self._mine = self._mine, None
            path.unlink(missing_ok=True)
            os.close(handle)
