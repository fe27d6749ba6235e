"""The sandbox of templates: nothing of Python is reached, and little does not become much. Nothing here is timed: what
would take a minute or a gigabyte without the bounds runs into pytest's timeout."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.workflows.templates import BadTemplate, fill
from gateway.workflows.templates.work import LONGEST, MOST_BITS, TooMuch, Work, joined, repeated, replaced, weight

SCOPE: dict[str, Any] = {
    "input": {"text": "abc", "rows": list(range(1000)), "one": {"a": 1, "items": 2}, "words": ["a" * 1000] * 1000}
}
#: Twice as much from each line: 24 of them would be the memory of the machine.
LAUGHS = "".join(f"{{% set a{place + 1} = [a{place}, a{place}] %}}" for place in range(40))
DOUBLES = "".join(f"{{% set a{place + 1} = a{place} ~ a{place} %}}" for place in range(40))
TRIPLE = (
    "{% for a in input.rows %}{% for b in input.rows %}{% for c in input.rows %}X{% endfor %}{% endfor %}{% endfor %}"
)


def refused(template: str) -> str:
    with pytest.raises(BadTemplate) as told:
        fill(template, SCOPE)
    return str(told.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ input.__class__ }}",
        "{{ input['keys'] }}",
        "{{ input.one.keys() }}",
        "{{ input.one.update({}) }}",
        "{{ input.rows.append(1) }}",
        "{{ input.rows.count(1) }}",
        "{{ 'a' | attr('upper') }}",
        "{{ ['a'] | map('attr', '__class__') | list }}",
        "{{ [input.one] | map(attribute='__class__') | list }}",
        "{{ [input.one] | map(attribute='keys') | list }}",
        "{{ ['a'] | map(attribute='upper') | list }}",
        "{{ ['a', 'b'] | sort(attribute='__class__') }}",
        "{{ ['a'] | groupby('__class__') }}",
        "{{ ['a'] | selectattr('__class__') | list }}",
        "{{ ['a'] | sum(attribute='__class__') }}",
        "{{ ['a'] | join(attribute='__class__') }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{0.__class__}' | format(1) }}",
        "{{ '%s' % 1 }}",
        "{{ '%s' | format(1) }}",
        "{{ 'a'.upper }}",
        "{{ ['a'.upper] }}",
        "{{ 'a'.encode() }}",
        "{{ (1).real }}",
        "{{ (1).bit_length() }}",
        "{{ none.__class__ }}",
        "{{ self }}",
        "{{ self.__init__ }}",
        "{{ self._TemplateReference__context }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
        "{% for x in [1] %}{{ loop }}{% endfor %}",
        "{{ input() }}",
        "{{ range(3) }}",
        "{{ lipsum() }}",
        "{{ cycler(1) }}",
        "{{ joiner() }}",
        "{{ namespace(a=1) }}",
        "{{ dict(a=1) }}",
        "{{ input.rows | random }}",
        "{{ 'a' is callable }}",
        "{{ 'a' is sameas 'a' }}",
        "{{ '<b>' | safe }}",
        "{{ input | pprint }}",
        "{{ 1 | '(weighed)' }}",
        "{% set ns.a = 1 %}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% macro m() %}{% endmacro %}",
        "{% call input() %}{% endcall %}",
        "{% filter upper %}a{% endfilter %}",
        "{% set a %}a{% endset %}",
        "{% with a = 1 %}{% endwith %}",
        "{% autoescape true %}{% endautoescape %}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ '\\ud800' }}",
        "{{ '\\ud800' }}x",
    ],
)
def test_nothing_but_values_is_reached(template: str) -> None:
    assert refused(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * 'a' }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ [input.words] * 1000 }}",
        "{{ (0, 0) * 10 ** 9 }}",
        "{{ 'a' * 3999999 + 'a' * 3999999 }}",
        "{% set a0 = 'abc' %}" + DOUBLES,
        "{% set a0 = 'abc' %}" + DOUBLES.replace(" ~ ", " + "),
        "{% set a0 = [1] %}" + LAUGHS,
        "{% set a0 = [1] %}" + LAUGHS.replace("[", "{1: [").replace("]", "]}"),
        "{{ 'a'.ljust(10 ** 9) }}",
        "{{ 'a'.center(10 ** 9) }}",
        "{{ 'a'.zfill(10 ** 9) }}",
        "{{ '\\t'.expandtabs(10 ** 9) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a' | indent(10 ** 9) }}",
        "{{ 'a' | wordwrap(1, wrapstring='b' * 100000) }}",
        "{{ ('a' * 1000000) | wordwrap(1) }}",
        "{{ 'a' | xmlattr }}",
        "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
        "{{ ('a' * 100000) | replace('', 'b' * 100000) }}",
        "{{ ('a' * 100000).replace('a', 'b') }}",
        "{{ ('a' * 100000) | map('replace', 'a', 'b' * 100000) | list }}",
        "{{ input.rows | join('b' * 100000) }}",
        "{{ input.words | map('replace', 'a', 'b' * 1000) | list }}",
        "{{ ('b' * 10000).join(input.words) }}",
        "{{ [1] | batch(10 ** 9, 'x') | list }}",
        "{{ [1] | slice(10 ** 9) | list }}",
        "{{ [input.words, input.words] | sum(start=[]) }}",
        "{{ ('a' * 3999999) | list }}",
        "{{ ('a ' * 1999999).split() }}",
        "{% for a in input.words %}{{ input.words }}{% endfor %}",
        "{{ 2 ** (10 ** 9) }}",
        "{{ 10 ** (64 ** 64) }}",
        "{{ (10 ** 60) ** 60 }}",
        "{{ 5 | round(-1000000000) }}",
        "{{ 5.5 | round(1000000000, 'ceil') }}",
        "{{ ('f' * 1000000) | int(base=16) }}",
        "{{ ('9' * 1000000) | float }}",
        "{{ " + " * ".join(["1000000 ** 64"] * 5) + " }}",
        "{{ 1e308 * 10 }}",
        "{{ 1 / 1e-320 }}",
        "{{ 1e999 }}",
        "{{ '1e999' | float }}",
        "{{ 0x" + "f" * 4000 + " // 3 }}",
        "{{ ('a' * 3999999).strip('b' * 3999999) }}",
        "{{ ('a' * 3999999) | trim('b' * 3999999) }}",
        "{{ ('a' * 3999999).find('a' * 1999999 ~ 'b') }}",
        TRIPLE,
        TRIPLE.replace("X", "{{ c }}"),
        "{% for a in input.rows %}{{ input.rows | map('string') | join | length }}{% endfor %}",
        "{% for a in input.rows %}{{ input.rows | sort | length }}{% endfor %}",
        "{% for a in input.rows %}{% if input.words == input.rows %}{% endif %}{% endfor %}",
        "{% for a in input.rows %}{% if 'b' in input.words %}{% endif %}{% endfor %}",
        "{% for a in input.rows %}{{ input.words[1:] | length }}{% endfor %}",
        "{% for a in input.rows %}{% if input.words is eq(input.words) %}{% endif %}{% endfor %}",
        "{% for a in input.rows %}{{ input.words | map('upper') | select('eq', 'x') | list }}{% endfor %}",
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
        "{{ " + "-" * 5000 + "1 }}",
        "{{ " + "1 + " * 5000 + "1 }}",
        "{% if 1 %}" * 200 + "{% endif %}" * 200,
        "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    ],
)
def test_little_does_not_become_much(template: str) -> None:
    assert refused(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ input.words | join }}",
        "{{ input.words | map('upper') | join(', ') | length }}",
        "{% for a in input.rows %}{% for b in input.rows[:100] %}{{ b }}{% endfor %}{% endfor %}",
        "{{ 'a' * 3999999 }}",
        "{{ 10 ** 18 * 3 }}",
        "{{ [0] * 100000 }}",
        "{% for a in input.rows %}{{ loop.cycle('a', 'b') }}{{ a * a }}{% endfor %}",
    ],
)
def test_the_bounds_leave_room_for_work(template: str) -> None:
    assert fill(template, SCOPE)


def test_each_execution_has_its_own_work() -> None:
    template = "{% for a in input.rows %}{% for b in input.rows[:100] %}{% endfor %}{% endfor %}done"
    assert [fill(template, SCOPE) for _ in range(3)] == ["done"] * 3


def test_a_template_changes_nothing_of_what_is_known() -> None:
    known = {"input": {"rows": [3, 1, 2]}}
    assert fill("{{ input.rows | sort }}", known) == [1, 2, 3]
    made = fill("{{ input.rows }}", known)
    made.append(4)
    assert known == {"input": {"rows": [3, 1, 2]}}


def test_the_weight_of_a_value_is_known_as_soon_as_it_is_too_much() -> None:
    laughs: list[Any] = [1]
    for _ in range(60):
        laughs = [laughs, laughs]
    with pytest.raises(TooMuch):
        weight(laughs, LONGEST)
    assert weight("abc") == 3
    assert weight({"ab": ["c"]}) > weight(["c"]) > weight("c")
    assert weight(("c",)) == weight(["c"])
    assert weight([1, None, True, 0.5]) == weight([[], [], [], {}])
    with pytest.raises(TooMuch):
        weight([float("inf")])


def test_work_is_counted_until_it_is_too_much() -> None:
    work = Work()
    for _ in range(10):
        work.handle("a" * LONGEST)
    with pytest.raises(TooMuch):
        work.turn()


def test_what_is_made_is_refused_before_it_is_made() -> None:
    assert joined(["a", "b"], "-") == "a-b"
    assert len(joined(["a" * (LONGEST - 1), ""], "b")) == LONGEST
    with pytest.raises(TooMuch):
        joined(["a" * LONGEST, ""], "b")
    assert replaced("aaa", "a", "b", 2) == "bba"
    assert replaced("aa", "", "-") == "-a-a-"
    repeated("a", LONGEST)
    repeated(-1, "a" * LONGEST)
    with pytest.raises(TooMuch):
        repeated("a", LONGEST + 1)


def test_numbers_stay_small_enough_to_divide() -> None:
    assert fill("{{ (2 ** 64 - 1) // 3 }}", {}) == (2**64 - 1) // 3
    assert MOST_BITS < 4300 * 3.3
