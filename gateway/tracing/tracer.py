"""What the gateway asks of traces: begin one, tell what has ended. What becomes of spans is `sending`'s business.

Law: a trace fails no request. What a collector does, or does not, is nobody's concern but the sender's thread, and what
it does not take in time is let go of.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Protocol
from urllib.parse import urlsplit

from gateway.exchange import Exchange
from gateway.settings.tree import Settings
from gateway.tracing import spans
from gateway.tracing.places import Place, Trace, below, new_span, new_trace, read
from gateway.tracing.spans import Span, Whereabouts

_PORTS = {"http": 80, "https": 443}


class Sender(Protocol):
    """Takes spans to the collector."""

    def samples(self, trace: int, parent: Place | None) -> bool:
        """Whether this trace is to be sent; `parent` is the span of somebody else that it goes on from."""
        ...

    def send(self, span: Span) -> None:
        """Queue it. Neither waits nor raises."""
        ...

    async def stop(self) -> None:
        """Send what is queued, as far as it is taken within a moment."""
        ...


class Tracer:
    """Begins traces, and tells what has ended. Without a sender it passes on what callers begin, and no more."""

    def __init__(
        self,
        sender: Sender | None,
        *,
        told: Iterable[str],
        bodies: bool,
        wall: Callable[[], float],
        rng: random.Random,
        where: Whereabouts,
    ) -> None:
        """`told`: the providers that hear of traces; `bodies`: those that are recorded are in spans, too."""
        self._sender = sender
        self._told = frozenset(told)
        self._bodies = bodies
        self._wall = wall
        self._rng = rng
        self._where = where
        #: Traces are sent.
        self.on = sender is not None

    def begin(self, headers: Mapping[bytes, bytes], path: str) -> Trace | None:
        """The span of a request that comes in; None where there are no traces."""
        given = headers.get(b"traceparent")
        parent = None if given is None else read(given, headers.get(b"tracestate"))
        if self._sender is None:
            if parent is None:
                return None
            place = parent.trace, parent.span, parent.sampled, parent.state
            return Trace(*place, rng=self._rng, path=path, told=self._told, relayed=True)
        if parent is None:
            trace = new_trace(self._rng)
            sampled = self._sender.samples(trace, None)
            place = trace, new_span(self._rng), sampled, ""
            return Trace(*place, rng=self._rng, start=self._wall(), path=path, told=self._told)
        sampled = self._sender.samples(parent.trace, parent)
        place = parent.trace, new_span(self._rng), sampled, parent.state
        return Trace(*place, rng=self._rng, start=self._wall(), parent=parent.span, path=path, told=self._told)

    def resumed(self, trace: int, span: int, parent: int, origin: Place | None) -> Trace | None:
        """A span whose number is known beforehand, of a trace that `origin` has begun, or nobody.

        Whether it is sent follows from these, and is the same in every process.
        """
        if self._sender is None:
            return None
        sampled = self._sender.samples(trace, origin)
        state = origin.state if origin is not None else ""
        return Trace(trace, span, sampled, state, rng=self._rng, parent=parent, told=self._told)

    def take(self, exchange: Exchange) -> None:
        """The sink: one finished exchange."""
        trace = exchange.trace
        if trace is None or not trace.sampled or self._sender is None:
            return
        for span in spans.of_request(exchange, trace, self._where, bodies=self._bodies):
            self._sender.send(span)

    def served(self, trace: Trace, method: str, route: str, status: int) -> None:
        """A request was answered just now that asked no provider."""
        if trace.sampled and self._sender is not None:
            self._sender.send(spans.of_page(trace, method, route, status, self._wall()))

    def tool_called(self, server: str, tool: str, outcome: str, seconds: float) -> None:
        """An MCP server's tool was called, by what is being done here."""
        if self._sender is not None and (trace := below("tool")) is not None and trace.sampled:
            end = self._wall()
            self._sender.send(spans.of_tool(trace, server, tool, outcome, end - seconds, end))

    def ended(self, span: Span) -> None:
        """A span of somebody who knows what it looks like, of a trace that is sent."""
        if self._sender is not None:
            self._sender.send(span)

    async def stop(self) -> None:
        """Send what is queued."""
        if self._sender is not None:
            await self._sender.stop()


def tracer_of(settings: Settings, version: str, *, wall: Callable[[], float], rng: random.Random) -> Tracer:
    """The tracer that the settings want. OpenTelemetry's library is loaded where traces are sent, and nowhere else."""
    wanted = settings.tracing
    sender: Sender | None = None
    if wanted.used:
        sender = import_module("gateway.tracing.sending").Sending(wanted, version)
    where = {name: _place(provider.base_url) for name, provider in settings.providers.items()}
    return Tracer(sender, told=wanted.told, bodies=wanted.bodies, wall=wall, rng=rng, where=where)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]
