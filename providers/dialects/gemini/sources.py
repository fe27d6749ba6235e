"""`citationMetadata` ↔ sources. Google counts bytes of the text in UTF-8, everybody else characters.

Sources without an address (books, mostly) cannot be told in other formats and are left out; so are licences.
"""

from __future__ import annotations

from providers.chat import Citation, Json
from providers.dialects.gemini.wire import ToldSources


def citations(told: ToldSources | None, text: str) -> list[Citation]:
    """The sources of this text."""
    found = (told.citation_sources or told.citations or []) if told else []
    data = text.encode(errors="surrogatepass")
    return [
        Citation(
            source.uri,
            source.title or "",
            _characters(data, source.start_index or 0),
            _characters(data, len(data) if source.end_index is None else source.end_index),
        )
        for source in found
        if source.uri
    ]


def metadata(citations: list[Citation], text: str) -> Json:
    """The field of a candidate with this text."""
    return {
        "citationSources": [
            {
                "startIndex": _bytes(text, one.start),
                "endIndex": _bytes(text, one.end),
                "uri": one.url,
                **({"title": one.title} if one.title else {}),
            }
            for one in citations
        ]
    }


def _characters(data: bytes, offset: int) -> int:
    return len(data[: max(0, offset)].decode(errors="ignore"))


def _bytes(text: str, offset: int) -> int:
    return len(text[: max(0, offset)].encode(errors="surrogatepass"))
