"""Templates and expressions over what an execution knows. With `sandbox` the only door to Jinja.

    "Plan for {{ input.topic }}"     text; what is no string is written as JSON
    "{{ nodes.plan.output.steps }}"  nothing but one expression: its value, a list stays a list
    nodes.a.output.score > 0.5       an expression

Laws: what is not there is an error that names it, never an empty string. Nothing here reads a clock or draws a number,
so that the same values give the same text after a crash. A template reaches no attributes of Python objects, only
fields and the methods, filters, tests and statements listed here. It makes no gigabyte and no hour out of a line:
`work` counts what it builds and handles. Not counted are single steps (a field, a sum of numbers, an `if`): there are
at most as many as turns of loops times the length of the template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

import msgspec
from jinja2 import Template as Compiled
from jinja2 import TemplateError, meta, nodes
from jinja2.environment import TemplateExpression

from gateway.workflows.spec import Json, elements, members
from gateway.workflows.templates import work
from gateway.workflows.templates.sandbox import METHODS, environment, no_json

_T = TypeVar("_T")


__all__ = ["METHODS", "BadTemplate", "Reference", "evaluate", "fill", "references"]


class BadTemplate(ValueError):
    """It cannot be parsed, or not be filled in with what is known."""


class Reference(msgspec.Struct, frozen=True):
    """What an expression reads: a name and the constant steps after it, as `("nodes", "plan", "output", "title")`."""

    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        """As it is written."""
        return ".".join(str(step) for step in self.steps)


_ENVIRONMENT = environment()
#: Of a template, its text between expressions counted as one. So many take up to 0.4 s to compile, which each process
#: does anew while everybody else waits.
_MOST_TOKENS = 10_000


def evaluate(expression: str, scope: Mapping[str, Json]) -> Json:
    """The value of an expression. Raises `BadTemplate`."""
    return _guarded(lambda: _plain(_expression(expression)(**scope)))


def fill(tree: Json, scope: Mapping[str, Json]) -> Json:
    """A JSON tree whose strings are templates, filled in. Raises `BadTemplate`."""
    if isinstance(tree, str):
        return _fill(tree, scope)
    if (named := members(tree)) is not None:
        return {key: fill(value, scope) for key, value in named.items()}
    if (listed := elements(tree)) is not None:
        return [fill(value, scope) for value in listed]
    return tree


def references(text: str, *, expression: bool) -> list[Reference]:
    """What a template or an expression reads of what is known. Raises `BadTemplate` for what cannot be parsed."""
    if not expression and "{" not in text:
        return []
    source = f"{{{{ ({text}\n) }}}}" if expression else text
    tokens = _guarded(lambda: sum(1 for _ in islice(_ENVIRONMENT.lex(source), _MOST_TOKENS + 1)))
    if tokens > _MOST_TOKENS:
        raise BadTemplate(f"it has more than {_MOST_TOKENS:,} words and signs; make several nodes of it")
    tree = _guarded(lambda: _ENVIRONMENT.parse(source))
    _guarded(lambda: _expression(text) if expression else _template(text))  # names what may not be there, too
    free = {*_guarded(lambda: meta.find_undeclared_variables(tree)), "self"}  # what Jinja declares is nothing here
    inner = {id(step.node) for step in tree.find_all((nodes.Getattr, nodes.Getitem))}
    found = (_reference(node) for node in _reads(tree) if id(node) not in inner)
    return [one for one in found if one is not None and one.steps[0] in free]


def _reads(tree: nodes.Template) -> Iterator[nodes.Expr]:
    yield from tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Name))


def _reference(node: nodes.Node) -> Reference | None:
    """The longest constant path that a chain of steps begins with; None if it does not begin with a name."""
    steps: list[str | int] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node, nodes.Getitem):
            if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str | int):
                steps.append(node.arg.value)
            else:
                steps.clear()  # what follows a step that is known only later is not known either
        else:
            return None
        node = node.node
    return Reference((node.name, *reversed(steps))) if node.ctx == "load" else None


def _fill(text: str, scope: Mapping[str, Json]) -> Json:
    if "{" not in text:
        return text
    alone = _guarded(lambda: _alone(text))
    if alone is not None:
        return _guarded(lambda: _plain(alone(**scope)))
    return _guarded(lambda: _plain(work.joined(_template(text).generate(**scope))))


#: Texts are those of definitions only, never what a model has written: a thousand are those of some dozen workflows.
@lru_cache(1024)
def _template(text: str) -> Compiled:
    return _ENVIRONMENT.from_string(text)


@lru_cache(1024)
def _alone(text: str) -> TemplateExpression | None:
    """The expression of a text that is nothing but one `{{ … }}`."""
    body = _ENVIRONMENT.parse(text.strip()).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return None
    only = body[0].nodes[0]
    if isinstance(only, nodes.TemplateData):
        return None
    # As `compile_expression` does it, which takes the text of an expression only.
    kept = nodes.Assign(nodes.Name("result", "store"), only, lineno=1).set_environment(_ENVIRONMENT)
    return TemplateExpression(_ENVIRONMENT.from_string(nodes.Template([kept], lineno=1)), undefined_to_none=False)


@lru_cache(1024)
def _expression(source: str) -> TemplateExpression:
    return _ENVIRONMENT.compile_expression(source, undefined_to_none=False)


def _plain(value: Any) -> Json:
    """As it would come back from the store, so that a crash changes nothing; what is no JSON is refused."""
    work.weight(value)
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=no_json))


def _guarded(do: Callable[[], _T]) -> _T:
    try:
        return do()
    except TemplateError as exc:
        raise BadTemplate(exc.message or type(exc).__name__) from exc
    except work.TooMuch as exc:
        raise BadTemplate(str(exc)) from exc
    except (
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        RecursionError,
        AttributeError,
        SyntaxError,
        NameError,
        MemoryError,
    ) as exc:
        # A filter met a value that it is not made for, or Python cannot compile what is nested so deeply, or so large.
        raise BadTemplate(f"{type(exc).__name__}: {exc}"[:300]) from exc
