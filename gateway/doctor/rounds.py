"""All checks side by side, each for so long and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.doctor.finding import Check, Finding, problem


async def all_of(checks: Sequence[Check], within: float, told: Callable[[str], None]) -> list[Finding]:
    """What they find, in their order; `told` hears the name of each that is done. A check that fails is a finding."""

    async def one(check: Check) -> Sequence[Finding]:
        looking = asyncio.ensure_future(check.look())
        done, _ = await asyncio.wait({looking}, timeout=within)
        told(check.name)
        if not done:
            # Not awaited: what hangs may hang in its cancellation, too.
            looking.cancel()
            looking.add_done_callback(_forget)
            said = f"no answer within {within:g} s"
            return [problem(check.name, said, "See whether it hangs, or wait longer: --timeout.")]
        exc = looking.exception()
        if exc is not None:
            said = f"could not be looked at: {type(exc).__name__}"
            return [problem(check.name, said, "This is a defect of the doctor's: please report it.")]
        return looking.result()

    return [finding for found in await asyncio.gather(*map(one, checks)) for finding in found]


def _forget(task: asyncio.Future[Sequence[Finding]]) -> None:
    if not task.cancelled():
        task.exception()
