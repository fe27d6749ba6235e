"""Pages of the repository at their places in the site, with links that still lead where they led.

Law: a link that leads to a page of the site is turned to it, one to another file of the repository to a copy of the
file, and one to nothing is an error that names the page. What stands in code is no link.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

#: Pages that lie outside `docs/`, and what the site calls them.
MOVED = {
    "README.md": "overview.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "bench/RESULTS.md": "measured.md",
    "client/README.md": "client.md",
    "examples/workflows/README.md": "examples.md",
}
#: Generated pages: they are in the site alone.
GENERATED = ("reference/settings.md", "reference/endpoints.md", "reference/bodies.md", "reference/commands.md")
_DOCS, _FILES = "docs/", "files/"
_CODE = re.compile(r"^(```|~~~).*?^\1|``.+?``|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?\[(?:[^\]\[]|\[[^\]]*\])*\])\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|^#")


class LostLink(Exception):
    """A page links to what is not there."""


def place(path: str) -> str:
    """Where the site has a page or a file of the repository."""
    if path in MOVED:
        return MOVED[path]
    return path.removeprefix(_DOCS) if path.startswith(_DOCS) else _FILES + path


def moved(text: str, path: str, root: Path) -> tuple[str, set[str]]:
    """A page's text as it stands at its new place, and the files that have to be copied for it.

    Raises:
        LostLink: a link leads nowhere.
    """
    here = PurePosixPath(place(path)).parent
    wanted: set[str] = set()

    def turned(found: re.Match[str]) -> str:
        words, target = found[1], found[2]
        if _ELSEWHERE.match(target):
            return found[0]
        name, mark, anchor = target.partition("#")
        known = posixpath.normpath((PurePosixPath(path).parent / name).as_posix())
        generated = known.removeprefix(_DOCS)
        if generated not in GENERATED and not (root / known).is_file():
            raise LostLink(f"{path}: there is no {known}")
        if not known.endswith(".md"):
            wanted.add(known)
        return f"{words}({posixpath.relpath(place(known), here)}{mark}{anchor})"

    pieces: list[str] = []
    at = 0
    for block in _CODE.finditer(text):
        pieces += [text[at : block.start()], block[0]]
        at = block.end()
    pieces.append(text[at:])
    # Code may stand within the words of a link, so what is between is put together with marks in the place of code.
    joined = "".join(piece if i % 2 == 0 else f"\0{i}\0" for i, piece in enumerate(pieces))
    joined = _LINK.sub(turned, joined)
    return re.sub("\0(\\d+)\0", lambda found: pieces[int(found[1])], joined), wanted
