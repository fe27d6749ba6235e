"""Errors and rate-limit headers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_recorded import recorded

from providers.dialect import Quota
from providers.dialects.anthropic import ANTHROPIC
from providers.errors import Fault, Misconfigured, Overloaded, Rejected, Throttled

_DATE = {"date": "Sat, 21 Nov 2026 07:00:00 GMT"}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("error_400_invalid", Rejected),
        ("error_400_on_hold", Misconfigured),
        ("error_401_key", Misconfigured),
        ("error_402_billing", Misconfigured),
        ("error_403_permission", Misconfigured),
        ("error_404_model", Misconfigured),
        ("error_413_size", Rejected),
        ("error_429_rate", Throttled),
        ("error_429_spend", Misconfigured),
        ("error_500_api", Overloaded),
        ("error_504_timeout", Overloaded),
        ("error_529_overloaded", Overloaded),
    ],
)
def test_status_and_code_say_which_fault(name: str, fault: type[Fault]) -> None:
    status = int(name.split("_")[1])
    body = recorded(f"{name}.json")
    found = ANTHROPIC.fault(status, {}, body)
    error = json.loads(body)["error"]
    assert type(found) is fault
    assert found.status == status
    assert found.code == error.get("details", {}).get("error_code", error["type"])
    assert found.message.startswith(error["message"][:15])
    assert found.retry_after is None


@pytest.mark.parametrize(
    ("status", "fault"),
    [(302, Misconfigured), (408, Overloaded), (409, Rejected), (422, Rejected), (418, Rejected), (503, Overloaded)],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b'{"error": "x"}', b'{"error": {"type": ""}}'])
def test_an_error_that_says_nothing_is_its_status(status: int, fault: type[Fault], body: bytes) -> None:
    found = ANTHROPIC.fault(status, {}, body)
    assert type(found) is fault
    assert (found.status, found.code) == (status, None)
    assert found.message == (fault.__doc__ or "").strip()


@pytest.mark.parametrize(
    "secret",
    ["sk-ant-api03-abcDEF_123-456", "Bearer abc.def", "x" * 60, "sk-ant-" + "a" * 3000],
)
def test_nothing_like_a_key_is_repeated(secret: str) -> None:
    body = json.dumps({"error": {"type": "t", "message": f"invalid x-api-key: {secret}"}}).encode()
    found = ANTHROPIC.fault(401, {}, body)
    assert secret[:20] not in found.message
    assert found.message == "invalid x-api-key: [redacted]"


def test_messages_and_codes_are_short() -> None:
    body = json.dumps({"error": {"type": "t " * 900, "message": "m " * 900}}).encode()
    found = ANTHROPIC.fault(400, {}, body)
    assert len(found.message) == 500
    assert len(found.code or "") == 100


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sat, 21 Nov 2026 07:01:30 GMT", **_DATE}, 90.0),
        ({"retry-after": "Sat, 21 Nov 2026 07:01:30 -0000", **_DATE}, 90.0),
        ({"retry-after": "Sat, 21 Nov 2026 06:00:00 GMT", **_DATE}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2026 07:01:30 GMT"}, None),
        ({"retry-after": "soon", **_DATE}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert ANTHROPIC.fault(429, headers, recorded("error_429_rate.json")).retry_after == seconds


def _limits(what: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    start = f"anthropic-ratelimit-{what}-"
    return {start + "limit": limit, start + "remaining": remaining, start + "reset": reset}


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        ({}, None),
        (_DATE, None),
        (
            {
                **_DATE,
                **_limits("requests", "50", "49", "2026-11-21T07:00:01Z"),
                **_limits("tokens", "40000", "39000", "2026-11-21T07:01:00Z"),
                **_limits("input-tokens", "1", "1", "2026-11-21T07:01:00Z"),
            },
            Quota(50, 49, 1.0, 40000, 39000, 60.0),
        ),
        (
            {**_DATE, **_limits("input-tokens", "9", "8", "2026-11-21T08:00:02+01:00")},
            Quota(limit_tokens=9, remaining_tokens=8, reset_tokens=2.0),
        ),
        (_limits("requests", "50", "0", "2026-11-21T07:00:01Z"), Quota(50, 0)),
        ({**_DATE, **_limits("requests", "50", "x", "2026-11-21T06:00:00")}, Quota(50, None, 0.0)),
        ({**_DATE, **_limits("requests", "many", "-1", "later")}, None),
    ],
)
def test_rate_limit_headers_become_a_quota(headers: dict[str, str], quota: Quota | None) -> None:
    assert ANTHROPIC.quota(headers) == quota


@pytest.mark.parametrize(
    "date", ["", "x", "Sat, 99 Nov 2026 07:00:00 GMT", "Sat, 1 Nov 99999999999999999999 07:00:00 GMT"]
)
def test_a_broken_date_is_no_date(date: str) -> None:
    headers: dict[str, Any] = {"date": date, **_limits("requests", "5", "4", "2026-11-21T07:00:01Z")}
    assert ANTHROPIC.quota(headers) == Quota(5, 4)
