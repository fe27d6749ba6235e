"""What the process says on standard error: one JSON object per line, with whatever a record carries in `extra`.

Levels: `error` a defect or a loss · `warning` a request that failed, a dependency that is away · `info` the life of
the process · `debug` every request. The request log in the database is the record of requests; at `info` the process
does not repeat it.

Law: no key reaches a line. Text that looks like one (a bearer token, `sk-…`, a password in a URL) is masked in
messages, values and tracebacks alike.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.exchange import Exchange, told

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
    # A signed token: its three parts, of which the first is a JSON object.
    r"|\beyJ[-_A-Za-z0-9]{8,}\.[-_A-Za-z0-9]+\.[-_A-Za-z0-9]*"
)
_ENCODER = msgspec.json.Encoder(enc_hook=str)
_requests = logging.getLogger("steelyard.requests")
_tasks = logging.getLogger("steelyard.tasks")


def of_task(task: asyncio.Task[None]) -> None:
    """Tell that a background task died, a defect that nobody would notice: its callback."""
    if not task.cancelled() and (defect := task.exception()) is not None:
        _tasks.error("a background task ended", exc_info=defect)


def redact(text: str) -> str:
    """The text with everything that looks like a secret masked."""
    return SECRETS.sub(lambda match: (match[1] or "") + "********", text)


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, then the extras, then the traceback."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _PLAIN)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            text = _ENCODER.encode(line).decode()
        except UnicodeEncodeError:
            # Text that is not Unicode: a file's name, half a pair. Rare, so the slower encoder may escape it.
            text = json.dumps(line, default=str)
        return redact(text)


def configure(level: str) -> None:
    """Send everything of `level` and above to standard error, the servers' own loggers included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "sqlalchemy", "alembic", "litestar"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # One line per HTTP request and one per SQL statement are the request log's and DATABASE_ECHO's to give.
    # Nobody listening, uvicorn does not even compose its line.
    logging.getLogger("uvicorn.access").propagate = False
    for name in ("alembic", "aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def tell(exchange: Exchange) -> None:
    """The sink: one finished exchange, a warning when it failed."""
    level = logging.WARNING if exchange.outcome == "error" and exchange.error_source != "caller" else logging.DEBUG
    if not _requests.isEnabledFor(level):
        return
    _requests.log(
        level,
        "request",
        extra={
            "request_id": exchange.id,
            "surface": exchange.surface,
            "tenant": exchange.principal,
            "model": exchange.requested_model,
            "provider": exchange.provider,
            "status": exchange.status,
            "outcome": exchange.outcome,
            "error_code": exchange.error_code,
            "error": exchange.error_message,
            "cache": exchange.cache,
            "attempts": told(exchange),
            "seconds": round(exchange.seconds, 6),
        },
    )
