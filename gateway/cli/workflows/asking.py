"""The inputs of an execution: from a file, from `name=value`, and from whoever sits there, as the schema wants them."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.settings.trees import NoTree, tree_of

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
}
_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def read(path: Path) -> Any:
    """A JSON or YAML file. Raises `click.ClickException`."""
    try:
        text = path.read_bytes()
        return json.loads(text) if path.suffix.lower() == ".json" else tree_of(text)
    except (OSError, ValueError, RecursionError, NoTree) as exc:
        raise click.ClickException(f"{path}: {exc}") from exc


def given(pairs: Sequence[str], file: Path | None, schema: dict[str, Any]) -> dict[str, Any]:
    """What was said on the command line; `pairs` go before the file. Raises `click.UsageError`."""
    inputs: dict[str, Any] = {}
    if file is not None:
        found = read(file)
        if not isinstance(found, dict):
            raise click.UsageError(f"{file} must hold an object: the name of each input and its value.")
        inputs |= found
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--input takes name=value, not '{pair}'.")
        field = fields_of(schema).get(name, {})
        try:
            inputs[name] = value_of(text, field)
        except ValueError as exc:
            raise click.UsageError(f"The input '{name}' must be {exc}, not '{text}'.") from exc
    return inputs


def asked(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The inputs known, and the others of the schema as they are answered; an optional one may be left empty."""
    inputs = dict(known)
    required = schema.get("required", [])
    for name, field in fields_of(schema).items():
        if name not in inputs:
            answer = _answer(name, field, required=name in required)
            if answer is not None:
                inputs[name] = answer[0]
    return inputs


def value_of(text: str, field: dict[str, Any]) -> Any:
    """A text as a value of that schema. Raises `ValueError` whose message says what would be one."""
    choices = field.get("enum")
    if choices is not None:
        for one in choices:
            if text == (one if isinstance(one, str) else json.dumps(one)):
                return one
        raise ValueError(f"one of {', '.join(map(str, choices))}")
    kinds = field.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not kinds or "string" in kinds:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = ...
    fits = any(isinstance(value, _KINDS.get(kind, ())) for kind in kinds)
    if not fits or (isinstance(value, bool) and "boolean" not in kinds):
        raise ValueError(" or ".join(_WORDS.get(kind, kind) for kind in kinds))
    return value


def fields_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The inputs that the schema names; of one that may be anything it says `true`."""
    named: dict[str, Any] = schema.get("properties", {})
    return {name: field if isinstance(field, dict) else {} for name, field in named.items()}


def kind_of(field: dict[str, Any]) -> str:
    """What a field takes, in words."""
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    kinds = field.get("type", "anything")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _answer(name: str, field: dict[str, Any], *, required: bool) -> tuple[Any] | None:
    """What is answered, in a tuple, since it may be null; None: nothing."""
    if field.get("description"):
        click.echo(field["description"], err=True)
    kind = field.get("type")
    words = f" ({_WORDS[kind]})" if isinstance(kind, str) and kind in _WORDS else ""
    if "enum" in field:
        words = f" ({kind_of(field)})"
    default = field.get("default")
    shown = default if isinstance(default, str) or default is None else json.dumps(default)
    while True:
        hint = "" if required or default is not None else " [leave out]"
        prompt = f"{name}{words}{hint}"
        text = click.prompt(prompt, default="" if shown is None else shown, show_default=bool(shown), err=True)
        if text == "" and default is None:
            if not required:
                return None
            if kind != "string":
                continue
        try:
            return (value_of(text, field),)
        except ValueError as exc:
            click.echo(f"This must be {exc}.", err=True)
