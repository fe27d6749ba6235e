"""The only door to OpenTelemetry: which traces are sent, and their way to the collector, by OTLP over HTTP.

    send → a queue of 2,048 spans → a thread, every 5 s or 512 spans → the collector

A span is over before it comes here, so it is handed to the library as what it hands to exporters itself
(`ReadableSpan`), and only in that thread: a request pays for its place in the queue. A collector that is slow, away or
silent is tried again by that thread alone, each time for 10 s in all; the queue drops the oldest meanwhile. The log
says once that the collector fails; what overflows before a slow one is not told.

Limits: the libraries' own log lines are silenced, as they have one for each failure. `OTEL_BSP_…` variables change the
figures above. Over gRPC nothing is sent: collectors take both.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from gateway.settings.telling import Tracing
from gateway.tracing.places import Place
from gateway.tracing.spans import Span

_log = logging.getLogger("steelyard.tracing")
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
#: What names of samplers begin with that do as whoever began the trace.
_FOLLOWING = "parentbased_"
#: Seconds at a stop for what is queued. A collector that takes longer loses it: nobody waits for a trace.
_LEAVE_WITHIN = 2.0
#: Export failures that are told again, as a reminder, while they last: one in so many.
_REMIND = 100


class Sending:
    """Samples, and sends."""

    def __init__(self, wanted: Tracing, version: str) -> None:
        """To the collector of these settings, as this version of the gateway."""
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        #: Does as whoever began the trace; the sampler is for those that begin here.
        self._follows = wanted.sampler.startswith(_FOLLOWING)
        self._sampler = _sampler(wanted.sampler.removeprefix(_FOLLOWING), wanted.sampler_arg)
        self._scope = InstrumentationScope("steelyard", version)
        # The library adds what the environment says; what a file or `.env` says comes first.
        named = {"service.version": version} | wanted.resource_pairs
        self._resource = Resource.create({**named, "service.name": wanted.service_name})
        exporter = OTLPSpanExporter(endpoint=address_of(wanted), headers=wanted.header_pairs or None)
        self._written = _Written(exporter, self._readable)
        self._processor = BatchSpanProcessor(self._written)

    def samples(self, trace: int, parent: Place | None) -> bool:
        """See `tracer.Sender`."""
        if parent is not None and self._follows:
            return parent.sampled
        return self._sampler.should_sample(None, trace, "").decision.is_sampled()

    def send(self, span: Span) -> None:
        """See `tracer.Sender`."""
        self._processor.on_end(_Ended(span))

    async def stop(self) -> None:
        """See `tracer.Sender`."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            self._processor.shutdown()
            with suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        # A thread of its own, that nobody waits for: the library waits for its collector for half a minute.
        threading.Thread(target=end, daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), _LEAVE_WITHIN)
        except TimeoutError:
            self._written.give_up()
            _log.warning("the collector did not take the last spans in time")

    def _readable(self, span: Span) -> ReadableSpan:
        state = _state(span.state)
        parent = _context(span.trace, span.parent, state) if span.parent else None
        return ReadableSpan(
            span.name,
            context=_context(span.trace, span.span, state),
            parent=parent,
            resource=self._resource,
            attributes=span.facts,
            events=[Event(one.name, one.facts, _nanoseconds(one.at)) for one in span.moments],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error or None) if span.failed else _UNSET,
            start_time=_nanoseconds(span.start),
            end_time=_nanoseconds(span.end),
            instrumentation_scope=self._scope,
        )


class _Ended(ReadableSpan):
    """A span in the queue, which becomes what the library knows in the thread that sends it."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._context = _QUEUED


class _Written(SpanExporter):
    """An exporter of those, whose failures are told, the first and now and then; and its recovery."""

    def __init__(self, exporter: SpanExporter, readable: Callable[[Span], ReadableSpan]) -> None:
        self._exporter = exporter
        self._readable = readable
        self._failures = 0
        self._over = False

    def give_up(self) -> None:
        """Send nothing more, and try nothing again."""
        self._over = True
        self._exporter.shutdown()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._over:
            return SpanExportResult.FAILURE
        result = self._exporter.export([self._readable(one.span) for one in spans if isinstance(one, _Ended)])
        if result is SpanExportResult.SUCCESS:
            if self._failures:
                _log.info("the collector takes traces again", extra={"failures": self._failures})
            self._failures = 0
            return result
        if self._failures % _REMIND == 0 and not self._over:
            _log.warning("the collector does not take traces: they are lost", extra={"spans": len(spans)})
        self._failures += 1
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def address_of(wanted: Tracing) -> str | None:
    """Where to send; None: where the library would, this machine's port 4318."""
    if wanted.traces_endpoint is not None:
        return wanted.traces_endpoint.reveal()
    if wanted.endpoint is None:
        return None
    base = wanted.endpoint.reveal()
    parts = urlsplit(base)
    return parts._replace(path=parts.path.rstrip("/") + "/v1/traces").geturl()


def _sampler(name: str, share: float) -> Sampler:
    if name == "traceidratio":
        return TraceIdRatioBased(share)
    return ALWAYS_ON if name == "always_on" else ALWAYS_OFF


def _context(trace: int, span: int, state: TraceState | None = None) -> SpanContext:
    return SpanContext(trace, span, is_remote=False, trace_flags=_SAMPLED, trace_state=state)


#: What the queue looks at.
_QUEUED = _context(1, 1)


def _state(text: str) -> TraceState | None:
    return TraceState.from_header([text]) if text else None


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
