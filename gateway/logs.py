"""What the process says, on standard error or in a file: a line for each thing, with what a record has in `extra`.

A line is a JSON object, or text for people on a terminal. What is said while a request is served, or an execution runs,
names it: `request_id`, `execution_id`, `trace_id` and `span_id`.

Levels: `error` something was lost or is broken · `warning` somebody should look: a request that failed and was not its
caller's fault, a provider that refuses our key, a dependency that is away · `info` the life of the process, and where
the settings say so every request · `debug` every request. The request log in the database is the record of requests.

Law: no key reaches a line. Text that looks like one (a bearer token, `sk-…`, a password in a URL) is masked in
messages, values and tracebacks alike.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.exchange import Exchange, told
from gateway.logfile import SharedFile
from gateway.settings.telling import Log
from gateway.tracing.places import here
from providers.errors import Misconfigured

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
#: What looks like one; of a match with a group, what follows the group.
SECRETS = re.compile(
    # First: who is called `password` must not have the host masked too.
    r"(?i)(?<=://)[^/@\s:]*:[^/\s\"']+(?=@)|"
    # The name of a key, then a colon or the comma of a pair, its quotes perhaps escaped; the scheme is no secret.
    r"((?:api[-_]?key|authorization|password)"
    r"(?:(?:\\?[\"'])?\s*[:=]\s*(?:b?\\?[\"'])?|\\?[\"'],\s*b?\\?[\"'])"
    r"(?:(?:bearer|basic)\s+|(?!(?:bearer|basic)\b))|\bbearer\s+)[^\s\"',;&\\]{6,}"
    r"|\b(?:sk|xai|gsk|AIza)[-_A-Za-z0-9]{12,}"
    # A signed token: its three parts, of which the first is a JSON object; or that alone, so that what has many of them
    # is not looked through to its end from each.
    r"|\beyJ[-_A-Za-z0-9]{8,}(?:\.[-_A-Za-z0-9]+\.[-_A-Za-z0-9]*)?"
)
#: Control characters: what a caller sent must not write lines of its own, nor colour the terminal.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Our own loggers are the rule.
_OURS = "steelyard."
#: The outcome of an attempt that the operator has to mend: a key that is no more, a model that is not there.
_MISCONFIGURED = Misconfigured.kind
#: What a text must hold, in small letters, for anything in it to look like a secret.
_HINTS = ("sk", "xai", "aiza", "eyj", "://", "key", "bearer", "authorization", "password")
_ENCODER = msgspec.json.Encoder(enc_hook=str)
_requests = logging.getLogger("steelyard.requests")
_tasks = logging.getLogger("steelyard.tasks")


def of_task(task: asyncio.Task[None]) -> None:
    """Tell that a background task died, a defect that nobody would notice: its callback."""
    if not task.cancelled() and (defect := task.exception()) is not None:
        _tasks.error("a background task ended", exc_info=defect)


def redact(text: str) -> str:
    """The text with everything that looks like a secret masked."""
    if text.isascii():
        # Nearly every text has none, and says so sooner than the pattern: 5 and 94 µs for a request's line, measured.
        lower = text.lower()
        if not any(hint in lower for hint in _HINTS):
            return text
    return SECRETS.sub(lambda match: (match[1] or "") + "********", text)


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says beside its message: what is being done just now, then what the record carries."""
    facts: dict[str, Any] = {}
    if (now := here()) is not None:
        if now.request_id:
            facts["request_id"] = now.request_id
        if now.execution_id:
            facts["execution_id"] = now.execution_id
        if now.place is not None:
            facts["trace_id"], facts["span_id"] = now.place.trace_id, now.place.span_id
    facts.update((name, value) for name, value in vars(record).items() if name not in _PLAIN)
    return facts


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, then what else there is, then the traceback."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(facts_of(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            text = _ENCODER.encode(line).decode()
        except UnicodeEncodeError:
            # Text that is not Unicode: a file's name, half a pair. Rare, so the slower encoder may escape it.
            text = json.dumps(line, default=str)
        return redact(text)


class TextLines(logging.Formatter):
    """The same for people: the time of day, how bad, where, what; then `name=value`, and a traceback set in below."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, but for a traceback."""
        said = " ".join(
            f"{name}={_shown(value)}" for name, value in facts_of(record).items() if value not in (None, "")
        )
        clock = datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "milliseconds")[11:23]
        line = f"{clock} {record.levelname:<7} {record.name.removeprefix(_OURS)}: {record.getMessage()}"
        if said:
            line = f"{line}  {said}"
        line = _UNSEEN.sub("?", line)
        if record.exc_info:
            # What an error says may be a caller's words: set in, none of its lines can be taken for one of ours.
            trace = self.formatException(record.exc_info).split("\n")
            line = "\n".join([line, *(f"  {_UNSEEN.sub('?', one)}" for one in trace)])
        return redact(line)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and " " in text else text


def configure(wanted: Log) -> None:
    """Send everything of its level and above where the settings want it, the servers' own loggers included.

    Raises `OSError` when the file cannot be written.
    """
    handler: logging.Handler
    handler = (
        logging.StreamHandler(sys.stderr)
        if wanted.file is None
        else SharedFile(wanted.file, size=wanted.file_size, count=wanted.file_count)
    )
    plain = wanted.format == "text" or (wanted.format == "auto" and wanted.file is None and sys.stderr.isatty())
    handler.setFormatter(TextLines() if plain else JsonLines())
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], [handler]
    for one in before:
        if isinstance(one, SharedFile):
            one.close()
    root.setLevel(wanted.level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "alembic", "litestar"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # One line per HTTP request and one per SQL statement are the request log's and DATABASE_ECHO's to give.
    # Nobody listening, uvicorn does not even compose its line.
    logging.getLogger("uvicorn.access").propagate = False
    for name in ("alembic", "aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def teller(requests: str = "failed") -> Callable[[Exchange], None]:
    """The sink: one finished exchange, a warning when it failed. `requests` is the setting of that name."""
    ordinary = logging.INFO if requests == "all" else logging.DEBUG

    def tell(exchange: Exchange) -> None:
        level = logging.WARNING if _matters(exchange) else ordinary
        if _requests.isEnabledFor(level):
            _requests.log(level, "request", extra=_line(exchange))

    return tell


def _matters(exchange: Exchange) -> bool:
    """Somebody should look: it failed, and not by its caller's fault, or a provider refuses what we are set up with."""
    if exchange.outcome == "error" and exchange.error_source != "caller":
        return True
    return any(one.outcome == _MISCONFIGURED for one in exchange.attempts)


def _line(exchange: Exchange) -> dict[str, Any]:
    """Who asked for what, who answered and why, and how it went."""
    tags, trace = exchange.tags or {}, exchange.trace
    line: dict[str, Any] = {"request_id": exchange.id}
    if trace is not None:
        line |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
    if "execution_id" in tags:
        line |= {name: tags.get(name) for name in ("execution_id", "workflow", "node")}
    return line | {
        "surface": exchange.surface,
        "tenant": exchange.principal,
        "model": exchange.requested_model,
        "route": exchange.route,
        "provider": exchange.provider,
        "provider_model": exchange.model,
        "strategy": exchange.strategy,
        "objective": exchange.objective,
        "reason": exchange.reason,
        "status": exchange.status,
        "outcome": exchange.outcome,
        "error_code": exchange.error_code,
        "error": exchange.error_message,
        "cache": exchange.cache,
        "attempts": told(exchange),
        "cost_usd": round(exchange.cost, 10),
        "seconds": round(exchange.seconds, 6),
    }
