"""A search of the web that the provider runs for its model: what of it can be asked for in more than one format.

    OpenAI's Chat Completions   size, location
    OpenAI's Responses          size, location, allowed sites
    Anthropic                   location, allowed and blocked sites, uses
    Gemini                      that there is one

Whether and how often the model searches is its own affair everywhere. What cannot be said in the provider's format is
named as the caller wrote it: to search the whole web when a few sites were asked for would be another question.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: The parts of a place, the same for everybody who takes one.
PLACE = ("city", "region", "country", "timezone")
Part = Literal["size", "location", "allowed", "blocked", "uses"]


class WebSearch(Struct):
    """A search asked for at `path`; the parts of it stand at `paths`, each where it is said.

    `size` is how much of the findings the model reads (`low`, `high`; OpenAI's default says nothing); `uses` bounds how
    often it may search; the sites are domains.
    """

    path: str
    size: str | None = None
    location: dict[str, str] | None = None
    allowed: list[str] | None = None
    blocked: list[str] | None = None
    uses: int | None = None
    paths: dict[str, str] = {}

    def lost(self, *sayable: Part) -> list[str]:
        """Where the caller said what a format with these parts alone cannot say."""
        parts: tuple[Part, ...] = ("size", "location", "allowed", "blocked", "uses")
        return [self.paths.get(part, self.path) for part in parts if part not in sayable and self._says(part)]

    def _says(self, part: Part) -> bool:
        return getattr(self, part) not in (None, [], {})


def said_size(size: str | None) -> str | None:
    """OpenAI's measure of it; its default asks for nothing."""
    return None if size == "medium" else size


def place(given: dict[str, object] | None) -> dict[str, str] | None:
    """Where the one is who asks, of what a caller says of it."""
    found = {name: str(given[name]) for name in PLACE if given.get(name) is not None} if given else {}
    return found or None
