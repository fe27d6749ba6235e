"""Errors: status and machine code → fault.

Law: the machine code decides, then the status; the message is for people and never read. Codes stand in `code` or, with
some servers, only in `type`. A code nobody knows leaves the decision to the status, and a status nobody knows, with the
4xx, is the request's fault.

Decisions that are not obvious:
- 413 is `ContextTooLong` though it counts bytes and not tokens: what the caller can do about it is the same, send less,
  and agents that shorten their history do so on exactly that error;
- 402, 404, 405, 410 and redirects are `Misconfigured`: the account, the model's name or the base URL is wrong;
- 429 with `insufficient_quota` is `Misconfigured`: waiting does not fill an account;
- an error event in a stream has no status. Without a known code, it is taken as the provider's failure.

Bodies come in the API's shape, and from compatible servers as `{"error": "text"}`, `{"message": …}`, `{"detail": …}`,
or the first of these in a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct

from providers.dialects.openai.limits import retry_after
from providers.errors import ContextTooLong, Fault, Misconfigured, Overloaded, Refused, Rejected, Throttled

_CODES: dict[str, type[Fault]] = {
    "insufficient_quota": Misconfigured,
    "billing_hard_limit_reached": Misconfigured,
    "billing_not_active": Misconfigured,
    "account_deactivated": Misconfigured,
    "invalid_api_key": Misconfigured,
    "authentication_error": Misconfigured,
    "permission_error": Misconfigured,
    "model_not_found": Misconfigured,
    "DeploymentNotFound": Misconfigured,
    "context_length_exceeded": ContextTooLong,
    "content_policy_violation": Refused,
    "content_filter": Refused,
    "moderation_blocked": Refused,
    "rate_limit_exceeded": Throttled,
    "rate_limit_error": Throttled,
    "server_error": Overloaded,
    "service_unavailable": Overloaded,
}
#: Codes that say no more than the status does: they count only where there is no status.
_VAGUE: dict[str, type[Fault]] = {"invalid_request_error": Rejected, "BadRequestError": Rejected}
_STATUSES: dict[int, type[Fault]] = {
    401: Misconfigured,
    402: Misconfigured,
    403: Misconfigured,
    404: Misconfigured,
    405: Misconfigured,
    408: Overloaded,
    409: Overloaded,
    410: Misconfigured,
    413: ContextTooLong,
    429: Throttled,
}
_MAX_MESSAGE = 500
#: What looks like a key: a known prefix and a tail, a bearer, letters around asterisks, or a long run of letters and
#: digits without the dashes and underscores that ids of requests and names of models have.
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai)[-_][\w*.-]{4,}|\bAIza[\w-]{10,}|(?i:\bbearer\s+)\S+|\S*\*{3,}\S*|\b[A-Za-z0-9]{32,}\b"
)
_decoder = msgspec.json.Decoder()


class Failure(Struct):
    """What an error body says."""

    message: str = ""
    kind: str = ""
    code: str = ""
    param: str | None = None


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """What an answer with an error status means. Never raises."""
    failure = _read(body)
    known = _known(failure)
    if known is None and status >= 500:
        known = Overloaded
    elif known is None:
        known = _STATUSES.get(status, Rejected if status >= 400 else Misconfigured)
    return _made(known, failure, status, retry_after(headers))


def fault_in(body: bytes) -> Fault:
    """What an error means that came in the place of an answer, with status 200. Never raises."""
    failure = _read(body)
    known = _known(failure) or _VAGUE.get(failure.kind) or _VAGUE.get(failure.code)
    status = int(failure.code) if re.fullmatch("[45][0-9]{2}", failure.code) else None
    if known is None and status is not None:
        known = _STATUSES.get(status, Overloaded if status >= 500 else Rejected)
    return _made(known or Overloaded, failure, status, None)


def _known(failure: Failure) -> type[Fault] | None:
    return _CODES.get(failure.code) or _CODES.get(failure.kind)


def _made(known: type[Fault], failure: Failure, status: int | None, wait: float | None) -> Fault:
    message = _SECRET.sub("[redacted]", failure.message)
    if len(message) > _MAX_MESSAGE:
        message = message[: _MAX_MESSAGE - 1] + "…"
    code = failure.code or failure.kind or None
    return known(message, status=status, code=code, param=failure.param, retry_after=wait)


def _read(body: bytes) -> Failure:
    try:
        said = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failure()
    if isinstance(said, list) and said:
        said = cast("list[Any]", said)[0]
    if not isinstance(said, dict):
        return Failure()
    fields = cast("dict[str, Any]", said)
    inner = fields.get("error")
    if isinstance(inner, str):
        return Failure(inner)
    if isinstance(inner, dict):
        fields = cast("dict[str, Any]", inner)
    message = _word(fields.get("message")) or _word(fields.get("detail"))
    return Failure(message, _word(fields.get("type")), _word(fields.get("code")), _word(fields.get("param")) or None)


def _word(value: object) -> str:
    """A string, or a number as one: some servers repeat the status as the code."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
