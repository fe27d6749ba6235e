"""One process, whose application can be exchanged while it serves: what a reload does when there are no workers.

    SIGHUP, a wish → settings reread → a new application started → requests are its from here on → the old one drains

Nothing is closed on the way: not the socket, not a connection, not a request; the new application goes on counting
where the old one stopped, and knows what its DWA has learned. Settings that are wrong, or an application that does not
start, leave the old one in place, and the log says why.

Why not a process in its place, as with several workers: a supervisor beside the one worker would cost the memory of
another Python and the time of another start, for a signal that hardly ever comes; and a process that gave way to
another would take its pid along, which is what systemd and container runtimes watch. The price: new code is not loaded.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from contextvars import Context
from typing import Any

from msgspec.structs import replace

from gateway import logs
from gateway.app import Application, create_app
from gateway.errors import GatewayError
from gateway.governance.audit import Act, reloaded
from gateway.renewal import Renewal, Reread, leaving, under_way, unstartable, wrong
from gateway.settings.changes import changed
from gateway.settings.tree import Settings
from gateway.supervisor import Terminal

_log = logging.getLogger("steelyard.reloading")
#: New objects between two collections of the young: some hundred requests' worth instead of the two of the default.
_YOUNG = 20_000


def settle() -> None:
    """Take what is alive now for what lives as long as the process.

    Left to the collector, it would be walked again and again while requests wait: 40 ms for each full collection.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)


class _Generation:
    """An application from its start to its stop, both in one task: what it opens may be bound to the task."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.requests: set[asyncio.Task[Any]] = set()
        self._started, self._stop = asyncio.Event(), asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it can serve. Raises whatever keeps it from that."""
        # It outlives the request that wished for it, whose name is on no line of it.
        self._life = asyncio.create_task(self._live(), context=Context())
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait([self._life, started], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._life.done():
            self._life.result()

    async def stop(self) -> None:
        """Stop it; what it took is written."""
        self._stop.set()
        if self._life is not None:
            await self._life

    async def drain(self, grace: float) -> None:
        """Stop it when its requests are done, at the latest after so many seconds."""
        if self.requests and (await asyncio.wait(set(self.requests), timeout=grace))[1]:
            _log.warning("requests did not finish within the grace", extra={"requests": len(self.requests)})
            for request in self.requests:
                request.cancel()
            await asyncio.wait(set(self.requests))
        await self.stop()

    async def _live(self) -> None:
        async with self.app.lifespan():
            self._started.set()
            await self._stop.wait()


class Reloading:
    """The ASGI application in front of the newest one."""

    def __init__(self, settings: Settings, reread: Callable[[], Reread], *, grace: float) -> None:
        """Begin with `settings`; `reread` gives later ones, or none when they are wrong, which it has logged then.

        `grace`: seconds for which a request may keep the application that it began with.
        """
        self._settings = settings
        self._reread = reread
        self._grace = grace
        self._terminal = Terminal()
        self._newest: _Generation
        self._reloading: asyncio.Task[None] | None = None
        self._again = self._leaving = False
        #: Called when the terminal is gone.
        self.stopped: Callable[[], None] = lambda: None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or the life of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        generation, task = self._newest, asyncio.current_task()
        assert task is not None
        generation.requests.add(task)
        try:
            await generation.app(scope, receive, send)
        finally:
            generation.requests.discard(task)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            self._newest = await self._begun(self._settings, None)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the server must hear that nothing will serve
            _log.exception("the application did not start")
            await send({"type": "lifespan.startup.failed", "message": type(exc).__name__})
            return
        settle()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        loop.remove_signal_handler(signal.SIGHUP)
        self._again, self._leaving = False, True
        if self._reloading is not None:
            # A new application that is just starting becomes the newest, and is stopped; an old one drains no longer.
            self._grace = 0.0
            await asyncio.wait([self._reloading])
        await self._newest.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def reload(self, act: Act) -> Renewal:
        """See `renewal.Reload`."""
        if self._leaving:
            raise leaving()
        if self._reloading is not None:
            raise under_way()
        told: asyncio.Future[Renewal] = asyncio.get_running_loop().create_future()
        self._begin(act, told)
        return await told

    def _hung_up(self) -> None:
        if self._terminal.gone:
            self.stopped()
        elif self._reloading is not None:
            self._again = True
        else:
            self._begin(None, None)

    def _begin(self, act: Act | None, told: asyncio.Future[Renewal] | None) -> None:
        self._reloading = asyncio.create_task(self._reload(act, told))
        self._reloading.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[None]) -> None:
        self._reloading = None
        if not task.cancelled() and (defect := task.exception()) is not None:
            _log.error("the reload failed", exc_info=defect)
        if self._again:
            self._again = False
            self._hung_up()

    async def _reload(self, act: Act | None, told: asyncio.Future[Renewal] | None) -> None:
        """What it comes to is told before the old one drains: whoever wished for it is among the old one's requests."""
        old = self._newest
        try:
            renewal = await self._renew(act)
        except Exception as exc:
            if told is not None and not told.done():
                told.set_exception(exc)
            if isinstance(exc, GatewayError):
                return
            raise
        if told is not None and not told.done():
            told.set_result(renewal)
        await old.drain(self._grace)
        settle()

    async def _renew(self, act: Act | None) -> Renewal:
        """Put another in place. Raises `GatewayError`, for a reason that is logged."""
        old = self._newest.app.parts
        try:
            found = await asyncio.to_thread(self._reread)
            new = None if found.settings is None else await self._begun(found.settings, self._newest.app)
        except Exception:  # noqa: BLE001 - whatever it is, the old one serves
            _log.exception("the new settings do not start: the old ones stay")
            raise unstartable() from None
        if found.settings is None or new is None:
            raise wrong([(one.place, one.message) for one in found.problems])
        parts = new.app.parts
        parts.take_over(old)
        self._newest = new
        _log.info("reloaded")
        names = changed(old.settings, found.settings)
        await parts.audit.record(
            reloaded(names, parts.wall(), parts.rng) if act is None else replace(act, after={"changed": names})
        )
        waiting = parts.workflows.waiting
        if waiting:
            _log.warning("for workflows these settings wait for the next start", extra={"settings": waiting})
        return Renewal(names, [*found.restart, *waiting])

    async def _begun(self, settings: Settings, predecessor: Application | None) -> _Generation:
        # In a thread: while a new one is being built, the old one answers.
        made = await asyncio.to_thread(create_app, settings, predecessor=predecessor, reload=self.reload)
        generation = _Generation(made)
        logs.configure(settings.log)
        await generation.start()
        return generation
