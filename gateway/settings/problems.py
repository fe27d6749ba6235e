"""What is wrong with a configuration, all of it at once.

Law: a problem names the variable or the path, shows the offending value unless it may be secret, says what is valid,
and how to mend it.
"""

from __future__ import annotations

from msgspec import Struct


class Problem(Struct, frozen=True):
    """One thing to mend: `place` is a variable or a file and path, `message` one or two sentences."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class SettingsError(Exception):
    """The configuration is not valid."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Hold every problem that was found, in the order of the settings."""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"The configuration has {count}:", *(f"  - {problem}" for problem in problems)]))
        self.problems = problems
