r"""A text as patterns look at it: as it is, and once more without what disguises to them what people and models read.

    signs      spaces and hyphens that break no line, digits and letters of full width, digits of Arabic script: what is
               copied from a page or a PDF has them
    escapes    of JSON within a text, as tools answer it: behind `\n` a number begins no word

Law: a view has the length of its text, so that what is found in it has the same place there.
"""

from __future__ import annotations

import re

_SPACES = (0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000)
_HYPHENS = range(0x2010, 0x2014)
_DIGITS = (range(0x660, 0x66A), range(0x6F0, 0x6FA))
#: Of full width those that a number, a key or an address may have: in Chinese prose the others stand in every line.
_WIDE = (0xFF0B, 0xFF0D, 0xFF0E, *range(0xFF10, 0xFF1A), *range(0xFF20, 0xFF3B), 0xFF3F, *range(0xFF41, 0xFF5B))
#: Characters, each with the one of ASCII that is meant.
_MEANT = (
    {chr(code): " " for code in _SPACES}
    | {chr(code): "-" for code in _HYPHENS}
    | {chr(code): str(digits.index(code)) for digits in _DIGITS for code in digits}
    | {chr(code): chr(code - 0xFEE0) for code in _WIDE}
)
_ODD = re.compile(f"[\\\\{''.join(_MEANT)}]")
_ESCAPE = re.compile(r"\\[\\/\"'bfnrt]")


def views(text: str) -> tuple[str, ...]:
    """The text, and what else it is looked at as."""
    if "\\" not in text and text.isascii():
        return (text,)
    view = text
    # Few kinds of them, if any, and often: one after the other is sooner done than sign by sign.
    for one in set(_ODD.findall(text)):
        view = _ESCAPE.sub("\n\n", view) if one == "\\" else view.replace(one, _MEANT[one])
    return (text,) if view == text else (text, view)
