"""Every snippet of the client's README, run against a running gateway."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.driving import ADMIN_KEY, World

README = (Path(__file__).parents[2] / "client" / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_it_runs(world: World, snippet: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = snippet.replace("http://127.0.0.1:8000", world.url).replace("…", ADMIN_KEY)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 5
