"""Every key of the configuration: variables from `gateway.settings.reference`, keys of the file from its structs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from docsite.tables import code, paragraphs, slug, table
from gateway.settings.reference import Row, rows
from gateway.settings.written import Document

_HEAD = """\
# Configuration

Written from the settings themselves when this site is built. The environment goes before `.env`, and that before
`steelyard.yaml`; an unknown key is an error that names the nearest valid one. `steelyard config check` tells all that
is wrong, `steelyard config show` what is in force and where it comes from. A secret may be `file:/path/to/secret`, and
in the file `${NAME}` is the variable of that name.

"""
_VARIABLES = (
    "\n## Variables\n\nWhat can be said in the environment, by sections; each has a place in the file as well.\n"
)
_FILE = (
    "\n## The file\n\nEvery key of `steelyard.yaml`. `<name>` is a name of your own, `[]` an element of a list. "
    "Keys with a variable can be said in either place.\n"
)
_SIMPLE = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping"}


class Entry(Struct, frozen=True):
    """One key of the file: its whole name, and what is known of it."""

    name: str
    kind: str
    default: str
    text: str
    env: str


def page() -> str:
    """The page."""
    parts = [_HEAD, _VARIABLES]
    sections: dict[str, list[Row]] = {}
    for row in rows():
        sections.setdefault(row.section, []).append(row)
    for section, found in sections.items():
        parts.append(f"\n### {section} {{ #variables-{slug(section.partition(':')[0])} }}\n\n")
        cells = ((code(row.env), code(row.default), code(row.path), row.text) for row in found)
        parts.append(table(("Variable", "Default", "In the file", "Meaning"), cells))
    parts.append(_FILE)
    variables = {row.path: row for row in reversed(rows()) if row.path}
    for name, struct in structs():
        title = code(name) if name else "At the top"
        parts.append(
            f"\n### {title} {{ #file-{slug(name) or 'top'} }}\n\n{paragraphs(inspect.getdoc(struct) or '')}\n\n"
        )
        cells = (
            (code(one.name), one.kind, code(one.default), one.text, code(one.env))
            for one in entries(name, struct, variables)
        )
        parts.append(table(("Key", "Type", "Default", "Meaning", "Variable"), cells))
    return "".join(parts)


def structs() -> list[tuple[str, type[Struct]]]:
    """(name of the place, its struct) for the whole file and all that is in it; each where it is first met."""
    found: list[tuple[str, type[Struct]]] = []
    waiting: list[tuple[str, type[Struct]]] = [("", Document)]
    while waiting:
        name, struct = waiting.pop(0)
        found.append((name, struct))
        waiting += [
            (_below(name, field) + more, inner) for field, hint in _hints(struct) for more, inner in _inner(hint)
        ]
    return found


def entries(place: str, struct: type[Struct], variables: dict[str, Row]) -> Iterator[Entry]:
    """The keys of a struct that stands at a place."""
    notes = _notes(struct)
    for field, hint in zip(msgspec.structs.fields(struct), (hint for _, hint in _hints(struct)), strict=True):
        name = _below(place, field.encode_name)
        row = variables.get(name)
        yield Entry(
            name=name,
            kind=_linked(name, hint),
            default=row.default if row else _default(field),
            text=(row.text if row else "") or notes.get(field.name, "") or _about(hint),
            env=row.env if row else "",
        )


def _below(place: str, field: str) -> str:
    return f"{place}.{field}" if place else field


def _hints(struct: type[Struct]) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        yield field.encode_name, hints[field.name]


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _inner(hint: Any) -> Iterator[tuple[str, type[Struct]]]:
    """The structs in a type, each with what is written to get there: `.<name>` in mappings, `[]` in lists."""
    hint = _bare(hint)
    origin, inside = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield "", hint
    elif origin is dict:
        yield from ((f".<name>{more}", found) for more, found in _inner(inside[1]))
    elif origin is tuple:
        yield from ((f"[]{more}", found) for more, found in _inner(inside[0]))
    elif origin in (Union, UnionType):
        for one in inside:
            yield from _inner(one)


def _linked(name: str, hint: Any) -> str:
    """The type; of keys that hold others, with the way to these."""
    for more, _ in _inner(hint):
        place = name + more
        return re.sub(r"mapping$", f"[mapping](#file-{slug(place)})", _typed(hint), count=1)
    return _typed(hint)


def _typed(hint: Any) -> str:
    unit = next((one.extra["unit"] for one in _metas(hint) if one.extra and "unit" in one.extra), "")
    if unit:
        return {"bytes": "size (`500kB`, `20MiB`)"}.get(unit, unit)
    hint = _bare(hint)
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_typed(one) for one in inside if one is not type(None)))
    if origin is Literal:
        return " or ".join(code(str(one)) for one in inside)
    if origin is dict:
        return f"mapping of {_typed(inside[1])}"
    if origin is tuple:
        return f"list of {_typed(inside[0])}"
    if isinstance(hint, type) and issubclass(hint, Struct):
        return "mapping"
    return next((words for kind, words in _SIMPLE.items() if hint is kind), "text")


def _default(field: Any) -> str:
    """As one would write it: nothing for what is unset, or is made of keys that are told below."""
    match field.default:
        case bool():
            return str(field.default).lower()
        case str() | int():
            return str(field.default)
        case float():
            return f"{field.default:.10g}"
        case _:
            return "" if field.default is not NODEFAULT or field.default_factory is not NODEFAULT else "(required)"


def _metas(hint: Any) -> list[Meta]:
    metas: list[Meta] = []
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        metas += [one for one in more if isinstance(one, Meta)]
    if get_origin(hint) in (Union, UnionType):
        metas += [meta for one in get_args(hint) for meta in _metas(one)]
    return metas


def _about(hint: Any) -> str:
    """What a type says of itself: its description, or the first sentences of the struct that it holds."""
    said = next((one.description for one in _metas(hint) if one.description), "")
    inner = next((found for _, found in _inner(hint)), None)
    return said or (paragraphs(inspect.getdoc(inner) or "").split("\n\n")[0] if inner else "")


def _notes(struct: type[Struct]) -> dict[str, str]:
    """What the comments `#:` before fields say; inherited fields have theirs with the class that names them."""
    found: dict[str, str] = {}
    for one in reversed(struct.__mro__):
        if one.__module__.startswith(("gateway.", "providers.")):
            for words, name in re.findall(r"((?:^ +#: .*\n)+) +(\w+):", inspect.getsource(one), re.MULTILINE):
                found[name] = " ".join(line.strip().removeprefix("#: ") for line in words.splitlines())
    return found
