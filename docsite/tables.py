"""Pieces of Markdown that every generated page is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty text when it has no row."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |", *lines]) + "\n"


def cell(text: str) -> str:
    """Text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|") if "|" not in text or "`" not in text else _coded(text)


def code(text: str) -> str:
    """Text in the fixed pitch, nothing for nothing."""
    return f"`{text}`" if text else ""


def slug(text: str) -> str:
    """A name for an anchor: of words, hyphens and figures."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def paragraphs(text: str) -> str:
    """A docstring as prose: lines of a paragraph joined, so that none is taken for a list."""
    parts = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(part.split()) for part in parts)


def _coded(text: str) -> str:
    # Within backquotes a backslash is shown, and a bar still ends the cell: so it is written as HTML.
    text = " ".join(text.split())
    return re.sub(
        r"`([^`]*)`", lambda found: f"<code>{_entities(found[1])}</code>" if "|" in found[1] else found[0], text
    ).replace("|", "&#124;")


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
