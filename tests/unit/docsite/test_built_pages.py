"""What is wrong with a built site is found, and what is right is not complained of."""

from __future__ import annotations

from pathlib import Path

import pytest

from docsite.checking import problems
from docsite.pictures import PICTURES, SEED, drawn

ROOT = Path(__file__).parents[3]
OTHER = '<article><h1 id="here">Here</h1></article>'


def found(page: str, folder: Path) -> list[str]:
    (folder / "a.html").write_text(f"<html><body><article>{page}</article></body></html>")
    (folder / "b.html").write_text(OTHER)
    return problems(folder)


@pytest.mark.parametrize(
    "page",
    [
        '<p>See <a href="b.html#here">it</a> and <a href="https://example.org/x">them</a>.</p>',
        '<a id="top"></a><a href="#top">up</a>',
        "<p>5 - 3 is 2</p><p>a | b</p>",
        '<img src="data:image/png;base64,AA==">',
        '<link rel="canonical" href="https://example.org/">',
    ],
)
def test_what_is_right_is_let_alone(page: str, tmp_path: Path) -> None:
    assert found(page, tmp_path) == []


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ('<a href="c.html">it</a>', "a.html: 'c.html' leads nowhere"),
        ('<a href="b.html#there">it</a>', "a.html: 'b.html#there' has no such place"),
        ('<a href="#there">it</a>', "a.html: '#there' has no such place"),
        ('<img src="c.svg">', "a.html: 'c.svg' leads nowhere"),
        ('<script src="https://cdn.example.org/x.js"></script>', "a.html: loads https://cdn.example.org/x.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "a.html: loads //fonts.example.org/x.css"),
        ("<p>is:\n- one\n- two</p>", "a.html: no empty line before '- one\n- two'"),
        ("<p>is:\n| a | b |</p>", "a.html: no empty line before '| a | b |'"),
    ],
)
def test_what_is_wrong_is_told(page: str, told: str, tmp_path: Path) -> None:
    assert found(page, tmp_path) == [told]


def test_the_pictures_are_those_of_the_simulator() -> None:
    pictures = {path.stem: path.read_text() for path in (ROOT / "docs" / "pictures").glob("*.svg")}
    assert pictures.keys() == PICTURES.keys()
    for name, text in pictures.items():
        assert f"{name}, seed {SEED}" in text
    # One stands for all, which take ten seconds: `make docs-pictures` after a change of the algorithm.
    assert drawn("equals") == pictures["equals"]


def test_every_picture_is_shown_somewhere() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    for name in PICTURES:
        assert f"(pictures/{name}.svg)" in pages
