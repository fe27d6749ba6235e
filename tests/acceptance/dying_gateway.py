"""`steelyard serve` that kills itself, once, at a place that the environment names: `DIES_AT`, and `DIES_ONCE` a file.

aside     as soon as a paid answer is here, before it is set aside
success   when it is set aside, before the transaction of the step's success begins
commit    within that transaction, when all is written and nothing is committed
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.store.workflows import steps

PLACE, ONCE = os.environ["DIES_AT"], Path(os.environ["DIES_ONCE"])
_put, _note_all, _set_aside = steps.put, steps.note_all, steps.set_aside


def die(place: str) -> None:
    """Here, if it is the place, and for the first time."""
    if place == PLACE and not ONCE.exists():
        ONCE.touch()
        os.kill(os.getpid(), signal.SIGKILL)


async def put(database: Any, fence: Any, step: Any, event: str, **facts: Any) -> bool:
    if event == "step.succeeded":
        die("success")
    return await _put(database, fence, step, event, **facts)


async def note_all(connection: Any, changed: Any, found: Any) -> None:
    await _note_all(connection, changed, found)
    if any(one.kind == "step.succeeded" for one in found):
        die("commit")


async def set_aside(database: Any, step: Any, answer: Any) -> None:
    die("aside")
    await _set_aside(database, step, answer)


steps.put, steps.note_all, steps.set_aside = put, note_all, set_aside

if __name__ == "__main__":
    main()
