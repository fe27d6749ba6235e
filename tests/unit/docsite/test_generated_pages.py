"""The reference pages say all that there is to be said, and name what is there only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docsite import commands_page, endpoints_page, settings_page
from gateway.settings.reference import rows

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return endpoints_page.document()


@pytest.fixture(scope="module")
def settings() -> str:
    return settings_page.page()


def section(page: str, anchor: str) -> str:
    """What stands under a heading with that anchor."""
    found = re.search(rf"^#+ .*\{{ #{re.escape(anchor)} \}}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, anchor
    return found[1]


def test_every_variable_is_told_with_its_default_and_its_place(settings: str) -> None:
    for row in rows():
        told = rf"^\| `{row.env}` \|.*{re.escape(row.default)}.*{re.escape(row.path)}"
        assert re.search(told, settings, re.MULTILINE), row.env


def test_operators_are_told_of_everything_that_is_forgotten() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()
    variables = [row.env for row in rows() if row.env.endswith("_RETENTION_DAYS")]
    assert len(variables) > 4
    assert [one for one in variables if f"| `{one}` |" not in told] == []


def keys_of(tree: object, place: str = "") -> set[str]:
    """The keys of a file, lists as `[]`."""
    if isinstance(tree, dict):
        below = {f"{place}.{name}".lstrip("."): inner for name, inner in tree.items()}
        return {*below, *(key for name, inner in below.items() for key in keys_of(inner, name))}
    if isinstance(tree, list):
        return {key for inner in tree for key in keys_of(inner, f"{place}[]")}
    return set()


def test_every_key_of_the_example_is_told(settings: str) -> None:
    told = re.findall(r"^\| `([a-z_.<>\[\]]+)` \|", settings, re.MULTILINE)
    known = re.compile("|".join(re.escape(one).replace("<name>", r"[\w-]+") for one in told))
    for key in keys_of(yaml.safe_load((ROOT / "steelyard.example.yaml").read_text())):
        named = key.count(".") == 1 and key.split(".")[0] in {"providers", "routes", "objectives", "guardrails"}
        inside = re.match(
            r"guardrails\.\w+\.(output_schema\.schema|pattern\.regexes)\.|providers\.[\w-]+\.profile\.headers\.", key
        )
        assert named or inside or key.startswith("budgets.tags.") or known.fullmatch(key), key


def test_every_operation_is_told_with_its_parameters_and_answers(document: dict[str, Any]) -> None:
    page = endpoints_page.page(document)
    found = list(endpoints_page.operations(document))
    assert len(found) > 80
    for verb, path, operation in found:
        told = section(page, endpoints_page.anchor(verb, path))
        assert operation["summary"] in told
        for parameter in operation.get("parameters", ()):
            assert f"| `{parameter['name']}` | {parameter['in']} |" in told
        for status in operation["responses"]:
            assert f"| {status} |" in told


def test_every_body_is_told_field_by_field(document: dict[str, Any]) -> None:
    page = endpoints_page.bodies(document)
    for name, schema in document["components"]["schemas"].items():
        told = section(page, endpoints_page.slug(name))
        for field in schema.get("properties", {}):
            assert f"| `{field}`" in told


def test_every_command_is_told_with_its_options() -> None:
    page = commands_page.page()
    found = dict(commands_page.commands())
    assert {"steelyard serve", "steelyard workflows run", "steelyard keys create"} <= found.keys()
    for name, command in found.items():
        told = section(page, name.replace(" ", "-"))
        for option in (one for parameter in command.params for one in parameter.opts if one.startswith("--")):
            assert option in told or option in {"--help", "--version"}, f"{name} {option}"


def test_a_cell_stays_one_whatever_is_in_it(document: dict[str, Any]) -> None:
    pages = (settings_page.page(), commands_page.page(), endpoints_page.page(document), endpoints_page.bodies(document))
    for page in pages:
        for table in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(widths) == 1, table[:200]
