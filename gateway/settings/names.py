"""The name somebody probably meant.

Law: a suggestion is offered only when it is likely (similarity 0.6 or more by difflib's ratio), because a wrong one
costs more than none.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LISTED = 20  # names in a list of what is valid; every section's keys fit, fifty models do not help anybody


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name most like `name`, whatever its case, or None when none is like it."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    matches = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def suggestion(name: str, valid: Iterable[str]) -> str:
    """A sentence that helps after an unknown name: the nearest one, or else the first of them."""
    names = list(valid)
    if match := nearest(name, names):
        return f"Did you mean '{match}'?"
    if not names:
        return "Nothing is valid here."
    return f"Valid here: {', '.join(names[:_LISTED])}{' …' if len(names) > _LISTED else '.'}"
