"""What providers are told of a trace: nothing, but where the settings name them (`STEELYARD_TRACING_PROPAGATE`).

A trace's number tells a stranger which of his requests belong together, and `tracestate` is whatever others have put
there. A server of one's own, which continues the trace, is worth both.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.exchange import Attempt
from gateway.tracing.places import Trace, new_span
from providers.dialect import Call


def onward(call: Call, attempt: Attempt, trace: Trace) -> Call:
    """The call with what its provider is told, if anything."""
    if not trace.tells(attempt.provider):
        return call
    if not trace.relayed:
        attempt.span = new_span(trace.rng)
    headers = trace.headers(attempt.span or trace.span)
    more = tuple(replace(one, headers=(*one.headers, *headers)) for one in call.more)
    return replace(call, headers=(*call.headers, *headers), more=more)
