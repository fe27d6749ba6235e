"""What Anthropic's errors and rate-limit headers mean.

An error is read by its HTTP status and its machine code, the `error_code` of its details or else its type; inside a
stream, where there is no status, by its type. Some codes say more than their status:
- a spend limit (429, `…_spend_limit_reached`) is not a matter of pace: the account is `Misconfigured`, and waiting
  would not help;
- an organisation on hold or an unusable encryption key (400) is the account's fault, not the caller's.

Limits of reading codes only: a prompt that is too long is a plain 400 `invalid_request_error` and therefore `Rejected`,
never `ContextTooLong`, and a used-up credit balance that is reported the same way is `Rejected` too; only the English
text tells them apart. A 413 is `Rejected`: it counts bytes of the body (attachments, mostly), not tokens of the window.

404 is `Misconfigured`: on this one path nothing but the model's name can be unknown. 408 means that the body did not
arrive in time, so another try may succeed: `Overloaded`. Anything below 400 is no answer of this API (a redirect of
the configured base URL, mostly): `Misconfigured`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Struct

from providers.dialect import Quota
from providers.dialects.anthropic.wire import ErrorObject
from providers.errors import Fault, Garbled, Misconfigured, Overloaded, Rejected, Throttled

_MESSAGE_LIMIT = 500
#: What a key looks like here, and any other credential or unbroken token that a proxy in between might quote.
_SECRET = re.compile(r"\bsk-[\w-]{6,}|\bBearer\s+\S+|[\w+=-]{40,}", re.IGNORECASE)
_WHOLE = re.compile(r"[0-9]{1,15}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

_BY_STATUS: dict[int, type[Fault]] = {
    401: Misconfigured,
    402: Misconfigured,
    403: Misconfigured,
    404: Misconfigured,
    408: Overloaded,
    429: Throttled,
}
_BY_TYPE: dict[str, type[Fault]] = {
    "invalid_request_error": Rejected,
    "request_too_large": Rejected,
    "authentication_error": Misconfigured,
    "billing_error": Misconfigured,
    "permission_error": Misconfigured,
    "not_found_error": Misconfigured,
    "rate_limit_error": Throttled,
}
_BY_CODE: dict[str, type[Fault]] = dict.fromkeys(
    (
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "organization_on_hold",
        "cmek_key_disabled",
        "cmek_key_network_blocked",
    ),
    Misconfigured,
)


class _ErrorBody(Struct):
    error: ErrorObject


_body = msgspec.json.Decoder(_ErrorBody)


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """What an answer with an error status means. Never raises."""
    try:
        error = _body.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = ErrorObject("")
    code = _code(error)
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status) or _by_class(status)
    return kind(_told(error.message), status=status, code=code, retry_after=retry_after(headers))


def of_event(error: ErrorObject | None) -> Fault:
    """What an `error` event of a stream means; an unknown type is the provider's own failure."""
    if error is None:
        return Garbled("The provider's stream holds an error event without an error.")
    code = _code(error)
    kind = _BY_CODE.get(code or "") or _BY_TYPE.get(error.type, Overloaded)
    return kind(_told(error.message), code=code)


def _by_class(status: int) -> type[Fault]:
    if status >= 500:
        return Overloaded
    return Rejected if status >= 400 else Misconfigured


def _code(error: ErrorObject) -> str | None:
    """The closest machine code, shortened as anything from outside."""
    code = error.details.error_code if error.details and error.details.error_code else error.type
    return code[:100] or None


def _told(message: str) -> str:
    """The provider's message, without anything that looks like a credential, shortened."""
    return _SECRET.sub("[redacted]", message[: 4 * _MESSAGE_LIMIT])[:_MESSAGE_LIMIT]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after`; a date counts from the answer's own `date` header."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    given = headers.get("retry-after")
    if (seconds := _number(given)) is not None:
        return seconds
    return _seconds_until(_http_date(given), headers)


def quota(headers: Mapping[str, str]) -> Quota | None:
    """The `anthropic-ratelimit-*` headers, or None when there are none. Never raises.

    `tokens` is the most restrictive limit in effect; where only the input's own is told, that one.
    """
    requests = _limit(headers, "requests")
    tokens = _limit(headers, "tokens")
    if tokens == (None, None, None):
        tokens = _limit(headers, "input-tokens")
    if requests == tokens == (None, None, None):
        return None
    return Quota(*requests, *tokens)


def _limit(headers: Mapping[str, str], what: str) -> tuple[int | None, int | None, float | None]:
    start = f"anthropic-ratelimit-{what}-"
    reset = _seconds_until(_timestamp(headers.get(start + "reset")), headers)
    return _count(headers.get(start + "limit")), _count(headers.get(start + "remaining")), reset


def _count(given: str | None) -> int | None:
    return int(given) if given and _WHOLE.fullmatch(given) else None


def _number(given: str | None) -> float | None:
    return float(given) if given and _DECIMAL.fullmatch(given) else None


def _seconds_until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    """Seconds from the answer's `date` to the moment, never negative; None when either is not told."""
    now = _http_date(headers.get("date"))
    return max(0.0, (moment - now).total_seconds()) if moment and now else None


def _http_date(given: str | None) -> datetime | None:
    try:
        return _aware(parsedate_to_datetime(given or ""))
    except (ValueError, OverflowError):
        return None


def _timestamp(given: str | None) -> datetime | None:
    """An RFC 3339 time."""
    try:
        return _aware(datetime.fromisoformat(given or ""))
    except ValueError:
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
