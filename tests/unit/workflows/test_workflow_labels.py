"""Names and media types of files: whatever somebody says, it is harmless afterwards."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.workflows import labels


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        ("plan.md", "plan.md"),
        ("Überblick 2026.pdf", "Überblick 2026.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\Windows\\x.exe", "C__Windows_x.exe"),
        ("a/b.md", "a_b.md"),
        ("..", "node"),
        (" . ", "node"),
        ("", "node"),
        (".bashrc", "bashrc"),
        ("a\r\nb\0c", "a__b_c"),
        ("a\u202etxt.exe", "a_txt.exe"),
        ("a \u2028 b", "a b"),
        ("x" * 500 + ".json", "x" * 195 + ".json"),
    ],
)
def test_names(wanted: str, made: str) -> None:
    assert labels.safe_name(wanted, "node") == made


@given(st.text())
def test_no_name_is_more_than_a_name(wanted: str) -> None:
    made = labels.safe_name(wanted, "node")
    assert made
    assert len(made.encode()) <= 200
    assert made not in {".", ".."}
    assert PurePosixPath(made).name == made
    assert PureWindowsPath(made).name == made
    assert made.isprintable()
    assert labels.safe_name(made, "node") == made


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://x.org/a/report%20one.pdf?x=y", "application/pdf", "report one.pdf"),
        ("https://x.org/", "application/pdf", "fetch.pdf"),
        ("https://x.org", "application/octet-stream", "fetch.bin"),
        ("https://x.org/a/..%2f..%2fetc", "image/png", "_.._etc"),
    ],
)
def test_names_of_what_was_fetched(url: str, kind: str, name: str) -> None:
    assert labels.name_of_url(url, kind, "fetch") == name


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ("image/png", "image/png"),
        (" text/csv; charset=latin-1 ", "text/csv; charset=latin-1"),
        ("", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("text/html\r\nx-evil: 1", "application/octet-stream"),
        ("a/" + "b" * 100, "application/octet-stream"),
        ('multipart/form-data; boundary="a b"', "application/octet-stream"),
    ],
)
def test_media_types_of_servers(told: str, taken: str) -> None:
    assert labels.media_type(told) == taken


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("text/html; charset=utf-8", True),
        ("application/json", True),
        ("Application/VND.api+JSON", True),
        ("image/svg+xml", True),
        ("application/x-ndjson", True),
        ("application/octet-stream", False),
        ("application/pdf", False),
        ("image/png", False),
        ("application/jsonp-archive", False),
    ],
)
def test_what_is_text(told: str, text: bool) -> None:
    assert labels.textual(told) is text


def test_texts_of_our_own_say_how_they_are_written() -> None:
    assert labels.with_charset("text/markdown") == "text/markdown; charset=utf-8"
    assert labels.with_charset("text/csv; charset=UTF-8") == "text/csv; charset=UTF-8"
    assert labels.with_charset("application/json") == "application/json"
