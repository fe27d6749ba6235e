"""A process that runs executions and serves nobody: the application's life, and at most a look at how it is."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

from gateway.app import create_app
from gateway.parts import Parts
from gateway.reloading import settle
from gateway.server import beside
from gateway.settings.tree import Settings

_log = logging.getLogger("steelyard.worker")
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def work(settings: Settings, shown: socket.socket | None = None) -> None:
    """Run executions until a signal; a second one ends the process at once, as it would end any.

    Metrics and health are shown on the socket `shown`.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        for one in _SIGNALS:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)
        stopped.set()

    for one in _SIGNALS:
        loop.add_signal_handler(one, stop)
    app = create_app(settings)
    # A worker that cannot open ends, and says why: one that only seems to be there helps nobody.
    async with app.lifespan(), asyncio.TaskGroup() as group:
        opening = group.create_task(_open(app.parts))
        showing = beside(app, settings)
        if shown is not None:
            group.create_task(showing.serve(sockets=[shown]))
        await stopped.wait()
        _log.info("handing over what runs")
        showing.should_exit = True
        opening.cancel()


async def _open(parts: Parts) -> None:
    """Whether there are workflows yet or not: whoever comes first need not wait for us."""
    await parts.records.migrated.wait()
    service = await parts.workflows.open()
    await service.running.wait()
    settle()
    _log.info("running executions")
