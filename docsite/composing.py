"""Everything the site is made of, laid out in one folder: pages, generated pages, pictures, navigation."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from docsite import commands_page, endpoints_page, settings_page
from docsite.moving import MOVED, moved, place

ROOT = Path(__file__).parents[1]
NAVIGATION = ROOT / "docs" / "nav.yml"
#: What the README folds away, and a page of the site tells at length.
_FOLDED = re.compile(r"<details><summary>Every variable</summary>.*?</details>", re.DOTALL)
_SETTINGS = "[Every variable](docs/reference/settings.md) has a page of its own."
#: A page's title and its file, or a section's and its pages.
Entry = Mapping[str, Any]


def compose(site: Path) -> None:
    """Write `source/` and `zensical.toml` into a folder that is emptied first."""
    shutil.rmtree(site, ignore_errors=True)
    source = site / "source"
    for path, text in generated().items():
        _write(source / path, text)
    for path in pages():
        text, files = moved(_FOLDED.sub(_SETTINGS, (ROOT / path).read_text()), path, ROOT)
        _write(source / place(path), text)
        for file in files:
            _copy(ROOT / file, source / place(file))
    base = (Path(__file__).parent / "zensical.toml").read_text()
    _write(site / "zensical.toml", f"{base}nav = {_toml(kept(navigation(), source))}\n")


def pages() -> Iterator[str]:
    """Pages of the repository, by their paths in it."""
    yield from (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))
    yield from (path for path in MOVED if (ROOT / path).exists())


def generated() -> dict[str, str]:
    """Pages that are written from the code, by their places in the site."""
    told = endpoints_page.document()
    return {
        "reference/settings.md": settings_page.page(),
        "reference/endpoints.md": endpoints_page.page(told),
        "reference/bodies.md": endpoints_page.bodies(told),
        "reference/commands.md": commands_page.page(),
    }


def navigation() -> list[Entry]:
    """`docs/nav.yml`."""
    return yaml.safe_load(NAVIGATION.read_text())


def kept(entries: Sequence[Entry], source: Path) -> list[Entry]:
    """The navigation without pages that are not there, and without sections that hold none."""
    found: list[Entry] = []
    for entry in entries:
        [(title, what)] = entry.items()
        if isinstance(what, str):
            left: object = what if (source / what).is_file() else None
        else:
            left = kept(cast("list[Entry]", what), source)
        if left:
            found.append({title: left})
    return found


def named(entries: list[Entry]) -> Iterator[str]:
    """The files that the navigation names."""
    for entry in entries:
        for what in entry.values():
            if isinstance(what, str):
                yield what
            else:
                yield from named(what)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, cast("list[Any]", value))) + "]"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(one)}" for name, one in pairs) + "}"
    return json.dumps(value)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
