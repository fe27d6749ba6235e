"""Files as answers: which bytes are asked for, and that no browser is given anything to run."""

from __future__ import annotations

import pytest

from gateway.api.attachments import Part, disposition, headers, part

SUM = "ab" * 32
TAG = f'"sha256-{SUM}"'


@pytest.mark.parametrize(
    ("asked", "which"),
    [
        ("bytes=0-9", Part(206, 0, 10)),
        ("bytes=90-", Part(206, 90, 10)),
        ("bytes=90-1000", Part(206, 90, 10)),
        ("bytes=-10", Part(206, 90, 10)),
        ("bytes=-1000", Part(206, 0, 100)),
        ("bytes=99-99", Part(206, 99, 1)),
        ("bytes=100-", Part(416)),
        ("bytes=100-200", Part(416)),
        ("bytes=-0", Part(416)),
        # What is no range, or several, is answered with all.
        ("bytes=9-3", Part(200, 0, 100)),
        ("bytes=0-1,5-6", Part(200, 0, 100)),
        ("bytes=-", Part(200, 0, 100)),
        ("lines=0-9", Part(200, 0, 100)),
        ("bytes=٣-", Part(200, 0, 100)),
        ("bytes=" + "9" * 40 + "-", Part(200, 0, 100)),
        ("", Part(200, 0, 100)),
    ],
)
def test_ranges(asked: str, which: Part) -> None:
    assert part({"range": asked}, 100, SUM) == which


def test_an_empty_file_has_no_ranges() -> None:
    assert part({}, 0, SUM) == Part(200, 0, 0)
    assert part({"range": "bytes=0-"}, 0, SUM) == Part(416)
    assert part({"range": "bytes=-5"}, 0, SUM) == Part(416)


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (TAG, 304),
        (f'"other", {TAG}', 304),
        (f"W/{TAG}", 304),
        ("*", 304),
        ('"other"', 200),
    ],
)
def test_what_is_known_is_not_sent_again(known: str, status: int) -> None:
    assert part({"if-none-match": known, "range": ""}, 100, SUM).status == status


def test_a_part_is_sent_only_of_the_file_that_was_begun() -> None:
    asked = {"range": "bytes=5-", "if-range": TAG}
    assert part(asked, 100, SUM) == Part(206, 5, 95)
    assert part(asked | {"if-range": '"other"'}, 100, SUM) == Part(200, 0, 100)


def test_headers_of_a_part() -> None:
    made = headers(Part(206, 5, 10), name="plan.md", size=100, sha256=SUM)
    assert made["content-range"] == "bytes 5-14/100"
    assert made["content-length"] == "10"
    assert made["etag"] == TAG
    assert made["x-content-type-options"] == "nosniff"
    assert made["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers(Part(416), name="x", size=100, sha256=SUM)["content-range"] == "bytes */100"
    assert "content-length" not in headers(Part(304), name="x", size=100, sha256=SUM)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plan.md", "attachment; filename=\"plan.md\"; filename*=UTF-8''plan.md"),
        ("Überblick.md", "attachment; filename=\"_berblick.md\"; filename*=UTF-8''%C3%9Cberblick.md"),
        (
            'a"; x="b\r\nx: y',
            "attachment; filename=\"a__ x__b__x_ y\"; filename*=UTF-8''a%22%3B%20x%3D%22b%0D%0Ax%3A%20y",
        ),
    ],
)
def test_names_cannot_say_more_than_a_name(name: str, said: str) -> None:
    assert disposition(name) == said
