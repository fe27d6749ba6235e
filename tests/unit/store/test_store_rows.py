"""Records become rows, and bytes, without losing or inventing anything."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import String

from gateway.store.copying import copied
from gateway.store.packing import pack, unpacked
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.rows import MAX_MESSAGE, MAX_NAME, POSTGRES, SQLITE, Codec, rows_of
from gateway.store.tables import attempts, bodies, exchanges

_TEXTS = st.text(st.characters(exclude_categories=()), max_size=3_000)  # surrogates and NUL included


def _record(**facts: Any) -> ExchangeRecord:
    required: dict[str, Any] = {
        "id": "req_1",
        "created_at": 1_795_219_200.5,
        "surface": "chat",
        "dialect": "openai",
        "requested_model": "m",
    }
    return ExchangeRecord(**(required | facts))


def test_a_records_fields_are_the_columns_in_their_order() -> None:
    fields = ExchangeRecord.__struct_fields__
    assert fields[-5:] == ("attempts", "request_body", "response_body", "key_tags", "charges")
    assert [column.name for column in exchanges.columns] == list(fields[:-4])
    assert [column.name for column in attempts.columns] == ["exchange_id", *AttemptRecord.__struct_fields__]
    assert [column.name for column in bodies.columns] == ["exchange_id", "request", "response"]


@pytest.mark.parametrize(
    ("codec", "time", "money"),
    [
        (SQLITE, "2026-11-21 00:00:00.500000", 1_234_500_000),
        (POSTGRES, datetime(2026, 11, 21, 0, 0, 0, 500_000, UTC), Decimal("0.1234500000")),
    ],
)
def test_time_and_money_are_what_the_engines_driver_takes(codec: Codec, time: object, money: object) -> None:
    record = _record(cost_usd=0.12345, attempts=[AttemptRecord(seq=0, provider="p", model="m", outcome="ok")])
    rows = rows_of([record], codec)
    named = dict(zip((column.name for column in exchanges.columns), rows.exchanges[0], strict=True))
    assert (named["created_at"], named["cost_usd"], named["attempts"]) == (time, money, 1)
    assert rows.attempts[0][:4] == ("req_1", 0, "p", "m")
    assert rows.bodies == []


@given(_TEXTS)
def test_every_text_becomes_one_that_any_engine_takes(words: str) -> None:
    names = [c.name for c in exchanges.columns if isinstance(c.type, String)]
    attempt = AttemptRecord(seq=0, provider=words, model=words, outcome=words, code=words, message=words)
    record = _record(**dict.fromkeys(names, words), tags={words: [words]}, dropped_params=(words,), attempts=[attempt])
    rows = rows_of([record], POSTGRES)
    for value in (*rows.exchanges[0], *rows.attempts[0]):
        if isinstance(value, str):
            assert "\0" not in value
            assert "\\u0000" not in value.replace("\\\\", "")
            value.encode()
    named = dict(zip((column.name for column in exchanges.columns), rows.exchanges[0], strict=True))
    for name in names:
        limit = MAX_MESSAGE if name in {"reason", "error_message"} else MAX_NAME
        assert len(named[name]) == min(len(words), limit)
    if words.isascii() and "\0" not in words:
        assert named["model"] == words[:MAX_NAME]
        assert msgspec.json.decode(named["tags"]) == {words: [words]}


@given(_TEXTS)
def test_a_packed_record_is_the_record(words: str) -> None:
    record = _record(model=words, tags={"a": words, "n": [1, None, 2.5]}, request_body=b"\x00\xff", attempts=[])
    (found,), unreadable = unpacked([pack(record)])
    assert unreadable == []
    assert found.request_body == b"\x00\xff"
    if not any("\ud800" <= letter <= "\udfff" for letter in words):
        assert found == record


def test_a_lone_surrogate_is_replaced_on_the_way_to_the_disk() -> None:
    (found,), _ = unpacked([pack(_record(model="a\ud800", tags={"\ud800": "b"}, request_body=b"\xff"))])
    assert (found.model, found.tags, found.request_body) == ("a?", {"?": "b"}, b"\xff")


def test_a_record_that_no_encoder_takes_says_so() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    with pytest.raises(RecursionError):
        pack(_record(tags=endless))
    with pytest.raises(RecursionError):
        copied(_record(tags=endless))


def test_a_row_of_another_version_is_read_with_what_both_know() -> None:
    older = msgspec.to_builtins(_record(provider="p"))
    newer = {**older, "a_field_of_tomorrow": 1}
    found, poison = unpacked([msgspec.msgpack.encode(newer), b"\xc1", msgspec.msgpack.encode({"id": "x"})])
    assert found == [_record(provider="p")]
    assert [one.id for one in poison] == ["unreadable", "unreadable"]


def test_a_foreign_object_leaves_its_type_and_never_its_content() -> None:
    class Secret:
        def __repr__(self) -> str:
            return "sk-123"

    record = _record(tags={"key": Secret()})
    row = rows_of([record], SQLITE).exchanges[0]
    assert '{"key":"<Secret>"}' in row
    (found,), _ = unpacked([pack(record)])
    assert found.tags == {"key": "<Secret>"}
