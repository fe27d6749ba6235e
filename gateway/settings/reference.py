"""Every variable, told twice from one source: `.env.example` and the README's table.

Run `python -m gateway.settings.reference > .env.example` after changing a setting; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.settings.environment import API_KEYS, CONFIG, models_variable, options
from gateway.settings.scalar import Kind, choices
from gateway.settings.secrets import Secret
from gateway.settings.written import Document
from providers import PROVIDERS, Provider

_HEAD = """\
# Steelyard reads this file as `.env` in the folder it starts in. The environment goes before it, and it goes before
# steelyard.yaml. Every line shows the default; remove the '#' to change it. A secret may be 'file:/path/to/secret'.
# Written by `python -m gateway.settings.reference`.
"""


class Row(Struct, frozen=True):
    """A variable: the section it belongs to, its default as one would write it, and what it is for."""

    section: str
    env: str
    default: str
    path: str
    text: str


def rows() -> tuple[Row, ...]:
    """Every variable, providers first, in the order of `.env.example`."""
    return (*_provider_rows(), *_special_rows(), *_scalar_rows())


def env_example() -> str:
    """The text of `.env.example`."""
    lines = [_HEAD]
    section = None
    for row in rows():
        if row.section != section:
            section = row.section
            lines.append(f"\n# --- {section}\n")
        lines.append(f"# {row.text}\n#{row.env}={row.default}\n")
    return "".join(lines)


def readme_table() -> str:
    """The same as a Markdown table."""
    lines = ["| Variable | Default | In `steelyard.yaml` | Meaning |", "| --- | --- | --- | --- |"]
    for row in rows():
        default = f"`{row.default}`" if row.default else ""
        path = f"`{row.path}`" if row.path else ""
        lines.append(f"| `{row.env}` | {default} | {path} | {row.text} |")
    return "\n".join(lines) + "\n"


def _provider_rows() -> Iterator[Row]:
    for provider in PROVIDERS:
        path = f"providers.{provider.name}"
        section = f"Provider {provider.name}"
        first, *others = provider.key_variables or ("",)
        if first:
            also = f" Also read from {', '.join(others)}." if others else ""
            yield Row(section, first, "", f"{path}.api_key", f"Its key turns it on: {provider.home}.{also}")
            for other in others:
                yield Row(section, other, "", f"{path}.api_key", f"Another name for {first}.")
        yield Row(section, provider.base_url_variable, provider.base_url, f"{path}.base_url", _address(provider))
        models = "Its models, with commas between." + (
            " They cost nothing." if provider.free else " Unset: all of the catalogue's."
        )
        yield Row(section, models_variable(provider), "", f"{path}.models", models)


def _address(provider: Provider) -> str:
    return "Where it is." if provider.needs_key else f"Where it is; setting it turns it on. {provider.home}"


def _special_rows() -> Iterator[Row]:
    section = "Callers and files"
    yield Row(section, API_KEYS, "", "keys", "Keys that callers may use: `name:key, name:key …`, or just keys.")
    yield Row(section, CONFIG, "", "", "The YAML file. Unset: `steelyard.yaml`, when there is one.")


def _scalar_rows() -> Iterator[Row]:
    sections = {field.name: field.type for field in msgspec.structs.fields(Document)}
    for option in options():
        section, name = option.where
        about = cleandoc(sections[section].__doc__ or "").split("\n")[0].rstrip(".")
        yield Row(
            f"{section}: {about}",
            option.env,
            _default(option.kind, option.default),
            f"{section}.{name}",
            _text(option.kind),
        )


def _text(kind: Kind) -> str:
    text = kind.description or ""
    if words := choices(kind):
        text += f" One of {', '.join(words)}."
    return f"{text} Seconds." if kind.extra("unit") == "seconds" else text


def _default(kind: Kind, value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Secret():
            return value.hint()
        case int() if kind.extra("unit") == "bytes":
            return _size(value)
        case int() | float():
            return f"{value:.10g}"
        case Path():
            return value.as_posix()
        case _:
            return str(value)


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


if __name__ == "__main__":
    sys.stdout.write(env_example())
