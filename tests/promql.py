"""PromQL as far as the tests must understand it: which series an expression reads, and what it is without its bounds.

It reads what is in our boards and rules, and refuses what it does not know (a quoted metric name, say) by failing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)?)
    | (?P<name>[A-Za-z_:$][A-Za-z0-9_:$]*)
    | (?P<sign>==|!=|=~|!~|>=|<=|[-+*/%^=<>(){}\[\],@:])
    """,
    re.VERBOSE,
)
_AGGREGATIONS = frozenset(("sum", "min", "max", "avg", "group", "count", "topk", "bottomk", "quantile"))
_LABELS_FOLLOW = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
_WORDS = _LABELS_FOLLOW | {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_COMPARISONS = frozenset(("==", "!=", ">", "<", ">=", "<="))
#: What Grafana fills in. The windows are short, so that a young Prometheus has something in them.
_FILLED = {"$__rate_interval": "1m", "$__interval": "1m", "$__range": "5m"}


@dataclass(frozen=True)
class Selector:
    """The series of one metric that an expression asks for; `text` without its range."""

    name: str
    labels: frozenset[str]
    text: str


def tokens(expr: str) -> list[str]:
    """The expression in pieces, without the space between them."""
    found: list[str] = []
    at = 0
    while at < len(expr):
        match = _TOKEN.match(expr, at)
        assert match is not None, f"what is {expr[at : at + 20]!r} in {expr!r}?"
        if match.lastgroup != "space":
            found.append(match.group())
        at = match.end()
    return found


def selectors(expr: str) -> Iterator[Selector]:
    """Whatever it reads, in its order."""
    said = [*tokens(expr), ""]
    at = 0
    while at < len(said):
        token, after = said[at], said[at + 1] if at + 1 < len(said) else ""
        if token in _LABELS_FOLLOW and after == "(":
            at = said.index(")", at)
        elif token == "[":
            at = said.index("]", at)
        elif _is_metric(token, after):
            end = said.index("}", at) + 1 if after == "{" else at + 1
            matchers = said[at + 2 : end - 1] if after == "{" else []
            yield Selector(token, frozenset(matchers[::4]), " ".join(said[at:end]))
            at = end - 1
        at += 1


def grouped_by(expr: str) -> set[str]:
    """The labels by which anything in it is grouped or joined."""
    said = tokens(expr)
    found: set[str] = set()
    for at, token in enumerate(said):
        if token in _LABELS_FOLLOW and said[at + 1] == "(":
            found |= {one for one in said[at + 2 : said.index(")", at)] if one != ","}
    return found


def unbounded(expr: str) -> str:
    """The same expression with a value wherever its parts have one, be it within its bounds or not.

    Comparisons say 0 or 1 instead of leaving out, `unless` is `and`, and `absent` counts what must be there.
    """
    said = [{"unless": "and", "absent": "count"}.get(one, one) for one in tokens(expr)]
    inside = False
    out: list[str] = []
    for token in said:
        inside = (inside or token == "{") and token != "}"
        out += [token, "bool"] if token in _COMPARISONS and not inside else [token]
    return " ".join(out)


def filled(expr: str) -> str:
    """With a value for each of Grafana's variables: all there is, of those by which one chooses."""
    for name, value in _FILLED.items():
        expr = expr.replace(name, value)
    return re.sub(r"\$\w+", ".*", expr)


def _is_metric(token: str, after: str) -> bool:
    if not re.match(r"[A-Za-z_:]", token) or after == "(":
        return False
    return token not in _WORDS and token not in _AGGREGATIONS
