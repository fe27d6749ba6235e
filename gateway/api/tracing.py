"""The way in, traced: where a request's trace begins, and what its answer and its log lines say of it."""

from typing import Any

from litestar.types import HTTPScope

from gateway.api.wire import Pairs
from gateway.exchange import Exchange
from gateway.tracing.places import Here, Trace, enter, here
from gateway.tracing.spans import route_of
from gateway.tracing.tracer import Tracer

#: In the state of an ordinary request: the status of its answer.
ANSWERED = "answered"
#: The caller of a request that was given no answer has gone; as nginx counts them.
_GONE = 499
#: Instead of an address that is none of ours, and could be anything.
_NOWHERE = "_OTHER"
#: What is asked every few seconds, by balancers and Prometheus, and pages: nobody looks for their traces.
_UNTRACED = ("/health", "/api/health", "/metrics", "/docs", "/openapi")


class Tracing:
    """Begins and ends the spans of requests."""

    def __init__(self, tracer: Tracer | None) -> None:
        """By this tracer; without one there are no traces."""
        self._tracer = tracer
        self._on = tracer is not None and tracer.on

    def entered(self, request_id: str, headers: dict[bytes, bytes], path: str, returned: Pairs) -> Trace | None:
        """A request comes in: its span, if it has one, which `returned` names to the caller; and lines name it."""
        trace = None
        if self._tracer is not None and (self._on or b"traceparent" in headers) and not path.startswith(_UNTRACED):
            trace = self._tracer.begin(headers, path)
            if trace is not None:
                returned.append((b"x-steelyard-trace-id", trace.trace_id.encode()))
        enter(Here(request_id, "", trace))
        return trace

    def over(self, scope: HTTPScope) -> None:
        """An ordinary request was answered, or its caller has gone."""
        # There is none where nothing answers to the address.
        template: str = dict[str, Any](scope).get("path_template", _NOWHERE)
        self.left(scope["method"], template, scope["state"].get(ANSWERED, _GONE))

    def compared(self, exchange: Exchange) -> None:
        """A comparison is over. Its parts have told of themselves; it has no record, but a span."""
        if self._tracer is not None:
            self._tracer.take(exchange)

    def left(self, method: str, route: str | None, status: int) -> None:
        """A request has ended that asked no provider. `route`: its address without the caller's parts."""
        now = here()
        if self._tracer is not None and now is not None and isinstance(trace := now.place, Trace):
            self._tracer.served(trace, method, route or route_of(trace.path), status)
