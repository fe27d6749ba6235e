"""What a call can raise.

SteelyardError
├── NotReached          no answer: nobody there, or the connection was lost
│   └── TimedOut        no answer in time
├── Unreadable          an answer that is not the gateway's
├── StreamCut           a stream that ended before its end, or said that it broke
└── ApiError            the gateway said no: `status`, `message`, `code`, `request_id` …
    ├── BadRequest          400, 405, 413: mend the request
    │   └── Invalid         422: `problems` names all that is wrong
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404, 410
    ├── DeadlineExceeded    408, 504
    ├── Conflict            409
    ├── RateLimited         429: later
    │   └── QuotaExceeded   429 that waiting does not mend
    └── ServerError         500, 502
        └── Unavailable     503: later
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

#: The code of a 429 that says: not later either.
_SPENT = "insufficient_quota"


class SteelyardError(Exception):
    """Something went wrong."""


class NotReached(SteelyardError):
    """The gateway gave no answer; `sent` is false when it cannot have seen the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        """What happened to the connection."""
        super().__init__(message)
        self.sent = sent


class TimedOut(NotReached):
    """The gateway gave no answer in time."""


class Unreadable(SteelyardError):
    """The answer is not what the gateway answers; perhaps the address is another server's."""

    def __init__(self, message: str, *, status: int, body: bytes) -> None:
        """With the answer."""
        super().__init__(message)
        self.status = status
        self.body = body


class StreamCut(SteelyardError):
    """The stream ended before its end; `data` is the gateway's own `error` event, if it sent one."""

    def __init__(self, message: str, data: Any = None) -> None:
        """With what the gateway said, if it did."""
        super().__init__(message)
        self.data = data


class ApiError(SteelyardError):
    """The gateway refused or failed; the attributes are its own words.

    `source` is who is to blame: caller, policy, gateway or provider. `attempts` tells what each provider did,
    `problems` all that is wrong with a body, `retry_after` in how many seconds it may be better.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Read an answer with an error in it; `headers` in lower case."""
        told = _told(body)
        error = _fields(told.get("error"))
        self.status = status
        self.message = str(error.get("message") or f"The gateway answered with status {status}.")
        self.type: str | None = error.get("type")
        self.code: str | None = error.get("code")
        self.param: str | None = error.get("param")
        self.source: str | None = error.get("source")
        self.attempts: list[dict[str, Any]] = error.get("attempts") or []
        self.problems: list[dict[str, Any]] = error.get("problems") or []
        self.request_id: str | None = told.get("request_id") or headers.get("x-steelyard-request-id")
        self.retry_after = _seconds(headers.get("retry-after"))
        self.body = body
        super().__init__(f"{self.message} (status {status}, request {self.request_id})")


class BadRequest(ApiError):
    """The request is not valid; `param` names the field."""


class Invalid(BadRequest):
    """The body is of the right shape and wrong; `problems` names everything, each with its path."""


class Unauthorized(ApiError):
    """The API key is missing or not valid."""


class Forbidden(ApiError):
    """The key may not do this."""


class NotFound(ApiError):
    """There is no such thing, or no more, or it is somebody else's."""


class DeadlineExceeded(ApiError):
    """The gateway, or the providers behind it, took too long."""


class Conflict(ApiError):
    """It cannot be done as things stand."""


class RateLimited(ApiError):
    """Too many requests; later there may be room."""


class QuotaExceeded(RateLimited):
    """What was granted is spent; asking again does not help."""


class ServerError(ApiError):
    """The gateway or the providers failed."""


class Unavailable(ServerError):
    """Nobody can answer at the moment."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    410: NotFound,
    408: DeadlineExceeded,
    409: Conflict,
    422: Invalid,
    429: RateLimited,
    503: Unavailable,
    504: DeadlineExceeded,
}


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The exception for an answer that is an error."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else BadRequest)
    error = kind(status, headers, body)
    return QuotaExceeded(status, headers, body) if kind is RateLimited and error.code == _SPENT else error


def _told(body: bytes) -> dict[str, Any]:
    try:
        return _fields(json.loads(body))
    except ValueError:
        return {}


def _fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _seconds(value: str | None) -> float | None:
    # The gateway tells seconds. A date, which HTTP allows, comes from something in between whose clock is unknown.
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None
