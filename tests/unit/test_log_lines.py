"""What a line says beside its message: whose it is, and for a request why it went where it went."""

from __future__ import annotations

import json
import logging
import random
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from gateway import logs
from gateway.exchange import Attempt, Exchange, Preferences
from gateway.logfile import SharedFile
from gateway.logs import JsonLines, TextLines
from gateway.settings.telling import Log
from gateway.tracing.places import Here, Trace, enter
from tests.unit.nowhere import nowhere as nowhere

TRACE = Trace(0xABC, 0xDEF, True, rng=random.Random(1))


@pytest.fixture
def loggers() -> Generator[None]:
    """The root logger as it was, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for one in root.handlers:
        if isinstance(one, SharedFile):
            one.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str = "said", exc_info: Any = None, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("steelyard.test", logging.WARNING, __file__, 1, message, (), exc_info)
    vars(made).update(extra)
    return made


def told(one: logging.LogRecord) -> dict[str, Any]:
    return json.loads(JsonLines().format(one))


def test_a_line_of_nobody_names_nobody() -> None:
    assert not {"request_id", "execution_id", "trace_id", "span_id"} & told(record()).keys()


def test_a_line_names_the_request_and_its_span() -> None:
    enter(Here("req_1", "", TRACE))
    line = told(record())
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("req_1", f"{0xABC:032x}", f"{0xDEF:016x}")
    assert "execution_id" not in line


def test_a_line_of_an_execution_names_it_and_its_own_words_come_first() -> None:
    enter(Here("", "wfexec_1"))
    assert told(record())["execution_id"] == "wfexec_1"
    assert told(record(execution_id="wfexec_2"))["execution_id"] == "wfexec_2"


def finished(*attempts: Attempt, **more: Any) -> Exchange:
    made = Exchange("req_1", 1.0, 1.0, "chat", "openai", "ann", "fast", False, Preferences(), **more)
    made.attempts = list(attempts)
    return made


def test_the_line_of_a_request_says_where_it_went_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "steelyard.requests")
    one = finished(
        Attempt("grok", "g", 0.0, "overloaded", 0.25),
        Attempt("openai", "o", 0.25, "ok", 0.5),
        provider="openai",
        model="o",
        strategy="load_balanced",
        objective="balanced",
        reason="best_performance",
        cost=0.125,
        trace=TRACE,
        tags={"execution_id": "wfexec_1", "workflow": "w", "node": "n", "other": 1},
    )
    logs.teller("all")(one)
    (found,) = caplog.records
    assert found.levelno == logging.INFO
    line = told(found)
    expected = {
        "request_id": "req_1",
        "trace_id": TRACE.trace_id,
        "span_id": TRACE.span_id,
        "execution_id": "wfexec_1",
        "workflow": "w",
        "node": "n",
        "model": "fast",
        "provider": "openai",
        "provider_model": "o",
        "strategy": "load_balanced",
        "objective": "balanced",
        "reason": "best_performance",
        "cost_usd": 0.125,
        "attempts": [
            {"provider": "grok", "model": "g", "outcome": "overloaded", "seconds": 0.25},
            {"provider": "openai", "model": "o", "outcome": "ok", "seconds": 0.5},
        ],
    }
    assert {name: line[name] for name in expected} == expected
    assert "other" not in line


def test_a_refused_key_of_ours_is_a_warning_though_another_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "steelyard.requests")
    logs.teller()(finished(Attempt("grok", "g", 0.0, "overloaded"), Attempt("openai", "o", 0.1, "ok")))
    assert not caplog.records
    logs.teller()(finished(Attempt("grok", "g", 0.0, "misconfigured"), Attempt("openai", "o", 0.1, "ok")))
    assert [one.levelno for one in caplog.records] == [logging.WARNING]


def test_text_is_for_people_and_keeps_to_its_line() -> None:
    enter(Here("req_1"))
    line = TextLines().format(
        record("first\nsecond \x1b[31mred", model="a b", nothing=None, tries=2, key="sk-" + "a" * 20)
    )
    assert line[12:].startswith(" WARNING test: first?second ?[31mred  request_id=req_1 ")
    assert 'model="a b"' in line
    assert "tries=2" in line
    assert "nothing" not in line
    assert "sk-aaa" not in line


def test_text_has_a_traceback_below() -> None:
    try:
        raise LookupError("there is none")
    except LookupError:
        lines = TextLines().format(record(exc_info=sys.exc_info())).splitlines()
    assert lines[-1] == "  LookupError: there is none"


def test_a_traceback_cannot_look_like_a_line_of_ours() -> None:
    try:
        raise LookupError("no \x1b[31mred\u2028one\r\n12:00:00.000 ERROR   serve: all is lost")
    except LookupError:
        text = TextLines().format(record(exc_info=sys.exc_info()))
    first, *below = text.split("\n")
    assert "test: said" in first
    assert all(one.startswith("  ") for one in below)
    assert below[-2:] == ["  LookupError: no ?[31mred?one?", "  12:00:00.000 ERROR   serve: all is lost"]


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize(
    ("form", "tty", "text"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("text", False, True)],
)
def test_a_terminal_gets_text_unless_somebody_says_otherwise(
    form: Any, tty: bool, text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: tty)
    logs.configure(Log(format=form))
    assert isinstance(logging.getLogger().handlers[0].formatter, TextLines) == text


@pytest.mark.usefixtures("loggers")
def test_a_file_gets_all_lines_as_json_and_standard_error_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "steelyard.log"
    logs.configure(Log(file=path, file_size=200, file_count=2))
    for number in range(5):
        logging.getLogger("steelyard.test").info("hello %d", number)
    files = [path.with_name("steelyard.log.2"), path.with_name("steelyard.log.1"), path]
    lines = [json.loads(line) for one in files for line in one.read_text().splitlines()]
    assert [one["message"] for one in lines][-1] == "hello 4"
    assert capsys.readouterr().err == ""
    # After a reload that wants it elsewhere the file is let go of.
    (before,) = logging.getLogger().handlers
    logs.configure(Log())
    assert isinstance(before, SharedFile)
    logging.getLogger("steelyard.test").info("here")
    assert "here" in capsys.readouterr().err
    assert "here" not in path.read_text()
