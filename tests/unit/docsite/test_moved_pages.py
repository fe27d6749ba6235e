"""Pages at their places in the site: links lead where they led, and none is lost quietly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docsite.composing import kept, named, navigation, pages
from docsite.moving import GENERATED, LostLink, moved, place

ROOT = Path(__file__).parents[3]
#: Files of the repository that pages may name, by their whole paths or the ends of them.
FILES = [
    f"/{path.relative_to(ROOT).as_posix()}"
    for top in ROOT.iterdir()
    if top.is_dir() and not top.name.startswith(".")
    for path in top.rglob("*.*")
    if path.suffix in {".py", ".mjs", ".yaml", ".yml", ".toml"} and "node_modules" not in path.parts
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "README.md",
        "SECURITY.md",
        "docs/keys.md",
        "docs/adr/0001.md",
        "examples/workflows/a.yaml",
        "bench/RESULTS.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "link", "turned"),
    [
        ("docs/limits.md", "keys.md#rates", "keys.md#rates"),
        ("docs/limits.md", "../SECURITY.md", "security.md"),
        ("docs/limits.md", "../README.md", "overview.md"),
        ("docs/adr/0001.md", "../../bench/RESULTS.md#rivals", "../measured.md#rivals"),
        ("docs/adr/0001.md", "../keys.md", "../keys.md"),
        ("SECURITY.md", "docs/keys.md", "keys.md"),
        ("docs/limits.md", "reference/settings.md#file-server", "reference/settings.md#file-server"),
        ("docs/limits.md", "../examples/workflows/a.yaml", "files/examples/workflows/a.yaml"),
        ("docs/limits.md", "https://example.org/x.md", "https://example.org/x.md"),
        ("docs/limits.md", "#below", "#below"),
    ],
)
def test_a_link_leads_where_it_led(path: str, link: str, turned: str, root: Path) -> None:
    assert moved(f"See [it]({link}).", path, root)[0] == f"See [it]({turned})."


def test_a_file_that_is_no_page_comes_along(root: Path) -> None:
    assert moved("[it](../examples/workflows/a.yaml)", "docs/x.md", root)[1] == {"examples/workflows/a.yaml"}


def test_a_link_to_nothing_is_an_error_that_names_the_page(root: Path) -> None:
    with pytest.raises(LostLink, match=r"docs/x\.md: there is no docs/nobody\.md"):
        moved("[it](nobody.md)", "docs/x.md", root)


@pytest.mark.parametrize("text", ["`[it](nobody.md)`", "```sh\n[it](nobody.md)\n```\n", "``a ` [it](nobody.md)``"])
def test_what_stands_in_code_is_no_link(text: str, root: Path) -> None:
    assert moved(text, "docs/x.md", root) == (text, set())


def test_code_may_stand_in_the_words_of_a_link(root: Path) -> None:
    assert moved("[`docs/keys.md`](docs/keys.md)", "README.md", root)[0] == "[`docs/keys.md`](keys.md)"


@pytest.mark.parametrize("path", list(pages()))
def test_no_page_of_ours_has_lost_a_link(path: str) -> None:
    moved((ROOT / path).read_text(), path, ROOT)


def test_every_page_stands_in_the_navigation_once() -> None:
    found = list(named(navigation()))
    assert len(found) == len(set(found))
    ours = {place(path) for path in pages()} | set(GENERATED)
    decisions = {path for path in ours if path.startswith("adr/0")}
    assert ours - set(found) - decisions == set()


def test_every_decision_stands_in_their_list() -> None:
    listed = (ROOT / "docs" / "adr" / "index.md").read_text()
    for path in (ROOT / "docs" / "adr").glob("0*.md"):
        assert f"({path.name})" in listed
        assert "\nStatus: " in path.read_text()


def test_the_readme_leads_to_the_pages() -> None:
    assert "(docs/index.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", [one for one in pages() if one.startswith(("docs/", "SECURITY"))])
def test_files_that_a_page_names_are_there(path: str) -> None:
    words = (ROOT / path).read_text()
    named_files = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|mjs|ya?ml|toml))`", words)
    # In the reasons for what is not run, too.
    named_files += re.findall(r"(tests/[\w./-]+\.(?:py|mjs))", words)
    for name in named_files:
        assert any(file.endswith(f"/{name}") for file in FILES), name


def test_what_is_not_there_is_left_out_of_the_navigation(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("")
    entries = [{"A": "a.md"}, {"B": "b.md"}, {"C": [{"D": "d.md"}]}, {"E": [{"A": "a.md"}, {"F": "f.md"}]}]
    assert kept(entries, tmp_path) == [{"A": "a.md"}, {"E": [{"A": "a.md"}]}]
