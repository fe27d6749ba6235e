"""An MCP server that searches the Markdown files of a folder: `python shelf.py FOLDER`.

One tool, `search`: the sections that hold the words asked for, best first; a word counts the more the rarer it is and
the shorter the section, and twice in a heading. It reads the files anew at each call, and speaks over standard input
and output.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from math import log
from pathlib import Path

from mcp.server.mcpserver import MCPServer

#: Characters of a section that are told.
SHOWN = 600
#: Words that say nothing of what is sought.
_COMMON = set(
    re.findall(r"\w+", "a an and are as at be by do does for from has how in is it of on or that the to what who")
)

server = MCPServer("shelf")


def _sections(folder: Path) -> Iterator[dict[str, str]]:
    """Each with the `place` where it stands and its `text`."""
    for file in sorted(folder.rglob("*.md")):
        for section in re.split(r"(?m)^(?=#+ )", file.read_text(encoding="utf-8")):
            heading, _, text = section.partition("\n")
            if text.strip():
                yield {"place": f"{file.relative_to(folder).as_posix()}: {heading.lstrip('# ')}", "text": text.strip()}


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - _COMMON


@server.tool()
def search(query: str, limit: int = 5) -> list[dict[str, str]]:
    """Find sections of the documents that hold these words."""
    wanted = _words(query)
    found = [(_words(one["place"] + " " + one["text"]), one) for one in _sections(Path(sys.argv[1]))]
    held = Counter(word for words, _ in found for word in words & wanted)

    def worth(words: set[str], place: set[str]) -> float:
        each = (log(len(found) / held[word]) * (1 + (word in place)) for word in words & wanted)
        return sum(each) / (1 + log(len(words)))

    best = sorted(
        (pair for pair in found if pair[0] & wanted), key=lambda pair: -worth(pair[0], _words(pair[1]["place"]))
    )
    return [{**one, "text": one["text"][:SHOWN]} for _, one in best[: max(limit, 0)]]


if __name__ == "__main__":
    server.run("stdio")
