"""What is wrong with a definition: all of it at once, each with its place as JSONPath."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gateway.schemas import json_path


class Problem(Struct, frozen=True, order=True):
    """One thing that must be mended; `path` as `$.nodes.draft.prompt`."""

    path: str
    message: str


class BadDefinition(ValueError):
    """A definition that cannot be kept."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """All that was found."""
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{one.path}: {one.message}" for one in problems))


def at(*steps: str | int) -> str:
    """A place as JSONPath."""
    return json_path(steps)
