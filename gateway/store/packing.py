"""Records to bytes and back, for the spill: msgpack by field name, so that a newer version reads an older's rows."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.store.record import ExchangeRecord, Poison
from gateway.store.text import foreign, scrubbed_tree

_ENCODER = msgspec.msgpack.Encoder(enc_hook=foreign)
_DECODER = msgspec.msgpack.Decoder(ExchangeRecord)
#: What decoding raises for a value that cannot be a field's. (msgspec's errors are ValueErrors.)
_ERRORS = (ValueError, TypeError, OverflowError, RecursionError)


def pack(record: ExchangeRecord) -> bytes:
    """The bytes of a record. Raises `ValueError`, `TypeError`, `OverflowError` or `RecursionError` when it has none."""
    try:
        return _ENCODER.encode(record)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(record, builtin_types=(bytes,), enc_hook=foreign)
        return _ENCODER.encode(scrubbed_tree(plain))


def unpacked(payloads: Iterable[bytes]) -> tuple[list[ExchangeRecord], list[Poison]]:
    """The record of each payload, and those that are none."""
    records: list[ExchangeRecord] = []
    poison: list[Poison] = []
    for payload in payloads:
        try:
            records.append(_DECODER.decode(payload))
        except _ERRORS as exc:
            poison.append(Poison("unreadable", exc))
    return records, poison
