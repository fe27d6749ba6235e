"""The shape of a definition: each kind in its smallest form, and every fault told with its place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_world import definitions, plain, tree

from gateway import schemas
from gateway.workflows.check import checked
from gateway.workflows.problems import BadDefinition
from gateway.workflows.shape import problems, published
from gateway.workflows.spec import KINDS, Definition, Edge

PLAN_REVIEW: dict[str, Any] = {
    "slug": "plan-review",
    "name": "Plan review",
    "input_schema": {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}},
    "nodes": {
        "draft": {"type": "prompt", "prompt": "Write a plan for {{ input.topic }}", "model": "auto"},
        "risks": {
            "type": "prompt",
            "prompt": "Name the risks of: {{ nodes.draft.output.text }}",
            "providers": ["openai", "anthropic"],
        },
        "costs": {
            "type": "prompt",
            "prompt": "Estimate the cost of: {{ nodes.draft.output.text }}",
            "objective": "cheapest",
        },
        "verdict": {
            "type": "prompt",
            "prompt": "Judge it. Risks: {{ nodes.risks.output.text }} Costs: {{ nodes.costs.output.text }}",
        },
    },
    "edges": [
        {"source": "draft", "target": "risks"},
        {"source": "draft", "target": "costs"},
        {"source": "risks", "target": "verdict"},
        {"source": "costs", "target": "verdict"},
    ],
    "outputs": {"verdict": "{{ nodes.verdict.output.text }}"},
}
SMALLEST: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "Hello"},
    "tool": {"server": "files", "tool": "read"},
    "http": {"url": "https://example.org"},
    "condition": {"if": "true"},
    "switch": {"cases": {"a": "true"}},
    "template": {"template": "x"},
    "workflow": {"slug": "other"},
    "approval": {"message": "Go on?"},
    "vote": {"of": "a", "score": 1},
    "map": {"over": "[1]", "node": {"type": "template", "template": "{{ item }}"}},
    "loop": {"until": "iteration > 1", "node": {"type": "template", "template": "{{ iteration }}"}},
}


def told(spelled: Any) -> dict[str, list[str]]:
    """What is said of a definition that is refused, by place."""
    with pytest.raises(BadDefinition) as refused:
        checked(spelled)
    found: dict[str, list[str]] = {}
    for one in refused.value.problems:
        found.setdefault(one.path, []).append(one.message)
    return found


def test_the_example_passes_unchanged() -> None:
    made = checked(PLAN_REVIEW)
    assert list(made.nodes) == ["draft", "risks", "costs", "verdict"]
    assert made.edges[-1] == Edge(source="costs", target="verdict")
    again = msgspec.to_builtins(made)
    assert checked(again) == made
    assert checked(msgspec.json.decode(msgspec.json.encode(PLAN_REVIEW))) == made


def test_every_kind_has_a_smallest_form() -> None:
    assert SMALLEST.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_form_of_a_kind_passes(kind: str) -> None:
    before = {"a": {"type": "prompt", "prompt": "Hello"}} if kind == "vote" else {}
    made = checked(tree({**before, "n": {"type": kind, **SMALLEST[kind]}}, *(f"{key}>n" for key in before)))
    assert type(made.nodes["n"]) is KINDS[kind]


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind, fields in SMALLEST.items() for field in fields if kind not in {"prompt", "template"}],
)
def test_a_field_that_a_kind_needs_is_missed_by_its_name(kind: str, field: str) -> None:
    node = {"type": kind, **SMALLEST[kind]}
    del node[field]
    assert any(field in message for message in told(tree({"n": node}))["$.nodes.n"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_unknown_fields_and_wrong_types(kind: str) -> None:
    node = {"type": kind, **SMALLEST[kind], "retrys": 1, "timeout": "5s", "join": "some"}
    said = told(tree({"n": node}))
    assert said["$.nodes.n.retrys"] == ["There is no field 'retrys' here; did you mean 'retries'?"]
    assert said.keys() == {"$.nodes.n.retrys", "$.nodes.n.timeout", "$.nodes.n.join"}


def test_all_faults_of_shape_are_told_at_once_with_the_nearest_names() -> None:
    spelled = {
        "slug": "Not A Slug",
        "nmae": "n",
        "nodes": {
            "a": {"type": "promt", "prompt": "x"},
            "b": {"type": "prompt", "prompt": 5, "max_tokens": 0, "mode": "rout"},
            "c": {"type": "map", "over": "input", "node": {"type": "map"}, "max_items": 1_000_000},
            "d": {"prompt": "x"},
            "e": "prompt",
            "2f": {"type": "template", "template": "x"},
            "g": {"type": "loop", "node": {"type": "http", "url": "x", "metod": "GET"}, "until": "true"},
        },
        "edges": [{"source": "a", "traget": "b"}, {"source": "a", "target": "b", "on": "failure"}, 5],
        "deadline": -1,
        "budget_usd": 0,
        "outputs": [],
    }
    said = told(spelled)
    assert said["$.nodes.a.type"] == ["There is no kind 'promt' here; did you mean 'prompt'?"]
    assert said["$.nmae"] == ["There is no field 'nmae' here; did you mean 'name'?"]
    assert said["$.edges[0].traget"] == ["There is no field 'traget' here; did you mean 'target'?"]
    assert said["$.nodes.g.node.metod"] == ["There is no field 'metod' here; did you mean 'method'?"]
    assert "use one of prompt, tool, http, template, workflow" in said["$.nodes.c.node.type"][0]
    assert said["$.nodes.d.type"][0].startswith("A node needs a 'type'")
    assert any('"name" is a required property' in message for message in said["$"])
    assert any('"target" is a required property' in message for message in said["$.edges[0]"])
    places = {"$.slug", "$.nodes", "$.nodes.b.prompt", "$.nodes.b.max_tokens", "$.nodes.b.mode", "$.nodes.c.max_items"}
    places |= {"$.nodes.e", "$.edges[1].on", "$.edges[2]", "$.deadline", "$.budget_usd", "$.outputs"}
    assert places <= said.keys()
    assert "'2f'" in said["$.nodes"][0] or '"2f"' in said["$.nodes"][0]


@pytest.mark.parametrize("spelled", [None, 5, "text", [], {}, {"nodes": []}, {"nodes": {}}, {"nodes": {"a": None}}])
def test_what_is_no_definition_is_refused_with_a_place(spelled: Any) -> None:
    assert all(path.startswith("$") for path in told(spelled))


Anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(["slug", "name", "nodes", "edges", "type", "node", "prompt", "map", "n", "if", "cases"])


@given(st.recursive(Anything, lambda inner: st.dictionaries(WORDS, inner, max_size=5), max_leaves=12))
def test_whatever_is_sent_is_read_or_refused_in_words(spelled: Any) -> None:
    try:
        made = checked(spelled)
    except BadDefinition as refused:
        said = str(refused)
    else:
        said = made.name
    assert said


PUBLISHED = schemas.Validator(published())


def test_the_published_schema_accepts_the_example() -> None:
    assert list(PUBLISHED.errors(PLAN_REVIEW)) == []
    assert published()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schema_accepts_every_smallest_form(kind: str) -> None:
    assert list(PUBLISHED.errors(tree({"n": {"type": kind, **SMALLEST[kind]}}))) == []
    assert list(PUBLISHED.errors(tree({"n": {"type": kind, **SMALLEST[kind], "retrys": 1}})))


@given(definitions())
def test_what_was_read_is_written_so_that_it_is_read_again(made: Definition) -> None:
    written = msgspec.to_builtins(made)
    assert problems(written) == []
    assert msgspec.convert(written, Definition) == made
    assert list(PUBLISHED.errors(written)) == []


@pytest.mark.parametrize(
    "spelled", [tree({}), tree(plain("2x")), tree(plain("a"), slug="No"), tree(plain("a"), more=1), tree(plain("a b"))]
)
def test_the_published_schema_refuses_what_is_refused(spelled: Any) -> None:
    assert told(spelled)
    assert list(PUBLISHED.errors(spelled))
