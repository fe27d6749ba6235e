"""`steelyard` as the documents' tests run it: what only asks is run; of all else the words are parsed, and no more.

A parsed command is known, its options are, and what they are given fits; whether it does what it says is for tests of
its own.
"""

from __future__ import annotations

import sys

import rich_click as click

from gateway.cli import main

#: Commands that end by themselves and change nothing outside the folder they are run in.
ASKING = (
    *("config check", "config show", "providers list", "spend", "keys list", "audit", "workflows list", "version"),
    *("db current", "dwa scenarios", "dwa replay"),
)


def parsed(words: list[str]) -> str:
    """The command that the words name, all of them understood. Raises click's errors."""
    command: click.Command = main
    name: list[str] = []
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith("-"):
            break
        inner = command.commands.get(rest[0])
        if inner is None:
            raise click.UsageError(f"There is no command {' '.join([*name, rest[0]])}.")
        command, name = inner, [*name, rest.pop(0)]
    if not isinstance(command, click.Group):
        for parameter in command.params:
            if isinstance(parameter.type, click.Path):
                parameter.type.exists = False  # the reader has the file, and nobody opens it here
        command.make_context(" ".join(name), rest)
    return " ".join(name)


if __name__ == "__main__":
    try:
        found = parsed(sys.argv[1:])
    except click.ClickException as exc:
        sys.exit(f"steelyard {' '.join(sys.argv[1:])}: {exc.format_message()}")
    if found in ASKING:
        main(args=sys.argv[1:], prog_name="steelyard")
