"""How long an attempt is waited for: until its call ends, or there is no use in waiting and another can be asked.

Hosts hang for longer than callers wait, and timeouts are for the longest of answers: whoever was sent to a host in the
seconds before it was found to hang, or probes whether it still does, would wait for the whole of its timeout; and so
would those whose requests a host loses while it answers others. The DWA says who waits in vain (`dwa/losing.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dwa import Balancer, Ticket
from providers.errors import Silent

T = TypeVar("T")
#: On any clock of a loop: at once.
_NOW = 0.0
#: Seconds between two looks at who waits while nobody asks.
_EVERY = 0.5


async def look_after(balancer: Balancer) -> None:
    """Let it find out who waits in vain, until cancelled: else it does so only when somebody asks."""
    while True:
        await asyncio.sleep(_EVERY)
        balancer.review()


async def patiently(answer: Awaitable[T], ticket: Ticket, is_another_left: Callable[[], bool]) -> T:
    """What was asked for. Raises `Silent`, having cancelled it, when it waits in vain and another is left to ask."""
    loop = asyncio.get_running_loop()
    began, patience = loop.time(), asyncio.timeout(None)

    def give_up() -> None:
        if is_another_left():
            patience.reschedule(_NOW)

    try:
        async with patience:
            ticket.on_hang = give_up
            try:
                return await answer
            finally:
                ticket.on_hang = None
    except TimeoutError as exc:
        if not patience.expired():
            raise
        raise Silent(loop.time() - began) from exc
