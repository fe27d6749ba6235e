"""How callers see errors: the one table, per surface."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from gateway import errors
from gateway.api.faults import (
    ANTHROPIC_SHAPE,
    NATIVE_SHAPE,
    OPENAI_SHAPE,
    ErrorShape,
    anthropic_body,
    defect,
    openai_body,
    retry_after,
)
from gateway.errors import (
    BadRequest,
    Busy,
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    NotFound,
    ProvidersFailed,
    StreamBroken,
    TooLarge,
    Unauthorized,
    UnknownModel,
    WrongMethod,
    of_fault,
    of_invalid,
)
from providers.dialect import InvalidRequest
from providers.errors import Cut, Garbled, Rejected, Throttled

SHAPES = {"openai": OPENAI_SHAPE, "anthropic": ANTHROPIC_SHAPE, "native": NATIVE_SHAPE}
PLAIN = [Unauthorized, Forbidden, UnknownModel, NotFound, BadRequest, TooLarge, DeadlineExceeded, Busy, WrongMethod]


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (BadRequest, (400, "invalid_request_error", "invalid_request", "caller")),
        (Unauthorized, (401, "authentication_error", "invalid_api_key", "caller")),
        (Forbidden, (403, "permission_error", "permission_denied", "policy")),
        (UnknownModel, (404, "invalid_request_error", "model_not_found", "caller")),
        (NotFound, (404, "not_found_error", "not_found", "caller")),
        (WrongMethod, (405, "invalid_request_error", "method_not_allowed", "caller")),
        (DeadlineExceeded, (408, "timeout_error", "deadline_exceeded", "gateway")),
        (TooLarge, (413, "invalid_request_error", "request_too_large", "caller")),
        (Busy, (503, "overloaded_error", "service_unavailable", "gateway")),
        (GatewayError, (500, "api_error", "internal_error", "gateway")),
    ],
)
def test_each_error_has_its_row(error: type[GatewayError], row: tuple[int, str, str, str]) -> None:
    made = error()
    told = openai_body(made, "req_1")
    assert (made.status, told["error"]["type"], told["error"]["code"], told["error"]["source"]) == row
    assert told["request_id"] == "req_1"
    assert told["error"]["message"]


def test_every_error_stands_in_the_tree_at_the_head_of_its_module() -> None:
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, GatewayError):
            assert name in (errors.__doc__ or ""), name


@pytest.mark.parametrize("error", PLAIN)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_body_is_json_and_names_field_and_request(error: type[GatewayError], shape: ErrorShape) -> None:
    told = msgspec.json.decode(shape.encoded(error("say what", param="messages[0]", code="odd"), "req_1"))
    assert told["request_id"] == "req_1"
    inner = told["error"]
    assert (inner["message"], inner["param"], inner["code"]) == ("say what", "messages[0]", "odd")
    assert "attempts" not in inner


def test_anthropics_sdks_are_told_that_they_may_go_on_without_a_thread() -> None:
    refused = BadRequest("No thread.", param="thread", code="thread_unsupported_request")
    told = anthropic_body(refused, "req_1")["error"]
    assert told["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert "details" not in anthropic_body(BadRequest("No."), "req_1")["error"]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_each_provider_did_is_told(shape: ErrorShape) -> None:
    error = ProvidersFailed([("a/m", Garbled())])
    error.attempts = [{"provider": "a", "model": "m", "outcome": "garbled", "seconds": 0.5}]
    assert msgspec.json.decode(shape.encoded(error, "req_1"))["error"]["attempts"] == error.attempts


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest(), "invalid_request_error"),
        (Unauthorized(), "authentication_error"),
        (Forbidden(), "permission_error"),
        (UnknownModel(), "not_found_error"),
        (TooLarge(), "request_too_large"),
        (DeadlineExceeded(), "timeout_error"),
        (ProvidersFailed([("a/m", Throttled())]), "rate_limit_error"),
        (Busy(), "overloaded_error"),
        (GatewayError(), "api_error"),
        (ProvidersFailed([("a/m", Garbled())]), "api_error"),
        (of_fault("a/m", Rejected(status=422)), "invalid_request_error"),
        (WrongMethod(), "invalid_request_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GatewayError) else value,
)
def test_anthropics_types_follow_the_status(error: GatewayError, kind: str) -> None:
    told = anthropic_body(error, "req_1")
    assert (told["type"], told["error"]["type"]) == ("error", kind)


def test_a_broken_stream_ends_in_an_event_of_its_surface() -> None:
    error = StreamBroken("a/m", Cut("gone"))
    for name, shape in SHAPES.items():
        event = shape.event(error, "req_1")
        assert event.endswith(b"\n\n")
        head, _, data = event.rpartition(b"data: ")
        assert head == (b"" if name == "openai" else b"event: error\n")
        assert msgspec.json.decode(data)["error"]["message"] == "a/m: gone"
        assert event.count(b"\n\n") == 1
        assert b"[DONE]" not in event


def test_a_message_with_line_breaks_does_not_break_the_event() -> None:
    for shape in SHAPES.values():
        event = shape.event(GatewayError("one\n\ndata: two\r\n\r\nthree"), "req_1")
        assert event.count(b"\n\n") == 1
        assert b"\r" not in event


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Busy(retry_after=5.0), "5"),
        (Busy(retry_after=5.01), "6"),
        (Busy(retry_after=0.01), "1"),
        (Busy(retry_after=0.0), "1"),
        (Busy(), "1"),
        (ProvidersFailed([("a/m", Throttled(retry_after=20.0))]), "20"),
        (ProvidersFailed([], retry_after=7.0), "7"),
        (BadRequest(retry_after=5.0), None),
        (DeadlineExceeded(), None),
        (ProvidersFailed([("a/m", Garbled())]), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GatewayError) else str(value),
)
def test_retry_after_is_on_every_429_and_503_in_whole_seconds_never_too_soon(
    error: GatewayError, seconds: str | None
) -> None:
    assert retry_after(error) == seconds


def test_a_callers_invalid_body_keeps_its_field_and_code() -> None:
    error = of_invalid(InvalidRequest("Missing 'model'.", param="model", code="missing_required_parameter"))
    assert (error.status, error.message, error.param) == (400, "Missing 'model'.", "model")
    assert error.code == "missing_required_parameter"
    assert of_invalid(InvalidRequest("No.")).code == "invalid_request"


def test_a_defect_tells_nothing_but_in_debug() -> None:
    boom = ValueError("postgres://me:hunter22@db/x is odd")
    assert "ValueError" not in defect(boom, debug=False).message
    told = defect(boom, debug=True)
    assert "ValueError" in told.message
    assert "hunter22" not in told.message
    assert told.status == 500
