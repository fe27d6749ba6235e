"""`citationMetadata` and `groundingMetadata` ↔ sources. Google counts bytes of the text, everybody else characters.

The first tells what a text repeats, the second what a search of the web found for it. Others make no difference between
the two, so their sources are told in both. Of a search its queries and the suggestions that Google wants shown beside
the answer have no place in other formats.

Sources without an address (books, mostly) cannot be told in other formats and are left out; so are licences.
"""

from __future__ import annotations

from providers.chat import Citation, Json
from providers.dialects.gemini.wire import ToldCandidate, ToldGrounding


def citations(candidate: ToldCandidate, text: str) -> list[Citation]:
    """The sources of this text."""
    told = candidate.citation_metadata
    found = (told.citation_sources or told.citations or []) if told else []
    if not found and candidate.grounding_metadata is None:
        return []
    data = text.encode(errors="surrogatepass")
    cited = _grounded(candidate.grounding_metadata, data) if candidate.grounding_metadata else []
    cited += [
        Citation(
            source.uri,
            source.title or "",
            _characters(data, source.start_index or 0),
            _characters(data, len(data) if source.end_index is None else source.end_index),
        )
        for source in found
        if source.uri
    ]
    # A source may be told in both.
    return list({place_of(one): one for one in cited}.values())


def place_of(citation: Citation) -> tuple[str, int, int]:
    """What makes it the same as another."""
    return citation.url, citation.start, citation.end


def _grounded(told: ToldGrounding, data: bytes) -> list[Citation]:
    pages = [one.web for one in told.grounding_chunks or ()]
    cited: list[Citation] = []
    for support in told.grounding_supports or ():
        segment = support.segment
        start = _characters(data, (segment and segment.start_index) or 0)
        end = _characters(data, len(data) if segment is None or segment.end_index is None else segment.end_index)
        for number in support.grounding_chunk_indices or ():
            page = pages[number] if 0 <= number < len(pages) else None
            if page is not None and page.uri:
                cited.append(Citation(page.uri, page.title or "", start, end))
    return cited


def grounding(citations: list[Citation], text: str) -> Json:
    """The pages as those of a search."""
    pages = {one.url: one.title for one in citations}
    numbers = {url: number for number, url in enumerate(pages)}
    found = [{"uri": url, **({"title": title} if title else {})} for url, title in pages.items()]
    return {
        "groundingChunks": [{"web": page} for page in found],
        "groundingSupports": [
            {
                "segment": {
                    "startIndex": _bytes(text, one.start),
                    "endIndex": _bytes(text, one.end),
                    "text": text[one.start : one.end],
                },
                "groundingChunkIndices": [numbers[one.url]],
            }
            for one in citations
        ],
    }


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
