"""The files that settings come from: YAML and `.env`.

Law: what cannot be understood is a problem, never skipped. YAML itself lets a second `openai:` replace the first in
silence, and dotenv passes over lines that it cannot parse; here both are told. No problem quotes the line it is about,
because the line may hold a key.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml
from dotenv.parser import parse_stream

from gateway.settings.problems import Problem


def read_yaml(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """The mapping a YAML file holds, empty when the file is, and what is wrong with it."""
    text, problems = _text(path)
    try:
        data: Any = yaml.load(text, Loader=_Loader)
    except _Duplicate as twice:
        return {}, [Problem(f"{path}:{twice.line}", f"the key '{twice.key}' is there twice. Merge the two.")]
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        return {}, [Problem(place, "this is not YAML. Mind the indentation, and put odd characters in quotes.")]
    except yaml.YAMLError:
        return {}, [Problem(str(path), "this is not YAML: it holds characters that no text file has.")]
    if data is None:
        return {}, problems
    if not isinstance(data, dict):
        return {}, [*problems, Problem(str(path), "must be a mapping of sections, such as 'providers:'.")]
    return data, problems  # pyright: ignore[reportUnknownVariableType] - YAML's own types; the builder checks each


def read_dotenv(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """The variables of a `.env` file, and what is wrong with it. `${…}` in it is text."""
    text, problems = _text(path)
    variables: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            line = binding.original.line
            problems.append(Problem(f"{path}:{line}", "this line is not NAME=value. Comments begin with '#'."))
        elif binding.key:
            variables[binding.key] = binding.value or ""
    return variables, problems


def _text(path: Path) -> tuple[str, list[Problem]]:
    try:
        return path.read_text(encoding="utf-8"), []
    except OSError as exc:
        return "", [Problem(str(path), f"cannot be read: {exc.strerror}.")]
    except ValueError:
        return "", [Problem(str(path), "is not UTF-8 text.")]


class _Duplicate(Exception):
    def __init__(self, key: object, line: int) -> None:
        super().__init__(key)
        self.key = key
        self.line = line


#: libyaml where PyYAML was built with it: it reads a file of many keys ten times as quickly.
_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise _Duplicate(key.value, key.start_mark.line + 1)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
