"""An MCP server that searches the Markdown files of a folder: `python shelf.py FOLDER`.

One tool, `search`: the sections that hold most of the words asked for, best first. It reads the files anew at each call,
and speaks over standard input and output.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from mcp.server.mcpserver import MCPServer

#: Characters of a section that are told.
SHOWN = 600
#: Words that say nothing of what is sought.
_COMMON = frozenset(
    "a an and are as at be by do does for from has how in is it of on or that the this to what who".split()
)

server = MCPServer("shelf")


class Passage(TypedDict):
    """A section of a file."""

    place: str
    text: str


def _sections(folder: Path) -> Iterator[Passage]:
    for file in sorted(folder.rglob("*.md")):
        for section in re.split(r"(?m)^(?=#+ )", file.read_text(encoding="utf-8")):
            heading, _, text = section.partition("\n")
            if text.strip():
                yield Passage(place=f"{file.name}: {heading.lstrip('# ')}", text=text.strip())


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - _COMMON


@server.tool()
def search(query: str, limit: int = 5) -> list[Passage]:
    """Find sections of the documents that hold these words."""
    wanted = _words(query)
    found = [(len(wanted & _words(one["place"] + " " + one["text"])), one) for one in _sections(Path(sys.argv[1]))]
    best = sorted((pair for pair in found if pair[0]), key=lambda pair: -pair[0])[: max(limit, 0)]
    return [Passage(place=one["place"], text=one["text"][:SHOWN]) for _, one in best]


if __name__ == "__main__":
    server.run("stdio")
