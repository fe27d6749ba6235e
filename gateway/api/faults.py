"""How a caller sees an error: the one table, per ingress dialect.

OpenAI's shape serves `/v1` and the native API; `/v1/messages` answers in Anthropic's, Gemini's addresses in Google's.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.errors import GatewayError, QuotaExceeded
from gateway.logs import redact
from providers.dialects.anthropic.parse import NO_THREADS

_ENCODER = msgspec.json.Encoder()
#: Anthropic's error types by status, as its API reference lists them; its SDK chooses its exception by status.
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
#: Google's canonical codes by HTTP status (google/rpc/code.proto); of several for one status, the one that fits.
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RPC = "type.googleapis.com/google.rpc."
_NOT_IN_A_REASON = re.compile(r"[^A-Z0-9]+")


def defect(exc: Exception, *, debug: bool) -> GatewayError:
    """A mistake of ours, told in brief; with `debug` also what it was."""
    what = f" ({type(exc).__name__}: {redact(str(exc))})" if debug else ""
    return GatewayError(f"The gateway failed to serve this request; its log says why.{what}")


def openai_body(error: GatewayError, request_id: str) -> dict[str, Any]:
    """OpenAI's error object, with who is to blame and, when providers failed, what each did."""
    told: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
        "source": error.source,
    }
    if error.attempts:
        told["attempts"] = error.attempts
    if error.problems:
        told["problems"] = error.problems
    return {"error": told, "request_id": request_id}


def anthropic_body(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Anthropic's error object, with the same further facts."""
    told: dict[str, Any] = {
        "type": _ANTHROPIC_TYPES.get(error.status, "api_error"),
        "message": error.message,
        "code": error.code,
        "param": error.param,
        "source": error.source,
    }
    if error.code == NO_THREADS:
        # By these its SDKs know that they may go on without.
        told["details"] = {"error_code": error.code, "unsupported": [error.param]}
    if error.attempts:
        told["attempts"] = error.attempts
    return {"type": "error", "error": told, "request_id": request_id}


def google_body(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Google's error object; what the others tell in fields stands in `details`, in Google's own words for it."""
    metadata = {"source": error.source, "param": error.param}
    details: list[dict[str, Any]] = [
        {
            "@type": _RPC + "ErrorInfo",
            "reason": _NOT_IN_A_REASON.sub("_", (error.code or error.type).upper()),
            "domain": "steelyard",
            "metadata": {name: value for name, value in metadata.items() if value is not None},
        },
        {"@type": _RPC + "RequestInfo", "requestId": request_id},
    ]
    if error.param is not None and error.status == 400:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": _RPC + "BadRequest", "fieldViolations": [violation]})
    if seconds := retry_after(error):
        details.append({"@type": _RPC + "RetryInfo", "retryDelay": f"{seconds}s"})
    if error.attempts:
        details.append({"@type": "steelyard/attempts", "attempts": error.attempts})
    status = _GOOGLE_STATUSES.get(error.status, "INTERNAL")
    return {"error": {"code": error.status, "message": error.message, "status": status, "details": details}}


def google_event(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a broken stream: the SDK raises on an event that begins with `error`."""
    return b"data: " + _ENCODER.encode(google_body(error, request_id)) + b"\r\n\r\n"


def openai_event(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a broken stream: the SDK raises on it, and no `[DONE]` follows."""
    return b"data: " + _ENCODER.encode(openai_body(error, request_id)) + b"\n\n"


def responses_event(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a stream of responses which broke before it had begun."""
    told = {"type": "error", "sequence_number": 0, "code": error.code, "message": error.message, "param": error.param}
    return b"event: error\ndata: " + _ENCODER.encode({**told, "request_id": request_id}) + b"\n\n"


def named_event(body: Callable[[GatewayError, str], dict[str, Any]]) -> Callable[[GatewayError, str], bytes]:
    """The same for surfaces whose events have names."""

    def event(error: GatewayError, request_id: str) -> bytes:
        return b"event: error\ndata: " + _ENCODER.encode(body(error, request_id)) + b"\n\n"

    return event


class ErrorShape(msgspec.Struct, frozen=True):
    """How one surface tells errors: as a body, and as the event that ends a broken stream."""

    body: Callable[[GatewayError, str], dict[str, Any] | list[dict[str, Any]]]
    event: Callable[[GatewayError, str], bytes]

    def encoded(self, error: GatewayError, request_id: str) -> bytes:
        """The body's bytes."""
        return _ENCODER.encode(self.body(error, request_id))


OPENAI_SHAPE = ErrorShape(openai_body, openai_event)
RESPONSES_SHAPE = ErrorShape(openai_body, responses_event)
ANTHROPIC_SHAPE = ErrorShape(anthropic_body, named_event(anthropic_body))
GOOGLE_SHAPE = ErrorShape(google_body, google_event)
#: Of a stream that is one JSON array. Its pieces are made of events, so that an error amid it is one, too.
GOOGLE_ARRAY_SHAPE = ErrorShape(lambda error, request_id: [google_body(error, request_id)], google_event)
NATIVE_SHAPE = ErrorShape(openai_body, named_event(openai_body))


def retry_after(error: GatewayError) -> str | None:
    """The header's value: whole seconds, on every 429 and 503, but for a budget that does not begin anew."""
    if error.status not in {429, 503} or (error.retry_after is None and isinstance(error, QuotaExceeded)):
        return None
    return str(max(1, math.ceil(error.retry_after or 1.0)))
