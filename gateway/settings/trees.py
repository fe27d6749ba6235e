"""YAML that callers send: the JSON tree it spells, or why it spells none.

YAML 1.1 takes `on` and `yes` for truth and a date for a date; JSON has neither, and `on: error` is an edge of a
workflow; and it takes `12:30` for 750 and `010` for 8. So only `true`, `false`, `null` and decimal numbers are read as
such, keys are text, and a key that is there twice is told. Tags of what JSON has not (`!!binary`, `!!set`) are refused,
and so are anchors: a few lines of them spell gigabytes.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, cast

import yaml
from yaml.constructor import ConstructorError

#: The first letters under which YAML 1.1 files its ideas of truth that are not `true` and `false`.
_ODD_TRUTHS = "yYnNoO"
_TAG = "tag:yaml.org,2002:"
_DATE, _MERGE, _TRUTH = _TAG + "timestamp", _TAG + "merge", _TAG + "bool"
#: What JSON has, and None, which is what tells of all other tags.
_TAGS = (*(_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")), None)
_NUMBERS = {
    _TAG + "int": re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"),
    _TAG + "float": re.compile(
        r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.inf|\.nan)$", re.IGNORECASE
    ),
}
#: Levels of a tree. Each takes some ten of the thousand frames that Python has.
_DEEPEST = 50


class NoTree(ValueError):
    """This text spells no JSON tree."""


def tree_of(text: bytes) -> Any:
    """The tree. Raises `NoTree`, whose message says where to look."""
    try:
        return yaml.load(text.decode(), Loader=_Plain)
    except UnicodeDecodeError as exc:
        raise NoTree("The text is not UTF-8.") from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        place = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise NoTree(f"{place}{exc.problem or 'this is not YAML'}.") from exc
    except (yaml.YAMLError, ValueError, KeyError) as exc:  # KeyError: `!!bool` before what is none
        raise NoTree("This is not YAML: it holds characters or numbers that it may not.") from exc


class _Plain(yaml.SafeLoader):
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            # The loader's own types say nothing of events.
            mark: Any = cast("Any", self).peek_event().start_mark
            raise ConstructorError(None, None, "anchors are not taken; write it out", mark)
        self._depth += 1
        if self._depth > _DEEPEST:
            mark = cast("Any", self).peek_event().start_mark
            raise ConstructorError(None, None, "this is nested too deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        value_of: Any = cast("Any", self).construct_object
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key must be text", key.start_mark)
            if key.value in made:
                raise ConstructorError(None, None, f"'{key.value}' is there twice", key.start_mark)
            made[key.value] = value_of(value, deep=deep)
        return made

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        number = super().construct_yaml_float(node)
        if not isfinite(number):
            raise ConstructorError(None, None, "JSON has no such number", node.start_mark)
        return number


_Plain.yaml_constructors = {tag: made for tag, made in yaml.SafeLoader.yaml_constructors.items() if tag in _TAGS}
_Plain.add_constructor(_TAG + "float", _Plain.construct_yaml_float)
_Plain.yaml_implicit_resolvers = {
    letter: [
        (tag, _NUMBERS.get(tag, pattern))
        for tag, pattern in known
        if tag not in (_DATE, _MERGE) and not (tag == _TRUTH and letter in _ODD_TRUTHS)
    ]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
