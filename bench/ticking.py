"""A timer for the event loop that is right to some microseconds.

The loops' own are not: libuv and epoll count milliseconds, which is longer than what is measured here. Linux has file
descriptors that become readable at a time (`timerfd`), and Python has a name for them only from 3.13 on. Elsewhere the
loop's own timer serves, and the generator's lateness is told with the result.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable

_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Spec(ctypes.Structure):
    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Ticker:
    """Calls `wake` at the times it is set to, one at a time."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._fd = -1
        if self._libc is not None:
            self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
            self._loop.add_reader(self._fd, self._due)

    def at(self, when: float) -> None:
        """Wake at this time of `time.monotonic`; at once when it has passed."""
        if self._libc is None:
            self._loop.call_later(max(0.0, when - time.monotonic()), self._wake)
            return
        seconds = int(when)
        # A time of zero would mean never.
        spec = _Spec(0, 0, seconds, max(1, int((when - seconds) * 1e9)))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)

    def close(self) -> None:
        """Never again."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _due(self) -> None:
        os.read(self._fd, 8)
        self._wake()
