"""The sandbox of templates: what they may consist of, reach and call; everything counted by `work`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Literal, cast

import msgspec
from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes, pass_context, pass_environment
from jinja2.exceptions import SecurityError
from jinja2.filters import do_float, do_int, do_round, make_attrgetter
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from gateway.workflows.spec import members
from gateway.workflows.templates import work

#: Left out is what knows HTML only, what reaches attributes, what is not the same twice, and what makes much of little.
_FILTERS = (
    *("abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items"),
    *("join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse"),
    *("round", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique"),
    *("upper", "urlencode", "wordcount"),
)
_TESTS_LEFT_OUT = ("callable", "escaped", "filter", "sameas", "test")
#: Methods of texts; each takes time linear in the text.
METHODS = (
    *("capitalize", "count", "endswith", "find", "isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper"),
    *("lower", "lstrip", "removeprefix", "removesuffix", "rstrip", "split", "splitlines", "startswith", "strip"),
    *("title", "upper"),
)
#: Characters of what is stripped or sought, as each is compared with each of the text.
_LONGEST_ARGUMENT = 100
#: Digits of a number that is read from text: Python takes the square of their number.
_MOST_DIGITS = 1000
#: Places that a floating-point number can have, which is no reason to write a power of ten with a billion digits.
_MOST_PLACES = 15
#: What a template may consist of. What gathers text on the side (macros, blocks, `set` with an end) is not in it.
_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign),
    *(nodes.Name, nodes.Literal, nodes.Pair, nodes.Keyword, nodes.BinExpr, nodes.UnaryExpr, nodes.Compare),
    *(nodes.Operand, nodes.Concat, nodes.CondExpr, nodes.Getattr, nodes.Getitem, nodes.Slice),
    *(nodes.Call, nodes.Filter, nodes.Test),
)
_EACH, _WEIGHED, _CONCAT = "(each)", "(weighed)", "(concat)"


class _Context(Context):
    """What one execution of a template knows, and has done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.work = work.Work()


class _Counted(NodeTransformer):
    """Puts the counters into a template, and refuses what may not be in one."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(node, _NODES) or (isinstance(node, nodes.For) and node.recursive):
            name = type(node).__name__.lower()
            raise TemplateSyntaxError(f"There is no '{name}' here; there are 'for', 'if' and 'set'.", node.lineno)
        self.generic_visit(node)
        match node:
            case nodes.For():
                node.iter = _through(_EACH, cast(nodes.Expr, node.iter))
            case nodes.Compare() | nodes.Operand():
                node.expr = _through(_WEIGHED, node.expr)
            case nodes.List() | nodes.Dict() | nodes.Tuple(ctx="load") | nodes.Getitem(arg=nodes.Slice()):
                return _through(_WEIGHED, node)
            case nodes.Concat():
                return _through(_CONCAT, nodes.List(node.nodes, lineno=node.lineno, environment=node.environment))
            case _:
                pass
        return node


def _through(name: str, node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


class Environment(ImmutableSandboxedEnvironment):
    """Reads fields of objects and elements of lists, and calls what is listed here."""

    context_class = _Context
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        return super()._generate(_Counted().visit(source), *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Of an object its field and nothing else: `output.items` is what the model called so, not a method of dict."""
        if isinstance(obj, Undefined | LoopContext) or (isinstance(obj, str) and attribute in METHODS):
            return super().getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Of an object its field, of a list or a text its element."""
        if isinstance(obj, Undefined):
            str(obj)  # raises what is undefined, by its name
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(hint=_absent(obj, argument))

    def call(self, context: _Context, obj: Any, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - theirs hides its names
        """A method of a text or of a loop."""
        if any(isinstance(one, str) and len(one) > _LONGEST_ARGUMENT for one in (*args, *kwargs.values())):
            raise SecurityError(f"a method takes no text of more than {_LONGEST_ARGUMENT} characters")
        context.work.turn()
        context.work.handle(getattr(obj, "__self__", None))
        made = super().call(context, obj, *args, **kwargs)
        context.work.handle(made)
        return made

    def call_binop(self, context: _Context, operator: str, left: Any, right: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - it is given this context
        """Refuses to make very much out of little."""
        if operator == "*":
            work.repeated(left, right)
        if operator == "**" and (abs(left) > 1e6 or abs(right) > 64):
            raise SecurityError("this power is too large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("'%' does not format text here; join it with '~'")
        for one in (left, right):
            work.small(one)
        made = super().call_binop(context, operator, left, right)
        work.small(made)
        context.work.handle(made)
        return made


def _absent(obj: Any, name: Any) -> str:
    fields = members(obj)
    if fields is not None:
        there = ", ".join(sorted(map(str, fields))[:20])
        return f"there is no '{name!s:.60}' here, only {there or 'nothing'}"
    kinds: dict[type[Any], str] = {str: "a text, for which there are filters", list: "a list"}
    what = "nothing (null)" if obj is None else kinds.get(cast(type[Any], type(obj)), "no object")
    return f"there is no '{name!s:.60}' here: this is {what}"


def _metered(made: Callable[..., Any], *, of_undefined: bool) -> Callable[..., Any]:
    """A filter or a test that counts what it handles; of what is not there only some may be asked."""
    asked = getattr(made, "jinja_pass_arg", None)

    @pass_context
    @wraps(made, updated=())
    def metered(context: _Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Undefined) and not of_undefined:
            str(value)  # raises what is undefined, by its name
        context.work.turn()
        for one in (value, *args):
            context.work.handle(one)
        given = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        found = made(*(() if asked is None else (given[asked.name],)), value, *args, **kwargs)
        found = list(cast(Iterator[Any], found)) if isinstance(found, Iterator) else found
        context.work.handle(found)
        return found

    return metered


@pass_context
def _each(context: _Context, values: Iterable[Any]) -> Iterator[Any]:
    context.work.handle(values)
    for one in values:
        context.work.turn()
        yield one


@pass_context
def _weighed(context: _Context, value: Any) -> Any:
    context.work.handle(value)
    return value


@pass_context
def _concat(context: _Context, values: list[Any]) -> str:
    text = work.joined(map(_text, values))
    context.work.handle(text)
    return text


@pass_context
def _join(context: _Context, values: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
    found = values if attribute is None else map(make_attrgetter(context.environment, attribute), values)
    return work.joined(map(_text, found), str(between))


def _text(value: Any) -> str:
    """How a value looks within text: a list or an object as JSON, as Python's own notation helps no model."""
    if isinstance(value, str):
        return value
    return "" if value is None else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=no_json).decode()


def no_json(value: Any) -> Any:
    """Refuses what is no JSON; what is not there by its name."""
    if isinstance(value, Undefined):
        str(value)  # raises what is undefined, by its name
    raise SecurityError("the expression gives no JSON value")


@pass_environment
def _sum(environment: Environment, values: Iterable[Any], attribute: str | None = None) -> Any:
    return sum(values if attribute is None else map(make_attrgetter(environment, attribute), values))


def _int(value: Any, default: int = 0, base: int = 10) -> int:
    return do_int(_few_digits(value), default, base)


def _float(value: Any, default: float = 0.0) -> float:
    return do_float(_few_digits(value), default)


def _few_digits(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _MOST_DIGITS:
        raise SecurityError(f"a number has no more than {_MOST_DIGITS:,} digits")
    return value


def _round(value: float, precision: int = 0, method: Literal["common", "ceil", "floor"] = "common") -> float:
    if abs(precision) > _MOST_PLACES:
        raise SecurityError(f"a number is rounded to no more than {_MOST_PLACES} places")
    return do_round(value, precision, method)


def _trim(value: str, chars: str | None = None) -> str:
    if chars is not None and len(chars) > _LONGEST_ARGUMENT:
        raise SecurityError(f"no more than {_LONGEST_ARGUMENT} characters are trimmed")
    return value.strip(chars)


def environment() -> Environment:
    """The sandbox."""
    made = Environment(undefined=StrictUndefined, finalize=_text, autoescape=False, keep_trailing_newline=True)
    made.globals.clear()
    own = {"batch": work.batches, "float": _float, "int": _int, "join": _join, "replace": work.replaced}
    own |= {"round": _round, "string": _text, "sum": _sum, "tojson": _json, "trim": _trim}
    theirs: dict[str, Any] = {**made.filters, **own}
    filters: Any = {name: _metered(theirs[name], of_undefined=name in {"d", "default"}) for name in _FILTERS}
    filters |= {_EACH: _each, _WEIGHED: _weighed, _CONCAT: _concat}
    made.filters = filters
    tests: Any = {name: test for name, test in made.tests.items() if name not in _TESTS_LEFT_OUT}
    made.tests = {name: _metered(test, of_undefined=name in {"defined", "undefined"}) for name, test in tests.items()}
    return made
