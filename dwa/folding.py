"""A decision as it is kept: the numbers of all candidates in one string, four bytes each, in base64.

    {…, "keys": […], "order": […], "columns": "idle seconds costs errors worth losses", "numbers": "zczMPQ…"}

Every request keeps its decision and hardly anybody ever reads one, so what counts is what it costs to keep. As text a
number takes 19 characters and is spelt digit by digit, once for the database and once for the journal: among a hundred
candidates that was half a request's work, and 24 kB for each row that waits. Here it is 5⅓ characters, made once.

Law: nothing is left out; every candidate's numbers are there, and what is explained later is worked out from them as
it was from the ranking. Limits: four bytes are seven digits, of which a chance, that hangs on fortieths of a loss,
keeps five. Estimates are good for two and are told at three. What a replay needs to the last bit (the seed, the order,
peaks) is not folded. Rows of before this have plain lists, and are read as well.
"""

from __future__ import annotations

import struct
from base64 import b64decode
from binascii import b2a_base64
from collections.abc import Mapping

FOLDED = ("idle", "seconds", "costs", "errors", "worth", "losses", "quality", "misses")
"""Columns of one number per candidate. A new one may be added; which are there stands with each decision."""


def folded(columns: dict[str, object], lists: Mapping[str, list[float]]) -> dict[str, object]:
    """The `columns` with `lists`, which are alike in length, folded in; may change `columns`."""
    numbers: list[float] = []
    for column in lists.values():
        numbers += column
    try:
        # By `struct`, as `array` takes five times as long to look at a number.
        coded = struct.pack(f"<{len(numbers)}f", *numbers)
    except OverflowError:
        # Beyond 10³⁸, by prices that are no prices: no reason to lose the record.
        return {**columns, **lists}
    columns["columns"], columns["numbers"] = " ".join(lists), b2a_base64(coded, newline=False).decode()
    return columns


def unfolded(columns: Mapping[str, object]) -> dict[str, object]:
    """The fields of a `Decision`, whatever the age of what was kept. ValueError for what nobody folded."""
    plain = dict(columns)
    names, coded = plain.pop("columns", None), plain.pop("numbers", None)
    if names is None and coded is None:
        return plain
    if not isinstance(names, str) or not isinstance(coded, str) or not set(names.split()) <= set(FOLDED):
        raise ValueError("this is no folded decision")
    packed, found = b64decode(coded, validate=True), names.split()
    each, rest = divmod(len(packed), 4 * len(found)) if found else (0, len(packed))
    if rest:
        raise ValueError("the columns of a folded decision are of one length")
    for place, name in enumerate(found):
        plain[name] = [*struct.unpack_from(f"<{each}f", packed, 4 * each * place)]
    return plain
