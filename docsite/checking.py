"""Pages as they came out: every link and anchor leads somewhere, nothing is fetched from elsewhere, lists are lists.

Zensical has looked at the links of the Markdown; this looks at what a browser will follow, wherever it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from os.path import normpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes by which a page has a browser load something.
_LOADS = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
#: Links of `<link>` that are not loaded.
_UNLOADED = {"canonical", "prev", "next", "alternate", "edit"}
#: The beginning of a list, a table or a fence within a paragraph: it was written without the empty line before it.
_STRAY = re.compile(r"(?:^|\n)\s*(?:[-*] |\d+\. |\| |```)")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.stray: list[str] = []
        self._paragraph: list[str] | None = None
        self._article = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if (name := _LOADS.get(tag)) and name in found and not _UNLOADED & set(found.get("rel", "").split()):
            self.loads.append(found[name])
        if tag == "article":
            self._article = True
        if tag == "p" and self._article:
            self._paragraph = []
        if tag in {"code", "br"} and self._paragraph is not None:
            self._paragraph.append("·")

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._article = False
        if tag == "p" and self._paragraph is not None:
            text = "".join(self._paragraph)
            if found := _STRAY.search(text):
                self.stray.append(text[found.start() : found.start() + 60].strip())
            self._paragraph = None

    def handle_data(self, data: str) -> None:
        if self._paragraph is not None:
            self._paragraph.append(data)


def problems(html: Path) -> list[str]:
    """All that is wrong with a built site."""
    html = html.resolve()
    pages = {path: _read(path) for path in sorted(html.rglob("*.html"))}
    files = {path for path in html.rglob("*") if path.is_file()}
    found: list[str] = []
    for path, page in pages.items():
        here = path.relative_to(html).as_posix()
        found += [f"{here}: loads {one}" for one in page.loads if _abroad(one)]
        found += [f"{here}: no empty line before '{one}'" for one in page.stray]
        if here != "404.html":  # its links are made for wherever it is shown
            told = (_wrong(one, path, pages, files) for one in dict.fromkeys((*page.links, *page.loads)))
            found += [f"{here}: {one}" for one in told if one]
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text())
    return page


def _abroad(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def _wrong(link: str, path: Path, pages: Mapping[Path, _Page], files: set[Path]) -> str:
    if _abroad(link) or link.startswith("data:"):
        return ""
    parts = urlsplit(link)
    target = Path(normpath(path.parent / unquote(parts.path))) if parts.path else path
    if target not in files and target / "index.html" not in files:
        return f"'{link}' leads nowhere"
    known = pages.get(target)
    if parts.fragment and known is not None and unquote(parts.fragment) not in known.anchors:
        return f"'{link}' has no such place"
    return ""
