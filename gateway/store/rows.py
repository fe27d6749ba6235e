"""Records to rows: what a driver takes as it is, in the order of the columns.

Law: nothing a caller or provider may put into a request can make its row unwritable. PostgreSQL refuses NUL and lone
surrogates, and an index refuses long values; a caller who could send either would keep himself out of the log. So text
is scrubbed and shortened here, first by cheap tests of all of a row's texts together, and only then one by one.

Limits: a JSON value longer than `MAX_JSON` is replaced by its size, other text is cut at the limits below. Whatever is
still wrong (a number too large, a value of another type) raises `ValueError`, `TypeError` or the driver's own error;
the writer then isolates that row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.tables import MONEY_PLACES
from gateway.store.text import encoded, scrubbed, scrubbed_tree

#: Characters of a name that are kept. An index entry must fit a third of a page (2,700 bytes), at 4 bytes a character.
MAX_NAME = 256
#: Characters of a message or reason that are kept: enough for a provider's sentence, not for the prompt it quotes.
MAX_MESSAGE = 2_000
#: Encoded length of a JSON value that is kept. A ranking of a thousand candidates fits.
MAX_JSON = 65_536

_MESSAGES = {"reason", "error_message", "message"}
_NOT_COLUMNS = 5  # attempts, request_body, response_body, key_tags, charges: the record's last fields
#: Units of a stored amount in a dollar.
MONEY_SCALE = 10**MONEY_PLACES
_PLACE = Decimal(1).scaleb(-MONEY_PLACES)


class Codec(NamedTuple):
    """How an engine's driver takes the two types that differ."""

    time: Callable[[float], Any]
    money: Callable[[float], Any]


def _sqlite_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _sqlite_money(usd: float) -> int:
    return round(usd * MONEY_SCALE)


def _postgres_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _postgres_money(usd: float) -> Decimal:
    return round(usd * MONEY_SCALE) * _PLACE


SQLITE = Codec(_sqlite_time, _sqlite_money)
POSTGRES = Codec(_postgres_time, _postgres_money)


class Rows(NamedTuple):
    """The rows of a batch, one list per table."""

    exchanges: list[tuple[Any, ...]]
    attempts: list[tuple[Any, ...]]
    bodies: list[tuple[str, bytes | None, bytes | None]]


def rows_of(records: Sequence[ExchangeRecord], codec: Codec) -> Rows:
    """The rows of `records`, in the order of the tables' columns.

    Raises:
        ValueError, TypeError, OverflowError: a record holds something no column takes.
    """
    rows = Rows([], [], [])
    for record in records:
        row = _exchange_row(record, codec)
        rows.exchanges.append(row)
        for attempt in record.attempts:
            rows.attempts.append(_attempt_row(row[0], attempt, codec))
        if record.request_body is not None or record.response_body is not None:
            rows.bodies.append((row[0], record.request_body, record.response_body))
    return rows


def _exchange_row(record: ExchangeRecord, codec: Codec) -> tuple[Any, ...]:
    row = list(astuple(record)[:-_NOT_COLUMNS])
    _clean_texts(row, _EXCHANGE_TEXTS, _exchange_texts)
    row[_CREATED_AT] = codec.time(record.created_at)
    row[_EXCHANGE_COST] = codec.money(record.cost_usd)
    row[_DROPPED] = json_text(record.dropped_params or None)
    row[_TAGS] = json_text(record.tags)
    row[_DECISION] = json_text(record.decision)
    row.append(len(record.attempts))
    return tuple(row)


def _attempt_row(exchange_id: str, attempt: AttemptRecord, codec: Codec) -> tuple[Any, ...]:
    row: list[Any] = [exchange_id, *astuple(attempt)]
    _clean_texts(row, _ATTEMPT_TEXTS, _attempt_texts)
    row[_ATTEMPT_COST] = codec.money(attempt.cost_usd)
    return tuple(row)


def _clean_texts(row: list[Any], texts: tuple[tuple[int, int], ...], get: itemgetter[Any]) -> None:
    """Clean the texts of a row; most need it not, and one look at all of them together tells."""
    given = [*filter(None, get(row))]
    together = "".join(given)
    if together.isascii() and "\0" not in together and (len(together) <= MAX_NAME or max(map(len, given)) <= MAX_NAME):
        return
    for index, limit in texts:
        text = row[index]
        if text is not None and (len(text) > limit or "\0" in text or not text.isascii()):
            row[index] = scrubbed(text)[:limit]


def json_text(value: Any) -> str | None:
    """JSON text without NULs: PostgreSQL stores an escaped one, and then fails whoever reads inside the value."""
    if value is None:
        return None
    text = encoded(value)
    if "\\u0000" in text:
        text = encoded(scrubbed_tree(value))
    return text if len(text) <= MAX_JSON else encoded({"omitted": True, "length": len(text)})


def _texts(struct: type[msgspec.Struct], offset: int) -> tuple[tuple[int, int], ...]:
    return tuple(
        (index + offset, MAX_MESSAGE if column.name in _MESSAGES else MAX_NAME)
        for index, column in enumerate(msgspec.structs.fields(struct))
        if column.type in (str, str | None)
    )


def _at(struct: type[msgspec.Struct], name: str) -> int:
    return struct.__struct_fields__.index(name)


_EXCHANGE_TEXTS = _texts(ExchangeRecord, 0)
_ATTEMPT_TEXTS = _texts(AttemptRecord, 1)
_exchange_texts = itemgetter(*(index for index, _ in _EXCHANGE_TEXTS))
_attempt_texts = itemgetter(*(index for index, _ in _ATTEMPT_TEXTS))
_CREATED_AT = _at(ExchangeRecord, "created_at")
_EXCHANGE_COST = _at(ExchangeRecord, "cost_usd")
_DROPPED = _at(ExchangeRecord, "dropped_params")
_TAGS = _at(ExchangeRecord, "tags")
_DECISION = _at(ExchangeRecord, "decision")
_ATTEMPT_COST = 1 + _at(AttemptRecord, "cost_usd")
