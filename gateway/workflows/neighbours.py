"""Which processes are known to have ended, without waiting for their silence: those of this very machine.

A process number means something only where it was given: on one machine since its start, and within one container of
it. `PLACE` names that, as far as the system tells; elsewhere, and for a number that somebody else has got since, there
is the lease.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path


def _place() -> str:
    try:
        since = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {since} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        # No Linux, and hence no containers that share a name.
        return socket.gethostname()


#: Where this process's number means something.
PLACE = _place()


def gone(place: str, pid: int) -> bool:
    """Whether a process has ended for certain."""
    if place != PLACE or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is there, and somebody else's
    return False
