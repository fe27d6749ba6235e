"""Every command of `steelyard`, from the commands themselves."""

# click annotates what describes commands only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterator

import rich_click as click

from docsite.tables import code, paragraphs, table
from gateway.cli import main

NAME = "steelyard"
_HEAD = """\
# Commands

Every command takes `--help`. Written from the commands themselves when this site is built.

{index}
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with all its words, groups before what they hold."""
    return _below(NAME, main)


def page() -> str:
    """The page."""
    parts: list[str] = []
    names: list[str] = []
    for name, command in commands():
        if not isinstance(command, click.Group):
            names.append(f"[`{name}`](#{name.replace(' ', '-')})")
        parts.append(_section(name, command))
    return _HEAD.format(index=" · ".join(names)) + "\n" + "\n".join(parts)


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for word, inner in sorted(command.commands.items()):
            yield from _below(f"{name} {word}", inner)


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    depth = "#" * min(name.count(" ") + 2, 3)
    parts = [f"{depth} {name} {{ #{name.replace(' ', '-')} }}\n", f"{paragraphs(command.help or '')}\n"]
    if not isinstance(command, click.Group):
        parts.append(f"```text\n{usage}\n```\n")
        parts.append(table(("Option", "Meaning"), _options(command, context)))
    return "\n".join(parts)


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            yield code(record[0]), record[1]
