"""YAML that callers send spells JSON trees, and nothing that JSON has not."""

from __future__ import annotations

import pytest

from gateway.settings.trees import NoTree, tree_of


def test_words_that_yaml_takes_for_truth_are_words() -> None:
    assert tree_of(b"{on: error, a: yes, b: No, c: off, d: y}") == {
        "on": "error",
        "a": "yes",
        "b": "No",
        "c": "off",
        "d": "y",
    }


def test_truth_numbers_and_nothing_are_what_they_are() -> None:
    assert tree_of(b"[true, false, null, ~, 3, -2, 1.5, 1e3, '3']") == [True, False, None, None, 3, -2, 1.5, "1e3", "3"]


def test_dates_and_keys_are_text() -> None:
    assert tree_of(b"{when: 2026-01-31, true: yes, 3: x}") == {"when": "2026-01-31", "true": "yes", "3": "x"}


def test_only_decimal_numbers_are_numbers() -> None:
    assert tree_of(b"[0, +7, -0.5, 2.5e+3, 12:30, 1:00.5, 010, 0x1F, 0b11, 1_000]") == [
        0, 7, -0.5, 2500.0, "12:30", "1:00.5", "010", "0x1F", "0b11", "1_000"
    ]  # fmt: skip


def test_lists_and_blocks_nest() -> None:
    assert tree_of(b"a:\n- b: |\n    two\n    lines\n- [1, {c: d}]\n") == {
        "a": [{"b": "two\nlines\n"}, [1, {"c": "d"}]]
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: 1\na: 2", "Line 2, column 1: 'a' is there twice."),
        (b"a: &x [1]\nb: *x", "Line 2, column 4: anchors are not taken"),
        (b"<<: {a: 1}\n<<: {b: 1}", "is there twice"),
        (b"[1]: 2", "a key must be text"),
        (b"a: .nan", "JSON has no such number"),
        (b"a: -.inf", "JSON has no such number"),
        (b"!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        (b"a: !!binary aGk=", "Line 1, column 4: could not determine a constructor"),
        (b"a: !!set {b, c}", "could not determine a constructor"),
        (b"a: !!omap [b: 1]", "could not determine a constructor"),
        (b"a: !!timestamp 2026-01-31", "could not determine a constructor"),
        (b"a: !!bool x", "not YAML"),
        (b"a: !!int x", "not YAML"),
        (b"{a", "Line 1"),
        (b"\xff\xfe\xfd", "not UTF-8"),
        (b"a: \x00", "not YAML"),
        (b"[" * 3000, "nested too deep"),
    ],
)
def test_what_json_has_not_is_refused_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(NoTree, match="(?s)" + said.replace("(", r"\(")):
        tree_of(text)
