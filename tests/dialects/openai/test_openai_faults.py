"""What error answers mean, how long to wait, and what may not be repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai_recorded import recorded

from providers.dialect import Quota
from providers.dialects.openai import OPENAI
from providers.errors import ContextTooLong, Fault, Misconfigured, Overloaded, Refused, Rejected, Throttled

_KINDS: dict[str, type[Fault]] = {
    "400_invalid": Rejected,
    "400_context": ContextTooLong,
    "400_policy": Refused,
    "400_filter": Refused,
    "401_key": Misconfigured,
    "403_country": Misconfigured,
    "404_model": Misconfigured,
    "408_timeout": Overloaded,
    "409_conflict": Overloaded,
    "413_size": ContextTooLong,
    "422_invalid": Rejected,
    "429_rate": Throttled,
    "429_quota": Misconfigured,
    "500_server": Overloaded,
    "503_overloaded": Overloaded,
}


def _fault(status: int, error: Any, **headers: str) -> Fault:
    body = error if isinstance(error, bytes) else json.dumps(error).encode()
    return OPENAI.fault(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize("name", _KINDS)
def test_an_error_is_classified_by_code_and_status(name: str) -> None:
    body = recorded(f"error_{name}.json")
    fault = OPENAI.fault(int(name[:3]), {}, body)
    assert type(fault) is _KINDS[name]
    assert fault.status == int(name[:3])
    error = json.loads(body)["error"]
    assert (fault.code, fault.param) == (error["code"] or error["type"], error["param"])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Misconfigured),
        (400, Rejected),
        (401, Misconfigured),
        (402, Misconfigured),
        (405, Misconfigured),
        (410, Misconfigured),
        (418, Rejected),
        (429, Throttled),
        (500, Overloaded),
        (529, Overloaded),
    ],
)
def test_without_a_code_the_status_decides(status: int, kind: type[Fault]) -> None:
    assert type(_fault(status, b"<html>nope</html>")) is kind


def test_a_code_that_stands_in_the_type_counts() -> None:
    assert type(_fault(429, {"error": {"message": "x", "type": "insufficient_quota"}})) is Misconfigured


def test_a_413_that_is_a_rate_limit_lets_the_next_one_try() -> None:
    assert type(_fault(413, {"error": {"message": "x", "code": "rate_limit_exceeded"}})) is Throttled


@pytest.mark.parametrize(
    "body",
    [
        {"error": "boom"},
        {"error": {"message": "boom"}},
        {"message": "boom"},
        {"detail": "boom"},
        {"error": None, "message": "boom"},
        [{"error": {"message": "boom", "code": 400}}],
    ],
)
def test_the_message_is_found_wherever_servers_put_it(body: Any) -> None:
    assert _fault(400, body).message == "boom"


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"1", {"detail": [{"loc": []}]}, {"error": {"code": True}}])
def test_without_a_message_the_class_speaks(body: Any) -> None:
    fault = _fault(400, body)
    assert fault.message == "The provider rejected the request as invalid."
    assert fault.code is None


def test_a_long_message_is_shortened() -> None:
    message = _fault(400, {"error": "word " * 200}).message
    assert len(message) == 500
    assert message.endswith("…")
    assert _fault(400, {"error": "x y" * 100}).message == "x y" * 100


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcd****wxyz",
        "sk-proj-AbCd1234_efgh-5678",
        "gsk_AbCdEfGh1234",
        "xai-AbCdEfGh1234",
        "AIzaSyA1234567890abcdefghij",
        "Bearer abc.def",
        "abcd***wxyz",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_what_looks_like_a_key_is_not_repeated(secret: str) -> None:
    assert _fault(401, {"error": f"The key {secret} is wrong."}).message == "The key [redacted] is wrong."


@pytest.mark.parametrize(
    "harmless", ["gpt-4o-mini-2024-07-18", "req_0123456789abcdef0123456789abcdef", "chatcmpl-AbC123", "2 ** 3"]
)
def test_names_and_ids_are_repeated(harmless: str) -> None:
    assert _fault(404, {"error": f"No {harmless} here."}).message == f"No {harmless} here."


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "20"}, 20.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250", "retry_after": "1"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "1"}, 1.0),
        ({"retry_after": "Fri, 21 Nov 2025 08:00:30 GMT", "date": "Fri, 21 Nov 2025 08:00:00 GMT"}, 30.0),
        ({"retry_after": "Fri, 21 Nov 2025 08:00:00 GMT", "date": "Fri, 21 Nov 2025 08:00:30 GMT"}, 0.0),
        ({"retry_after": "Fri, 21 Nov 2025 08:00:00 GMT"}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert _fault(429, b"", **headers).retry_after == seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("6m0s", 360.0),
        ("1s", 1.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400.0),
        ("500µs", 0.0005),
        (" 60 ", 60.0),
        ("7.66s", 7.66),
        ("soon", None),
        ("1m soon", None),
        ("-1s", None),
        ("", None),
    ],
)
def test_durations_are_written_as_go_writes_them(written: str, seconds: float | None) -> None:
    quota = OPENAI.quota({"x-ratelimit-reset-requests": written, "x-ratelimit-limit-tokens": "1"})
    assert quota is not None
    assert quota.reset_requests == (None if seconds is None else pytest.approx(seconds))


def test_limits_are_read_from_the_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert OPENAI.quota(headers) == Quota(60, 59, 1.0, 150000, 149984, 360.0)
    assert OPENAI.quota({"content-type": "application/json", "x-ratelimit-limit-requests": "many"}) is None
