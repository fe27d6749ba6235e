"""Where a finished exchange goes: metrics, request log, log line. None of them may fail the request.

A sink that raises is a defect of ours: it is counted, told once per kind, and the others still get the exchange.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.exchange import Exchange

_log = logging.getLogger("steelyard.sinks")
Sink = Callable[[Exchange], None]


class Sinks:
    """Every sink, fed once per exchange."""

    def __init__(self, sinks: Sequence[tuple[str, Sink]], *, failed: Callable[[str], None]) -> None:
        """Feed the named `sinks` in order; call `failed` with the name of one that raises."""
        self._sinks = tuple(sinks)
        self._failed = failed
        self._told: set[str] = set()

    def feed(self, exchange: Exchange) -> None:
        """Give the exchange to all."""
        for name, sink in self._sinks:
            try:
                sink(exchange)
            except Exception as exc:  # noqa: BLE001 - the caller's answer must not depend on our bookkeeping
                self._failed(name)
                if name not in self._told:
                    self._told.add(name)
                    _log.error("sink failed", extra={"sink": name, "request_id": exchange.id}, exc_info=exc)
