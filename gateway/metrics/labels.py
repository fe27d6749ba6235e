"""Names that come from without, as labels: a bounded number of them."""

from __future__ import annotations

from collections.abc import Iterable

#: Characters. Longer names are told by their beginnings.
_LONGEST = 100


class Bounded:
    """The first so many names are told apart, all others are one."""

    __slots__ = ("_known", "_most", "_other")

    def __init__(self, most: int, other: str) -> None:
        """Tell `most` apart, and the others as `other`."""
        self._known: dict[str, str] = {}
        self._most = most
        self._other = other

    def __call__(self, name: str) -> str:
        """The label for a name."""
        label = self._known.get(name)
        if label is not None:
            return label
        if len(self._known) >= self._most:
            return self._other
        # What is no text cannot be shown.
        label = self._known[name] = name[:_LONGEST].encode(errors="replace").decode()
        return label

    def reserve(self, names: Iterable[str]) -> None:
        """These are told apart though others came first; even if they are too many."""
        for name in names:
            self._known.setdefault(name, name)
