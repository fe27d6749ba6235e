"""The laws of log lines: each is one JSON object, none holds a secret, and the level says who must act."""

from __future__ import annotations

import json
import logging
import string
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway import logs
from gateway.errors import Unauthorized
from gateway.exchange import Exchange, Preferences
from gateway.logs import JsonLines, redact
from gateway.settings.telling import Log

LETTERS = string.ascii_letters + string.digits
TOKENS = st.text(LETTERS + "-_", min_size=16, max_size=60).filter(lambda text: text[0] in LETTERS)
#: Passwords of URLs, percent-encoded where the format asks for it.
PASSWORDS = st.text(LETTERS + "-_.~!$*+=%", min_size=6, max_size=30)
SECRET = "s3cret-of-ann-0123456789"
Shape = Callable[[str], str]


def shapes(*names: str) -> Any:
    known: dict[str, Shape] = {
        # keys that tell themselves
        "openai": lambda secret: f"sk-{secret}",
        "openai project": lambda secret: f"sk-proj-{secret}",
        "anthropic": lambda secret: f"sk-ant-api03-{secret}",
        "xai": lambda secret: f"xai-{secret}",
        "groq": lambda secret: f"gsk_{secret}",
        "google": lambda secret: f"AIza{secret}",
        "google in a query": lambda secret: f"https://g.test/v1beta/models?key=AIza{secret}&alt=sse",
        "token": lambda secret: f"the token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJh{secret}.{secret}",
        # keys that their surroundings tell
        "bearer": lambda secret: f"Bearer {secret}",
        "lower bearer": lambda secret: f"bearer   {secret}",
        "x-api-key": lambda secret: f"x-api-key: {secret}",
        "X-Goog-Api-Key": lambda secret: f"X-Goog-Api-Key: {secret}",
        "query": lambda secret: f"https://p.test/v1?api_key={secret}&x=1",
        "assignment": lambda secret: f"api-key = {secret}",
        "apikey": lambda secret: f"apikey={secret}",
        "password": lambda secret: f"password={secret}",
        "dict": lambda secret: f"{{'x-goog-api-key': '{secret}', 'a': 'b'}}",
        "authorization": lambda secret: f"Authorization: Bearer {secret}",
        "authorization dict": lambda secret: f"{{'authorization': 'Bearer {secret}'}}",
        "basic": lambda secret: f"authorization: Basic {secret}",
        "json": lambda secret: f'{{"x-api-key": "{secret}"}}',
        "pairs": lambda secret: f"(('x-api-key', '{secret}'), ('a', 'b'))",
        "raw pairs": lambda secret: f"[(b'x-api-key', b'{secret}')]",
    }
    return pytest.mark.parametrize("shape", [pytest.param(known[name], id=name) for name in names])


TOLD = shapes(
    *("openai", "openai project", "anthropic", "xai", "groq", "google", "google in a query", "token"),
    *("bearer", "lower bearer", "x-api-key", "X-Goog-Api-Key", "query", "assignment", "apikey", "password", "dict"),
)


def line(message: str, *args: Any, exc_info: Any = None, **extra: Any) -> str:
    record = logging.LogRecord("steelyard.test", logging.INFO, __file__, 1, message, args, exc_info)
    vars(record).update(extra)
    return JsonLines().format(record)


def ways(text: str) -> list[str]:
    """The text on every way into a line."""
    try:
        raise RuntimeError(text)
    except RuntimeError:
        broken = sys.exc_info()
    return [
        line(f"before {text} after"),
        line("before %s after", text),
        line("extra", value=text),
        line("nested", value={"one": [text], "two": {"three": text}}),
        line("object", value=RuntimeError(text)),
        line("traceback", exc_info=broken),
    ]


@TOLD
@given(secret=TOKENS)
def test_a_key_is_masked(shape: Shape, secret: str) -> None:
    masked = redact(f"before {shape(secret)} after")
    assert secret not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@TOLD
@given(secret=TOKENS)
def test_no_key_reaches_a_line_on_any_way(shape: Shape, secret: str) -> None:
    assume(secret not in "before after nested extra object traceback RuntimeError")
    for told in ways(shape(secret)):
        assert secret not in told


@shapes("authorization", "authorization dict", "basic")
def test_a_key_behind_the_header_s_name_and_scheme_is_masked(shape: Shape) -> None:
    assert SECRET not in redact(shape(SECRET))


@shapes("json", "pairs", "raw pairs")
def test_a_key_in_quoted_headers_reaches_no_line(shape: Shape) -> None:
    assert SECRET not in line(f"sent {shape(SECRET)}")


#: As users of a URL they are a test of their own.
NAMES_OF_KEYS = ("password", "apikey", "api-key", "api_key")


@pytest.mark.parametrize("user", NAMES_OF_KEYS)
def test_a_user_who_is_called_like_a_key_does_not_hide_the_host(user: str) -> None:
    masked = redact(f"cannot reach redis://{user}:000000@db.test:6379/0 now")
    assert "000000" not in masked
    assert "@db.test:6379/0 now" in masked


@given(password=PASSWORDS, user=st.text(LETTERS, max_size=8))
def test_a_password_in_a_url_is_masked_and_its_host_is_not(password: str, user: str) -> None:
    assume(password not in "redis://db.test:6379/0")
    assume(user.lower() not in NAMES_OF_KEYS)
    for told in (redact, line):
        masked = told(f"cannot reach redis://{user}:{password}@db.test:6379/0 now")
        assert f":{password}@" not in masked
        assert "@db.test:6379/0 now" in masked


def test_a_password_with_an_at_sign_is_masked_whole() -> None:
    masked = redact("redis://:hunter@secret@db.test:6379/0")
    assert "secret" not in masked
    assert masked.endswith("@db.test:6379/0")


def _quoted(shape: Shape) -> str:
    return json.loads(line(f'it said "{shape(SECRET)}" to us'))["message"]


@shapes(
    *("openai", "openai project", "anthropic", "xai", "groq", "google", "google in a query", "query", "dict"),
)
def test_a_masked_line_is_still_json_where_a_quote_follows(shape: Shape) -> None:
    assert _quoted(shape).endswith('" to us')


@shapes("bearer", "lower bearer", "x-api-key", "X-Goog-Api-Key", "assignment", "apikey", "password")
def test_a_masked_line_is_still_json_where_a_quote_follows_at_once(shape: Shape) -> None:
    assert _quoted(shape).endswith('" to us')


def test_the_advice_to_send_a_key_is_no_key() -> None:
    assert redact(str(Unauthorized())) == str(Unauthorized())


@pytest.mark.parametrize(
    "text",
    [
        "The API key is not valid.",
        "https://api.openai.com:443/v1/chat/completions",
        "task sk-1 of skeleton, asking gpt-4o-mini at 12:30",
        "openai.com:443 is unreachable: no connection could be made.",
        "mail ann@example.com",
        "max_tokens: 4096, top_p: 0.5",
    ],
)
def test_innocent_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.dictionaries(st.sampled_from(["one", "two"]), st.none() | st.integers() | st.floats() | st.text(LETTERS)),
)
def test_every_record_is_one_json_object_on_one_line(message: str, extra: dict[str, Any]) -> None:
    assume(redact(message) == message)
    told = line(message.replace("%", "%%"), **extra)
    assert "\n" not in told
    assert "\r" not in told
    read = json.loads(told)
    assert read["message"] == message.replace("%", "%%")
    assert set(extra) <= set(read)


def test_a_line_says_when_how_bad_where_and_what() -> None:
    read = json.loads(line("hello %s", "world", seconds=1.5))
    assert list(read) == ["time", "level", "logger", "message", "seconds"]
    assert (read["level"], read["logger"], read["message"]) == ("info", "steelyard.test", "hello world")
    assert read["time"].endswith("Z")
    assert len(read["time"]) == len("2026-01-01T00:00:00.000Z")


def test_a_traceback_is_part_of_its_line() -> None:
    try:
        raise LookupError("first\nsecond")
    except LookupError:
        read = json.loads(line("failed", exc_info=sys.exc_info()))
    assert "LookupError: first\nsecond" in read["exception"]
    assert "test_logs.py" in read["exception"]


@pytest.mark.parametrize(
    "value",
    [
        Path("/x"),
        {1, 2},
        (1, 2),
        LookupError("x"),
        object(),
        float("nan"),
        float("inf"),
        {1: 2},
        {(1, 2): 3},
        2**63,
        2**64,
        b"x",
    ],
)
def test_whatever_a_record_carries_has_a_line(value: Any) -> None:
    assert "value" in json.loads(line("odd", value=value))


def test_text_that_json_cannot_say_costs_no_line() -> None:
    assert json.loads(line("odd", value="broken \ud800 text"))["message"] == "odd"


# Levels


@pytest.fixture
def loggers() -> Generator[None]:
    """The process's loggers as they were, afterwards."""
    names = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "alembic", "litestar")
    before = [(logging.getLogger(name), list(logging.getLogger(name).handlers)) for name in names]
    settings = [(one, one.level, one.propagate) for one, _ in before]
    yield
    for one, handlers in before:
        one.handlers[:] = handlers
    for one, level, propagate in settings:
        one.setLevel(level)
        one.propagate = propagate


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_below_the_level_is_not_said(level: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(level=level))
    order = ["debug", "info", "warning", "error"]
    for one in order:
        logging.getLogger("steelyard.test").log(getattr(logging, one.upper()), "said")
    out, err = capsys.readouterr()
    assert [json.loads(told)["level"] for told in err.splitlines()] == order[order.index(level) :]
    assert out == ""


@pytest.mark.usefixtures("loggers")
def test_the_servers_speak_the_same_way_once_and_without_a_line_per_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(Log())
    logs.configure(Log())
    logging.getLogger("uvicorn.error").info("started with Bearer s3cret-of-ann")
    logging.getLogger("uvicorn.access").info("GET /")
    told = capsys.readouterr().err.splitlines()
    assert [json.loads(one)["message"] for one in told] == ["started with Bearer ********"]


def finished(outcome: str, source: str | None = None) -> Exchange:
    return Exchange(
        id="req_1",
        created=1.0,
        began=1.0,
        surface="chat",
        dialect="openai",
        principal="ann",
        requested_model="m",
        stream=False,
        preferences=Preferences(),
        outcome=outcome,
        error_source=source,
        error_message="Incorrect API key provided: sk-abcdefghijklmnop" if source else None,
    )


@pytest.mark.parametrize(
    ("one", "level"),
    [
        (finished("ok"), logging.DEBUG),
        (finished("cancelled"), logging.DEBUG),
        (finished("error", "caller"), logging.DEBUG),
        (finished("error", "policy"), logging.WARNING),
        (finished("error", "provider"), logging.WARNING),
        (finished("error", "gateway"), logging.WARNING),
    ],
    ids=["ok", "cancelled", "caller", "policy", "provider", "gateway"],
)
def test_a_request_is_a_warning_only_where_somebody_of_ours_may_act(
    one: Exchange, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "steelyard.requests")
    logs.teller()(one)
    (record,) = caplog.records
    assert record.levelno == level
    told = json.loads(JsonLines().format(record))
    assert (told["request_id"], told["tenant"], told["outcome"]) == ("req_1", "ann", one.outcome)
    assert "sk-abcdefgh" not in str(told)


def test_a_request_below_the_level_costs_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "steelyard.requests")
    logs.teller()(finished("ok"))
    assert caplog.records == []


@given(st.text() | st.from_regex(logs.SECRETS) | TOKENS)
def test_the_short_look_misses_nothing_that_the_pattern_finds(text: str) -> None:
    assert redact(text) == logs.SECRETS.sub(lambda match: (match[1] or "") + "********", text)
