"""What Gemini's errors mean.

An error is a `google.rpc.Status`: `{"error": {"code", "message", "status", "details"}}`, on streams possibly in a list.
It is read by its canonical status, or by the HTTP status where there is none, and by the reason in `ErrorInfo`:
a wrong key is an `INVALID_ARGUMENT` whose reason begins with `API_KEY_`.

How long to wait stands in `RetryInfo` (`"3.5s"`), or in the usual header. A daily quota (`QuotaFailure`) is told the
same way and means the same: not now. Limits of reading codes only: a prompt that is too long is a plain
`INVALID_ARGUMENT` and therefore `Rejected`, never `ContextTooLong`; only the English text tells it apart.

`NOT_FOUND` is taken for the model's name, `FAILED_PRECONDITION` for the account (billing, region), as documented.
Anything below 400 is no answer of this API (a redirect of the configured base URL, mostly): `Misconfigured`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Raw, Struct

from providers.errors import Fault, Garbled, Misconfigured, Overloaded, Rejected, Throttled

_MESSAGE_LIMIT = 500
#: What a key or token looks like at Google, and any other credential or unbroken token that a proxy might quote.
_SECRET = re.compile(
    r"\bAIza[\w-]{6,}|\bAQ\.[\w-]{6,}|\bya29\.[\w-]{6,}|\bsk-[\w-]{6,}|\bBearer\s+[\w.~+/=-]+|[\w.+/=-]{40,}",
    re.IGNORECASE,
)
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_KEY_REASON = "API_KEY_"

_BY_CODE: dict[str, type[Fault]] = {
    "INVALID_ARGUMENT": Rejected,
    "OUT_OF_RANGE": Rejected,
    "ALREADY_EXISTS": Rejected,
    "UNAUTHENTICATED": Misconfigured,
    "PERMISSION_DENIED": Misconfigured,
    "NOT_FOUND": Misconfigured,
    "FAILED_PRECONDITION": Misconfigured,
    "UNIMPLEMENTED": Misconfigured,
    "RESOURCE_EXHAUSTED": Throttled,
    "UNAVAILABLE": Overloaded,
    "INTERNAL": Overloaded,
    "DEADLINE_EXCEEDED": Overloaded,
    "CANCELLED": Overloaded,
    "ABORTED": Overloaded,
    "DATA_LOSS": Overloaded,
    "UNKNOWN": Overloaded,
}
_BY_STATUS: dict[int, type[Fault]] = {
    401: Misconfigured,
    402: Misconfigured,
    403: Misconfigured,
    404: Misconfigured,
    408: Overloaded,
    429: Throttled,
    499: Overloaded,
}


class _Violation(Struct):
    field: str | None = None


class _Detail(Struct, rename="camel"):
    reason: str | None = None
    retry_delay: str | None = None
    field_violations: list[_Violation] | None = None


class _Error(Struct):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[_Detail] | None = None


class _Plain(Struct):
    """An error whose details are not in the documented form."""

    code: int | None = None
    message: str | None = None
    status: str | None = None


class _Body(Struct):
    error: Raw


_body = msgspec.json.Decoder(_Body)
_bodies = msgspec.json.Decoder(list[_Body])
_error = msgspec.json.Decoder(_Error)
_plain = msgspec.json.Decoder(_Plain)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """What an answer with an error status means. Never raises."""
    error = _read(body) or _Error()
    return _fault(error, status, retry_after(headers))


def of_error(raw: Raw) -> Fault:
    """What an error inside an answer or a stream means; its `code` is the HTTP status it would have had."""
    error = _decoded(raw)
    if error is None:
        return Garbled("The provider's answer holds an error that is not in the gemini format.")
    return _fault(error, error.code, None)


def _fault(error: _Error, status: int | None, wait: float | None) -> Fault:
    details = error.details or []
    reason = next((detail.reason for detail in details if detail.reason), None)
    kind = _kind(error.status, status, reason)
    delay = next((seconds for detail in details if (seconds := _duration(detail.retry_delay)) is not None), wait)
    fields = [violation.field for detail in details for violation in detail.field_violations or ()]
    code = (reason or error.status or "")[:100] or None
    param = next((field[:200] for field in fields if field), None)
    return kind(_told(error.message or ""), status=status, code=code, param=param, retry_after=delay)


def _kind(code: str | None, status: int | None, reason: str | None) -> type[Fault]:
    if reason is not None and reason.startswith(_KEY_REASON):
        return Misconfigured
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status is None or status >= 500:
        return Overloaded
    return Rejected if status >= 400 else Misconfigured


def _read(body: bytes) -> _Error | None:
    try:
        if body.lstrip()[:1] == b"[":
            found = _bodies.decode(body)
            return _decoded(found[0].error) if found else None
        return _decoded(_body.decode(body).error)
    except _UNREADABLE:
        return None


def _decoded(raw: Raw) -> _Error | None:
    try:
        return _error.decode(raw)
    except _UNREADABLE:
        pass
    try:
        plain = _plain.decode(raw)
    except _UNREADABLE:
        return None
    return _Error(plain.code, plain.message, plain.status)


def _told(message: str) -> str:
    """The provider's message, without anything that looks like a credential, shortened."""
    return _SECRET.sub("[redacted]", message[: 4 * _MESSAGE_LIMIT])[:_MESSAGE_LIMIT]


def _duration(given: str | None) -> float | None:
    match = _SECONDS.fullmatch(given) if given else None
    return float(match[1]) if match else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after`; a date counts from the answer's own `date` header."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    given = headers.get("retry-after")
    if (seconds := _number(given)) is not None:
        return seconds
    moment, now = _http_date(given), _http_date(headers.get("date"))
    return max(0.0, (moment - now).total_seconds()) if moment and now else None


def _number(given: str | None) -> float | None:
    return float(given) if given and _DECIMAL.fullmatch(given) else None


def _http_date(given: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(given or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
