"""What Gemini's errors mean."""

from __future__ import annotations

import json

import pytest
from gemini_recorded import names, recorded, sdk
from google.genai import errors
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects.gemini import GEMINI
from providers.errors import Fault, Misconfigured, Overloaded, Rejected, Throttled

_MEANINGS: dict[str, tuple[type[Fault], str | None]] = {
    "307_redirect": (Misconfigured, None),
    "400_invalid": (Rejected, "INVALID_ARGUMENT"),
    "400_key": (Misconfigured, "API_KEY_INVALID"),
    "400_location": (Misconfigured, "FAILED_PRECONDITION"),
    "400_odd_details": (Rejected, "INVALID_ARGUMENT"),
    "400_range": (Rejected, "OUT_OF_RANGE"),
    "400_too_long": (Rejected, "INVALID_ARGUMENT"),
    "401_unauthenticated": (Misconfigured, "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
    "402_pay": (Misconfigured, None),
    "403_denied": (Misconfigured, "CONSUMER_SUSPENDED"),
    "404_model": (Misconfigured, "NOT_FOUND"),
    "408_slow": (Overloaded, None),
    "409_aborted": (Overloaded, "ABORTED"),
    "409_exists": (Rejected, "ALREADY_EXISTS"),
    "412_other": (Rejected, "SOMETHING_NEW"),
    "429_day": (Throttled, "RESOURCE_EXHAUSTED"),
    "429_list": (Throttled, "RESOURCE_EXHAUSTED"),
    "429_minute": (Throttled, "RESOURCE_EXHAUSTED"),
    "429_seconds": (Throttled, None),
    "499_cancelled": (Overloaded, "CANCELLED"),
    "500_data_loss": (Overloaded, "DATA_LOSS"),
    "500_internal": (Overloaded, "INTERNAL"),
    "500_unknown": (Overloaded, "UNKNOWN"),
    "501_verb": (Misconfigured, "UNIMPLEMENTED"),
    "503_overloaded": (Overloaded, "UNAVAILABLE"),
    "504_deadline": (Overloaded, "DEADLINE_EXCEEDED"),
    "520_other": (Overloaded, "SOMETHING_NEW"),
}


def test_every_recorded_error_has_a_meaning() -> None:
    assert [f"error_{case}.json" for case in _MEANINGS] == names("error_*.json")


@pytest.mark.parametrize("case", _MEANINGS)
def test_errors_are_read_by_their_codes(case: str) -> None:
    kind, code = _MEANINGS[case]
    fault = GEMINI.fault(int(case[:3]), {}, recorded(f"error_{case}.json"))
    assert (type(fault), fault.code, fault.status) == (kind, code, int(case[:3]))
    assert fault.message


@pytest.mark.parametrize("case", [case for case in _MEANINGS if case[0] in "45"])
def test_the_sdk_reads_the_same_status_and_message(case: str) -> None:
    body = recorded(f"error_{case}.json")
    with pytest.raises(errors.APIError) as caught:
        sdk(body, status=int(case[:3])).models.generate_content(model="m", contents="Hi")
    ours = GEMINI.fault(int(case[:3]), {}, body)
    assert caught.value.code == ours.status
    assert (caught.value.message or "").startswith(ours.message.partition("[redacted]")[0])


@pytest.mark.parametrize(("case", "seconds"), [("429_minute", 3.5), ("429_day", 40271.0), ("429_seconds", None)])
def test_the_wait_stands_in_the_details(case: str, seconds: float | None) -> None:
    assert GEMINI.fault(429, {}, recorded(f"error_{case}.json")).retry_after == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 -0000", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "soon", "date": "now"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_the_wait_may_stand_in_a_header(headers: dict[str, str], seconds: float | None) -> None:
    assert GEMINI.fault(503, headers, recorded("error_503_overloaded.json")).retry_after == seconds


def test_the_field_that_was_wrong_is_named() -> None:
    assert GEMINI.fault(400, {}, recorded("error_400_invalid.json")).param == "contents[0].role"
    assert GEMINI.fault(400, {}, recorded("error_400_too_long.json")).param is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b"[]", b"[7]", b'{"error": "x"}', b'{"error": []}', b"\xff"]
)
@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, Misconfigured), (400, Rejected), (403, Misconfigured), (418, Rejected), (429, Throttled), (502, Overloaded)],
)
def test_an_unreadable_error_is_read_by_its_status(body: bytes, status: int, kind: type[Fault]) -> None:
    fault = GEMINI.fault(status, {}, body)
    assert (type(fault), fault.code) == (kind, None)
    assert fault.message == kind.__doc__


def test_keys_do_not_come_back_in_messages() -> None:
    assert "AIza" not in GEMINI.fault(403, {}, recorded("error_403_denied.json")).message
    for secret in ("AIzaSyA-12345678", "AQ.Ab8RN6I-x", "ya29.a0AfH6", "sk-abcdefgh", "Bearer abc", "k" * 40):
        body = json.dumps({"error": {"message": f"Bad key {secret}, sorry"}}).encode()
        assert GEMINI.fault(400, {}, body).message == "Bad key [redacted], sorry"


def test_long_messages_are_shortened() -> None:
    body = json.dumps({"error": {"message": "long " * 10_000, "status": "S" * 500}}).encode()
    fault = GEMINI.fault(400, {}, body)
    assert len(fault.message) == 500
    assert fault.code == "S" * 100


def test_gemini_tells_no_quota() -> None:
    assert GEMINI.quota({"x-ratelimit-limit-requests": "1"}) is None


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text()), st.binary())
def test_reading_an_error_never_fails(status: int, headers: dict[str, str], body: bytes) -> None:
    assert isinstance(GEMINI.fault(status, headers, body), Fault)
