"""How much a template may make and do: counted, not timed, so that it ends alike after every crash.

What a template writes or builds weighs at most `LONGEST`; all that it handles on its way, loops included, `MOST_WORK`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import cast

from gateway.workflows.spec import Json, elements, members

#: Characters that a template may write, or a value weigh that it builds: a prompt of this size fits no model.
LONGEST = 4_000_000
#: What one execution of a template may handle, in characters: ten of the longest, as filters follow filters.
MOST_WORK = 40_000_000
#: What a turn of a loop or a call of a filter counts for: 200,000 of them are the work.
TURN = 200
#: An element of a list costs more than a character: 200,000 of them weigh `LONGEST`.
ELEMENT = 20
#: Bits of a whole number: larger ones are slow to divide.
MOST_BITS = 4096


class TooMuch(ValueError):
    """More than a template may make or do."""


def weight(value: Json, most: float = math.inf) -> int:
    """How large a value is, in characters. Raises `TooMuch` as soon as it is more than `most`."""
    total = 0
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            total += len(one)
        elif isinstance(one, float) and not math.isfinite(one):
            raise TooMuch("A number is too large.")
        elif (named := members(one)) is not None:
            total += ELEMENT * len(named) + sum(len(str(name)) for name in named)
            left.extend(named.values())
        elif (listed := elements(list(cast(tuple[Json], one)) if isinstance(one, tuple) else one)) is not None:
            total += ELEMENT * len(listed)
            left.extend(listed)
        if total > most:
            raise TooMuch(f"This is more than {most:,.0f} characters.")
    return total


class Work:
    """What one execution of a template has done so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._left = MOST_WORK

    def turn(self) -> None:
        """Begin a turn of a loop, or a call."""
        self._spend(TURN)

    def handle(self, value: Json) -> None:
        """Take a value in hand, or make it."""
        self._spend(weight(value, LONGEST))

    def _spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise TooMuch("The template does too much; let a 'map' go through the list.")


def joined(parts: Iterable[str], between: str = "") -> str:
    """The parts as one text. Raises `TooMuch`, early."""
    found: list[str] = []
    length = 0
    for part in parts:
        length += len(part) + len(between)
        if length > LONGEST + len(between):
            raise TooMuch(f"The template writes more than {LONGEST:,} characters.")
        found.append(part)
    return between.join(found)


def repeated(left: Json, right: Json) -> None:
    """Raises `TooMuch` when a list or text so many times would be too much."""
    many, times = (right, left) if isinstance(left, int) else (left, right)
    if not isinstance(many, str | list | tuple) or not isinstance(times, int):
        return
    if times * weight(cast(Json, many)) > LONGEST:
        raise TooMuch("This repetition makes too much.")


def replaced(text: str, old: str, new: str, count: int | None = None) -> str:
    """The text with one thing put for another. Raises `TooMuch` before it is made."""
    times = text.count(old) if count is None or count < 0 else min(count, text.count(old))
    if len(text) + times * (len(new) - len(old)) > LONGEST:
        raise TooMuch("This replacement makes too much.")
    return text.replace(old, new, times)


def batches(values: Iterable[Json], size: int) -> Iterator[list[Json]]:
    """Lists of so many each, the last one of what is left."""
    listed = list(values)
    if size < 1:
        raise ValueError("a batch has at least one element")
    return (listed[begin : begin + size] for begin in range(0, len(listed), size))


def small(number: Json) -> None:
    """Raises `TooMuch` for a whole number that is slow to work with, or one that is too large to be one."""
    large = (
        number.bit_length() > MOST_BITS
        if isinstance(number, int)
        else isinstance(number, float) and not math.isfinite(number)
    )
    if large:
        raise TooMuch("A number is too large.")
