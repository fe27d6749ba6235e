"""An OpenTelemetry collector for tests: it takes traces as OTLP over HTTP, and keeps what it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.settings import SecretUrl, Settings
from gateway.settings.telling import Tracing
from tests.serving import until

Value = Any


@dataclass
class Moment:
    """An event of a span."""

    name: str
    at: int
    facts: dict[str, Value]


@dataclass
class Seen:
    """One span as it came, ids in hexadecimal; `parent` is empty at the top. Kind and status are OTLP's words."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    start: int
    end: int
    facts: dict[str, Value]
    moments: list[Moment]
    failed: bool
    said: str
    state: str
    resource: dict[str, Value]


@dataclass
class Collector:
    """What was sent, and how it was asked for."""

    port: int = 0
    spans: list[Seen] = field(default_factory=list[Seen])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    paths: list[str] = field(default_factory=list[str])
    #: Waits for this before it answers.
    silent: threading.Event | None = None
    #: What it answers.
    status: int = 200
    #: Requests that have come in.
    asked: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace: str) -> list[Seen]:
        """The spans of that trace, those above first."""
        return sorted((one for one in self.spans if one.trace == trace), key=lambda one: (one.start, one.end))

    def named(self, name: str, trace: str | None = None) -> list[Seen]:
        return [one for one in self.spans if one.name == name and trace in (None, one.trace)]

    def eventually(self, condition: Callable[[], object]) -> None:
        """Wait for it; spans are sent a moment after what they tell of."""
        until(condition, within=20.0)

    def take(self, body: bytes) -> None:
        asked = ExportTraceServiceRequest.FromString(body)
        for resource in asked.resource_spans:
            about = _facts(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_seen(span, about) for span in scope.spans]


def _seen(span: Any, about: dict[str, Value]) -> Seen:
    kind = span.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[span.kind].name
    return Seen(
        span.name,
        kind.removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _facts(span.attributes),
        [Moment(one.name, one.time_unix_nano, _facts(one.attributes)) for one in span.events],
        span.status.code == 2,
        span.status.message,
        span.trace_state,
        about,
    )


def _facts(pairs: Any) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


@contextmanager
def a_collector() -> Generator[Collector]:
    """One that takes everything."""
    collector = Collector()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.asked += 1
            if collector.silent is not None:
                collector.silent.wait(60)
            collector.paths.append(self.path)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            if collector.status == 200:
                collector.take(body)
            self.send_response(collector.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    server.daemon_threads = True
    collector.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        if collector.silent is not None:
            collector.silent.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


def traced(collector: Collector, **more: Any) -> Callable[[Settings], Settings]:
    """Settings with which traces are sent there."""

    def change(settings: Settings) -> Settings:
        return replace(settings, tracing=replace(Tracing(endpoint=SecretUrl(collector.url)), **more))

    return change
