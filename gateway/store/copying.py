"""A record as PostgreSQL's COPY takes it: its binary format, made by hand.

Made when the record is offered and not when its batch is written, so that what a batch of 500 costs is paid by and by:
encoded in one go, it held the event loop for 4 ms at a time, and this for half a millisecond. By hand, because the
driver encodes a batch only, from a tuple of Python values for each row; what both take of the core is about the same.

Law: the fields and their order are those of `tables`, and the values those of `rows`; a test writes the same records
both ways and compares. What no column takes raises `ValueError` or one of its relatives, as there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.rows import MAX_JSON, MAX_MESSAGE, MAX_NAME, MONEY_SCALE, json_text
from gateway.store.tables import MONEY_PLACES, attempts, bodies, exchanges
from gateway.store.text import ENCODER, scrubbed

#: Before the rows of a COPY (a signature, no flags, no more header), and behind them.
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_TRUE, _FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"
#: The number of fields, with which each row begins.
_EXCHANGE, _ATTEMPT, _BODY = (struct.pack(">h", len(table.columns)) for table in (exchanges, attempts, bodies))

#: Lengths stand before values. An amount is five digits to the base 10,000, of which two stand before the point, with
#: their number, the first one's weight, sign and decimal places.
_AMOUNT = "ihHHHHHHHH"
_LENGTH = struct.Struct(">i")
_INT, _BIG, _FLOAT = struct.Struct(">ii"), struct.Struct(">iq"), struct.Struct(">id")
_TOKENS_COST_TIME = struct.Struct(f">{'iq' * 5}{_AMOUNT}id")
_TOKENS_COST = struct.Struct(f">{'iq' * 2}{_AMOUNT}")
_TWO_TIMES = struct.Struct(">idid")
_AMOUNT_HEAD = 18, 5, 1
_NEGATIVE = 0x4000
#: What every answer out of the cache costs.
_NOTHING = *_AMOUNT_HEAD, 0, MONEY_PLACES, 0, 0, 0, 0, 0

#: Unix seconds at which PostgreSQL's count of microseconds begins, and between which Python has dates to read back.
_EPOCH = 946_684_800
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_799.0
#: Names that are remembered, and characters of the longest. Models, providers and reasons are few; a caller who invents
#: names has them all made anew now and then.
_REMEMBERED, _SHORT = 1_024, 64


class Copied(NamedTuple):
    """The rows of one record, per table. `body` keeps the two as they came, since they may be large."""

    exchange: bytes
    attempts: bytes
    body: tuple[bytes | None, bytes | None] | None


def copied(record: ExchangeRecord) -> Copied:
    """The rows of a record. Raises `ValueError`, `TypeError`, `OverflowError` or `AttributeError` when it has none."""
    try:
        identity = _text(record.id, MAX_NAME)
        rows = b"".join([_attempt_row(identity, one) for one in record.attempts])
        request, response = record.request_body, record.response_body
        body = None if request is None and response is None else (request, response)
        return Copied(_exchange_row(identity, record), rows, body)
    except struct.error as exc:
        raise ValueError(f"a value that fits no column: {exc}") from exc


def contents(identities: Sequence[str], rows: Sequence[Copied]) -> tuple[bytes, bytes, bytes]:
    """What to COPY into `exchanges`, `attempts` and `bodies`; empty where there are no rows."""
    held = [_body_row(identity, row.body) for identity, row in zip(identities, rows, strict=True) if row.body]
    return _whole([row.exchange for row in rows]), _whole([row.attempts for row in rows]), _whole(held)


def _whole(rows: list[bytes]) -> bytes:
    return b"".join((_BEGIN, *rows, _END)) if any(rows) else b""


def _exchange_row(identity: bytes, r: ExchangeRecord) -> bytes:
    names = _NAMES
    counts = 8, r.input_tokens, 8, r.output_tokens, 8, r.cached_tokens, 8, r.cache_write_tokens, 8, r.reasoning_tokens
    numbers = _TOKENS_COST_TIME.pack(*counts, *_amount(r.cost_usd), 8, r.duration_s)
    return b"".join(
        (
            _EXCHANGE,
            identity,
            _time(r.created_at),
            names[r.surface],
            names[r.dialect],
            names[r.requested_model],
            names[r.tenant],
            names[r.key_name],
            names[r.route],
            names[r.provider],
            names[r.model],
            names[r.strategy],
            names[r.objective],
            _message(r.reason),
            _INT.pack(4, r.status),
            names[r.outcome],
            names[r.error_type],
            names[r.error_code],
            names[r.error_source],
            _message(r.error_message),
            _TRUE if r.stream else _FALSE,
            names[r.cache],
            _TRUE if r.simulated else _FALSE,
            names[r.finish_reason],
            numbers,
            _NULL if r.ttft_s is None else _FLOAT.pack(8, r.ttft_s),
            _FLOAT.pack(8, r.overhead_ms),
            names[r.session_id],
            names[r.end_user],
            _json(r.dropped_params or None),
            _json(r.tags),
            _json(r.decision),
            _INT.pack(4, len(r.attempts)),
        )
    )


def _attempt_row(identity: bytes, a: AttemptRecord) -> bytes:
    names = _NAMES
    return b"".join(
        (
            _ATTEMPT,
            identity,
            _INT.pack(4, a.seq),
            names[a.provider],
            names[a.model],
            names[a.outcome],
            _NULL if a.status is None else _INT.pack(4, a.status),
            names[a.code],
            _message(a.message),
            _TWO_TIMES.pack(8, a.started_s, 8, a.seconds),
            _NULL if a.ttft_s is None else _FLOAT.pack(8, a.ttft_s),
            _TOKENS_COST.pack(8, a.input_tokens, 8, a.output_tokens, *_amount(a.cost_usd)),
        )
    )


def _body_row(identity: str, body: tuple[bytes | None, bytes | None]) -> bytes:
    fields = (_NULL if one is None else _LENGTH.pack(len(one)) + one for one in body)
    return b"".join((_BODY, _text(identity, MAX_NAME), *fields))


class _Names(dict[str | None, bytes]):
    """Names as fields. Most come again and again, and are made once."""

    def __missing__(self, name: str | None) -> bytes:
        field = _NULL if name is None else _text(name, MAX_NAME)
        if name is None or len(name) <= _SHORT:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[name] = field
        return field


_NAMES = _Names()


def _message(text: str | None) -> bytes:
    # A short one is kept like a name: the DWA's reasons are few.
    return _NAMES[text] if text is None or len(text) <= _SHORT else _text(text, MAX_MESSAGE)


def _text(text: str, limit: int) -> bytes:
    if len(text) > limit or not text.isascii() or "\0" in text:
        text = scrubbed(text)[:limit]
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def _json(value: Any) -> bytes:
    if value is None:
        return _NULL
    try:
        data = ENCODER.encode(value)
        fine = len(data) <= MAX_JSON and b"\\u0000" not in data
    except UnicodeEncodeError:
        data, fine = b"", False
    if not fine:
        data = (json_text(value) or "").encode()
    return _LENGTH.pack(len(data)) + data


def _time(seconds: float) -> bytes:
    if not _EARLIEST <= seconds <= _LATEST:
        raise ValueError("a time beyond all calendars")
    # Apart, since the sum of both would be too fine for a float.
    whole = int(seconds)
    return _BIG.pack(8, (whole - _EPOCH) * 1_000_000 + round((seconds - whole) * 1e6))


def _amount(usd: float) -> tuple[int, ...]:
    if not usd:
        return _NOTHING
    number = round(usd * MONEY_SCALE)
    sign = 0
    if number < 0:
        number, sign = -number, _NEGATIVE
    # Not by `divmod`, which takes thrice as long.
    dollars, rest = number // MONEY_SCALE, number % MONEY_SCALE
    digits = dollars // 10_000, dollars % 10_000, rest // 1_000_000, rest // 100 % 10_000, rest % 100 * 100
    return *_AMOUNT_HEAD, sign, MONEY_PLACES, *digits
