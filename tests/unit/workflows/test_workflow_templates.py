"""Templates: values stay values, text writes JSON, and what is not there is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.workflows.templates import BadTemplate, evaluate, fill, references

SCOPE: dict[str, Any] = {
    "input": {"topic": "bees", "items": [1, 2, 3], "deep": {"values": {"keys": 5}}, "none": None, "yes": True},
    "nodes": {"a": {"output": {"rows": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}], "text": "ä"}}},
}

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    # A store knows no lone surrogates.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ input.items }}", [1, 2, 3]),
        ("  {{ input.items }}\n", [1, 2, 3]),
        ("{{- input.yes -}}", True),
        ("{{ input.none }}", None),
        ("{{ -5 }}", -5),
        ("{{ -input.items[0] }}", -1),
        ("{# why #}{{ 5 }}", 5),
        ("{{ 5 }}{# why #}", 5),
        ("{{ '}}' }}", "}}"),
        ("{{ (1, 'a') }}", [1, "a"]),
        ("{{ {1: 2} }}", {"1": 2}),
        ("{{ input.items | map('string') }}", ["1", "2", "3"]),
        ("{{ nodes.a.output.rows | map(attribute='t') | list }}", ["x", "y"]),
        ("{{ input.items and input.topic }}", "bees"),
        ("{{ 1 }}{{ 2 }}", "12"),
        ("on {{ input.topic }}", "on bees"),
        ("x{{ input.deep }}", 'x{"values":{"keys":5}}'),
        ("x{{ input.yes }}{{ input.none }}{{ 1.5 }}", "xtrue1.5"),
        ("{{ 'x' ~ input.items ~ input.none ~ input.yes }}", "x[1,2,3]true"),
        ("{{ input.items | join('-') }}", "1-2-3"),
        ("{{ [[1], true, none] | join('-') }}", "[1]-true-"),
        ("{{ input.deep | string }}", '{"values":{"keys":5}}'),
        ("{{ nodes.a.output.text }}!", "ä!"),
        ("<b>{{ '<i>' }}</b>", "<b><i></b>"),
        ("no template\n", "no template\n"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("a{# {{ nowhere }} #}b\n", "ab\n"),
        ("{% for x in input.items if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %}", "1:2 2:3 "),
        ("{% for x in [] %}{% else %}none{% endfor %}", "none"),
        ("{% set t = input.topic | upper %}{{ t }}{{ t.lower() }}", "BEESbees"),
        ("{% if input.yes %}y{% else %}n{% endif %}", "y"),
        ("{{ input['deep']['values'].keys }}x", "5x"),
        ("{{ input.items.0 + input.items[-1] }}", 4),
        ("{{ 'a,b'.split(',') }}", ["a", "b"]),
        ("{{ [1, 2, 3] | batch(2) }}", [[1, 2], [3]]),
        ("{{ 'aXbX' | replace('X', '-') }}", "a-b-"),
        ("{{ 'aXbX' | replace('X', '-', 1) }}", "a-bX"),
        ("{{ nodes.a.output.rows | sum(attribute='n') }}", 3),
        ("{{ input.items | sum }}", 6),
        ("{{ nodes.a.output.rows | join(',', attribute='t') }}", "x,y"),
        ("{{ '12' | int + '0.5' | float }}", 12.5),
        ("{{ 'ff' | int(base=16) }}", 255),
        ("{{ 2.567 | round(1) }}", 2.6),
        ("{{ ' x- ' | trim }}{{ 'xx' | trim('x') }}", "x-"),
        ("{{ input.topic | default('z') }}{{ input.gone | default('z') }}", "beesz"),
        ("{{ input.gone is defined }}", False),
        ("{{ input.deep | tojson }}", '{"values":{"keys":5}}'),
        ("{{ nodes.a.output.rows | selectattr('n', '>', 1) | map(attribute='t') | first }}", "y"),
    ],
)
def test_templates_give(template: str, value: Any) -> None:
    assert fill(template, SCOPE) == value
    assert type(fill(template, SCOPE)) is type(value)


@given(json)
def test_a_value_alone_comes_through_as_it_is(value: Any) -> None:
    assert fill("{{ input }}", {"input": value}) == value
    assert evaluate("input", {"input": value}) == value


@given(json)
def test_what_was_put_in_is_never_read_as_a_template(value: Any) -> None:
    text = fill("{{ input | tojson }}", {"input": [value, "{{ 1 + 1 }}", "{% raw %}"]})
    assert "{{ 1 + 1 }}" in text
    assert fill("x{{ input }}", {"input": "{{ 1 }}"}) == "x{{ 1 }}"


@given(st.recursive(st.integers() | st.just("{{ input.topic }}"), lambda inner: st.lists(inner), max_leaves=6))
def test_only_the_strings_of_a_tree_are_filled_in(tree: Any) -> None:
    def expected(part: Any) -> Any:
        return [expected(one) for one in part] if isinstance(part, list) else "bees" if isinstance(part, str) else part

    assert fill(tree, SCOPE) == expected(tree)
    assert fill({"{{ key }}": tree}, SCOPE) == {"{{ key }}": expected(tree)}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ gone }}", "'gone' is undefined"),
        ("x{{ gone }}", "'gone' is undefined"),
        ("{{ input.tpoic }}", "there is no 'tpoic' here, only deep, items, none, topic, yes"),
        ("{{ input['tpoic'] }}", "there is no 'tpoic' here, only deep"),
        ("{{ input.gone.more }}", "there is no 'gone' here"),
        ("{{ input.none.text }}", "there is no 'text' here: this is nothing (null)"),
        ("{{ input.items[9] }}", "there is no '9' here: this is a list"),
        ("{{ input.gone or 'x' }}", "there is no 'gone' here"),
        ("{{ input.gone == 1 }}", "there is no 'gone' here"),
        ("{{ input.gone is none }}", "there is no 'gone' here"),
        ("{{ input.gone | items | list }}", "there is no 'gone' here"),
        ("{{ [input.gone] }}", "there is no 'gone' here"),
        ("{{ {'a': input.gone} }}", "there is no 'gone' here"),
        ("{{ 'x' ~ input.gone }}", "there is no 'gone' here"),
        ("{{ nodes.a.output.rows | map(attribute='gone') | join }}", "there is no 'gone' here, only n, t"),
        ("{% for x in input.gone %}{% endfor %}", "there is no 'gone' here"),
        ("{% if input.gone %}{% endif %}", "there is no 'gone' here"),
        ("{{ [] | first }}", "No first item"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ 'x' if false }}", "no JSON value"),
        ("{{", "unexpected 'end of template'"),
        ("{{ 1 | nothing }}", "No filter named 'nothing'."),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(template: str, message: str) -> None:
    with pytest.raises(BadTemplate) as told:
        fill(template, SCOPE)
    assert message in str(told.value)


@pytest.mark.parametrize("expression", ["input.items }} {{ 1", "1; 2", "", "{{ 1 }}", "{% if 1 %}"])
def test_an_expression_is_one_expression(expression: str) -> None:
    with pytest.raises(BadTemplate):
        evaluate(expression, SCOPE)
    with pytest.raises(BadTemplate):
        references(expression, expression=True)


def read(text: str, *, expression: bool = False) -> set[str]:
    return {str(one) for one in references(text, expression=expression)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no braces, input.x", set[str]()),
        ("{{ input.a.b }}{{ input['c'][0].d }}", {"input.a.b", "input.c.0.d"}),
        ("{{ input[input.key].rest }}", {"input", "input.key"}),
        ("{{ input.a | default(input.b) }}", {"input.a", "input.b"}),
        ("{{ input.a.upper() }}", {"input.a.upper"}),
        ("{% for row in input.rows %}{{ row.a }}{{ loop.index }}{% endfor %}", {"input.rows"}),
        ("{% for row in input.rows %}{% endfor %}{{ row.a }}", {"input.rows", "row.a"}),
        ("{% for item in item.rows %}{% endfor %}", {"item.rows"}),
        ("{% set a = input.b %}{{ a.c }}", {"input.b"}),
        ("{% if input.b %}{% set a = 1 %}{% endif %}{{ a }}", {"input.b", "a"}),
        ("{% if input.a == nodes.b.output %}{{ input.c }}{% endif %}", {"input.a", "nodes.b.output", "input.c"}),
        ("{% raw %}{{ input.a }}{% endraw %}{# {{ input.b }} #}", set[str]()),
        ("{{ [input.a, {'k': input.b}, input.c if input.d else input.e] }}", {f"input.{key}" for key in "abcde"}),
        ("{{ (input.a ~ input.b)[input.c:] }}", {"input.a", "input.b", "input.c"}),
    ],
)
def test_what_a_template_reads_is_found(text: str, found: set[str]) -> None:
    assert read(text) == found


def test_what_an_expression_reads_is_found() -> None:
    assert read("input.a > 1 and not item", expression=True) == {"input.a", "item"}


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), st.data())
def test_what_is_found_is_all_that_is_needed(names: list[str], data: st.DataObject) -> None:
    """With what was found, and nothing else, the template can be filled in."""
    shapes = ["{{ %s }}", "{%% if %s %%}x{%% endif %%}", "{%% for q in [%s] %%}{{ q }}{%% endfor %%}"]
    shapes += ["{%% set w = %s %%}{{ w }}", "{{ [%s] | join }}", "{{ 'y' if %s else 'z' }}", "{{ {'k': %s}.k }}"]
    text = " ".join(data.draw(st.sampled_from(shapes)) % f"input.{name}" for name in names)
    found = {one.steps[1] for one in references(text, expression=False) if one.steps[0] == "input"}
    assert found == set(names)
    fill(text, {"input": {str(name): 1 for name in found}})


@given(st.text(st.sampled_from("{}%# abinput.|()[]'\"~+-*/=<>for if set end raw\n01,:_")))
def test_any_text_is_filled_in_or_refused_in_words(text: str) -> None:
    for read in (lambda: fill(text, SCOPE), lambda: evaluate(text, SCOPE), lambda: references(text, expression=True)):
        try:
            read()
        except BadTemplate as refused:
            said = str(refused)
        else:
            said = "well"
        assert said


@pytest.mark.parametrize(
    ("text", "expression"), [("{{ 1 }}" * 4000, False), ("{% if 1 %}{% endif %}" * 2000, False), ("1, " * 9000, True)]
)
def test_a_template_is_no_program(text: str, expression: bool) -> None:
    with pytest.raises(BadTemplate, match="more than 10,000 words"):
        references(text, expression=expression)


def test_a_long_text_is_no_long_template() -> None:
    assert {str(one) for one in references("x" * 2_000_000 + "{{ input.a }}", expression=False)} == {"input.a"}
