"""A process that runs executions and serves nobody: the application's life without its socket."""

from __future__ import annotations

import asyncio
import logging
import signal

from gateway.app import create_app
from gateway.parts import Parts
from gateway.reloading import settle
from gateway.settings.tree import Settings

_log = logging.getLogger("steelyard.worker")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def work(settings: Settings) -> None:
    """Run executions until a signal; a second one ends the process at once, as it would end any."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        for one in _SIGNALS:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)
        stopped.set()

    for one in _SIGNALS:
        loop.add_signal_handler(one, stop)
    app = create_app(settings)
    async with app.lifespan():
        opening = asyncio.create_task(_open(app.parts))
        try:
            await stopped.wait()
            _log.info("handing over what runs")
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)


async def _open(parts: Parts) -> None:
    """Whether there are workflows yet or not: whoever comes first need not wait for us."""
    await parts.records.migrated.wait()
    service = await parts.workflows.open()
    await service.running.wait()
    settle()
    _log.info("running executions")
