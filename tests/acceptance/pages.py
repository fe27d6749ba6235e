"""The documents' fences, and what may be done with each.

<!-- not run: why -->         before a fence: it cannot be run here, for this reason
```sh, ```bash                run by bash, in the order of the page, whose blocks keep their variables
```python                     run as a program
```yaml                       loaded as a steelyard.yaml
```json                       read as JSON, where "…" stands for what is left out
```toml                       read as TOML
```text, ```, ```diff …       shown, never run
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Pages whose fences a test of their own follows to the letter.
FOLLOWED = {"docs/workflows.md": "test_workflows_document.py"}
#: Page and language → why none of its fences is run, where each would have to say the same.
UNRUN = {
    ("docs/deployment.md", "sh"): "Docker, Kubernetes, root: what the files say has tests of its own",
    ("docs/tracing.md", "bash"): "Docker, and a collector",
    ("docs/tracing.md", "yaml"): "files of the collector",
    ("docs/runbooks.md", "yaml"): "files of Prometheus and of its Alertmanager",
}
#: Languages that are something to do.
RUN = ("sh", "bash", "python", "yaml", "json", "toml")
#: Languages that are only shown; others are a mistake, or something that nobody has thought of. Not mermaid: to draw
#: it, the site would have browsers fetch a script from elsewhere.
SHOWN = ("", "text", "js", "ts", "diff", "promql", "sql", "console", "ini", "nginx", "dockerfile")
_FENCE = re.compile(
    r"^( *)(?P<why><!-- not run: .*? -->\n\1)?```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^\1```$", re.M | re.S
)
_WHY = re.compile(r"<!-- not run: (\S.*?) -->")


@dataclass(frozen=True)
class Fence:
    """A block of a page. `why` it is not run; empty when it is."""

    page: str
    line: int
    language: str
    text: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """All pages of `docs/`, and SECURITY.md."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [path.relative_to(ROOT).as_posix() for path in (*found, ROOT / "SECURITY.md")]


def fences(page: str) -> Iterator[Fence]:
    """The fences of a page, in their order."""
    text = (ROOT / page).read_text()
    for found in _FENCE.finditer(text):
        why = _WHY.search(found["why"] or "")
        indent = len(found[1])
        body = "".join(line[indent:] if line.strip() else line for line in found["text"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start()) + 1
        reason = why[1] if why else UNRUN.get((page, found["language"]), "")
        yield Fence(page, line, found["language"], body, reason)


def every(*languages: str) -> list[Fence]:
    """All fences in a language that are to be run."""
    return [
        one
        for page in pages()
        if page not in FOLLOWED
        for one in fences(page)
        if one.language in languages and not one.why
    ]
