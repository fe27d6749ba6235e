"""What is made for PostgreSQL's COPY says what the drivers' rows say, field by field."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Double, Integer, LargeBinary, Table

from gateway.store.copying import Copied, contents, copied
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.rows import MAX_JSON, POSTGRES, rows_of
from gateway.store.tables import Money, UtcDateTime, attempts, bodies, exchanges

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_WORDS = st.text(st.characters(exclude_categories=()), max_size=300)  # surrogates and NUL included
_COUNT = st.integers(-(2**63), 2**63 - 1)
_SECONDS = st.floats(allow_nan=False)
_USD = st.floats(-9e7, 9e7)
_TREE = st.recursive(st.none() | st.booleans() | st.floats() | _WORDS, lambda inner: st.dictionaries(_WORDS, inner))
_TAGS = st.none() | st.dictionaries(_WORDS, _TREE, max_size=3)
_ATTEMPTS = st.builds(
    AttemptRecord,
    seq=st.integers(0, 2**31 - 1),
    provider=_WORDS,
    model=_WORDS,
    outcome=_WORDS,
    status=st.none() | st.integers(0, 999),
    code=st.none() | _WORDS,
    message=st.none() | _WORDS,
    started_s=_SECONDS,
    seconds=_SECONDS,
    ttft_s=st.none() | _SECONDS,
    input_tokens=_COUNT,
    output_tokens=_COUNT,
    cost_usd=_USD,
)
_RECORDS = st.builds(
    ExchangeRecord,
    id=_WORDS,
    # Later ones are no whole microseconds, and the two ways of rounding them to some differ.
    created_at=st.floats(0, 4e9),
    surface=_WORDS,
    dialect=_WORDS,
    requested_model=_WORDS,
    reason=_WORDS,
    route=st.none() | _WORDS,
    provider=st.none() | _WORDS,
    error_message=st.none() | _WORDS,
    stream=st.booleans(),
    simulated=st.booleans(),
    input_tokens=_COUNT,
    reasoning_tokens=_COUNT,
    cost_usd=_USD,
    duration_s=_SECONDS,
    ttft_s=st.none() | _SECONDS,
    overhead_ms=_SECONDS,
    dropped_params=st.tuples(_WORDS) | st.just(()),
    tags=_TAGS,
    decision=_TAGS,
    attempts=st.lists(_ATTEMPTS, max_size=3),
    request_body=st.none() | st.binary(max_size=50),
    response_body=st.none() | st.binary(max_size=50),
)


def record(**facts: Any) -> ExchangeRecord:
    required: dict[str, Any] = {"id": "req_1", "created_at": 1.0, "surface": "", "dialect": "", "requested_model": ""}
    return ExchangeRecord(**(required | facts))


def amount(data: bytes) -> Decimal:
    count, weight, sign, places, *digits = struct.unpack(">hhHh5h", data)
    assert (count, weight, places) == (5, 1, 10)
    assert all(0 <= digit < 10_000 for digit in digits)
    parts = (Decimal(digit) * Decimal(10_000) ** (weight - place) for place, digit in enumerate(digits))
    found = sum(parts, start=Decimal(0))
    return -found if sign else found


def value(kind: object, data: bytes) -> Any:
    """What PostgreSQL would read, as its driver takes it."""
    match kind:
        case UtcDateTime():
            return _EPOCH + timedelta(microseconds=struct.unpack(">q", data)[0])
        case Money():
            return amount(data)
        case LargeBinary():
            return data
        case Boolean():
            return struct.unpack(">?", data)[0]
        case Double():
            return struct.unpack(">d", data)[0]
        case BigInteger():
            return struct.unpack(">q", data)[0]
        case Integer():
            return struct.unpack(">i", data)[0]
        case _:
            return data.decode()


def read(table: Table, content: bytes) -> list[tuple[Any, ...]]:
    """The rows of a COPY."""
    if not content:
        return []
    assert content[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at, rows = 19, list[tuple[Any, ...]]()
    while (count := struct.unpack_from(">h", content, at)[0]) >= 0:
        assert count == len(table.columns)
        at += 2
        row: list[Any] = []
        for column in table.columns:
            length = struct.unpack_from(">i", content, at)[0]
            at += 4
            row.append(None if length < 0 else value(column.type, content[at : at + length]))
            at += max(length, 0)
        rows.append(tuple(row))
    assert at + 2 == len(content)
    return rows


@given(st.lists(_RECORDS, max_size=3))
def test_what_is_copied_is_what_the_rows_say(records: list[ExchangeRecord]) -> None:
    rows = rows_of(records, POSTGRES)
    found = contents([one.id for one in records], [copied(one) for one in records])
    assert read(exchanges, found[0]) == rows.exchanges
    assert read(attempts, found[1]) == rows.attempts
    assert read(bodies, found[2]) == rows.bodies


@pytest.mark.parametrize(
    "usd", [0.0, 1e-10, 1.4e-10, 0.00026, 0.1 + 0.2, 1.0, 9_999.99999, 10_000.0, 99_999_999.5, -0.5]
)
def test_an_amount_is_the_same_number(usd: float) -> None:
    found = contents(["req_1"], [copied(record(cost_usd=usd))])
    (row,) = read(exchanges, found[0])
    assert row[list(exchanges.columns.keys()).index("cost_usd")] == POSTGRES.money(usd)


def test_a_large_value_is_left_out_and_its_size_told_and_nuls_are_replaced() -> None:
    one = record(tags={"a": "x" * MAX_JSON}, decision={"a\0": "\ud800"})
    found = dict(zip(exchanges.columns.keys(), read(exchanges, contents(["a"], [copied(one)])[0])[0], strict=True))
    assert found["tags"] == f'{{"omitted":true,"length":{MAX_JSON + 8}}}'
    assert found["decision"] == '{"a\ufffd":"?"}'


@pytest.mark.parametrize(
    "facts",
    [
        {"input_tokens": 2**63},
        {"status": 2**31},
        {"status": 1.5},
        {"provider": 5},
        {"created_at": 1e20},
        {"created_at": float("nan")},
        {"cost_usd": float("nan")},
        {"cost_usd": float("inf")},
        {"cost_usd": 1e13},
        {"duration_s": "1"},
        {"attempts": [AttemptRecord(seq=2**31, provider="", model="", outcome="")]},
    ],
)
def test_what_no_column_takes_is_an_error_that_blames_the_row(facts: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError, AttributeError)):
        copied(record(**facts))


def test_names_that_come_again_are_made_once_and_not_for_ever() -> None:
    def column(name: str) -> Any:
        (row,) = read(exchanges, contents(["a"], [copied(record(model=name))])[0])
        return row[list(exchanges.columns.keys()).index("model")]

    assert [column(f"model-{number}") for number in range(3_000)] == [f"model-{number}" for number in range(3_000)]
    assert column("model-0") == "model-0"


def test_nothing_to_copy_is_no_copy() -> None:
    assert contents([], []) == (b"", b"", b"")
    row = copied(record())
    assert isinstance(row, Copied)
    assert contents(["req_1"], [row])[1:] == (b"", b"")
