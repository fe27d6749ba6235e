"""`steelyard serve` whose clock and names others set, in files of the folder that `WAYWARD` names.

clock       eight bytes: the seconds by which the clock of the wall is ahead
names       how names that end in `WAYWARD_ZONE` are resolved: `well`, `fail`, `hang`, or `fail alfa` for one of them
befallen    written by it: the names that were looked up while they were not well

Names are looked up anew every half second instead of every half minute, so that a case takes seconds.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any

FOLDER, ZONE = Path(os.environ["WAYWARD"]), os.environ["WAYWARD_ZONE"]
_real_time, _real_look_up = time.time, socket.getaddrinfo
with (FOLDER / "clock").open("rb") as _file:
    _clock = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)


def wall() -> float:
    return _real_time() + struct.unpack_from("d", _clock)[0]


def look_up(host: Any, *arguments: Any, **named: Any) -> Any:
    """As the system does, but for names of ours."""
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or not name.endswith(ZONE):
        return _real_look_up(host, *arguments, **named)
    if named.get("flags", 0) & socket.AI_NUMERICHOST:
        raise socket.gaierror(socket.EAI_NONAME, "it is a name")
    if _befalls(name) != "well":
        with (FOLDER / "befallen").open("a") as file:
            file.write(f"{name}\n")
    while _befalls(name) == "hang":
        time.sleep(0.05)
    if _befalls(name) == "fail":
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _real_look_up("127.0.0.1", *arguments, **named)


def _befalls(name: str) -> str:
    manner, _, only = (FOLDER / "names").read_text().partition(" ")
    return manner if not only or name == only + ZONE else "well"


# Before the gateway is loaded: it takes its clock as a default argument.
time.time, socket.getaddrinfo = wall, look_up

from gateway.cli import main  # noqa: E402
from providers.http import names  # noqa: E402

names.KEPT_S = 0.5

if __name__ == "__main__":
    main()
