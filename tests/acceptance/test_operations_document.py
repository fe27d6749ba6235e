"""docs/operations.md and docs/migrating.md: their commands are those that there are, and do what they say."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.settings.environment import known_variables
from gateway.store import migrate

ROOT = Path(__file__).parents[2]
PAGES = ("operations.md", "migrating.md")
_INLINE = re.compile(r"`(steelyard [a-z][^`]*)`")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def commands(name: str) -> Iterator[str]:
    """Those of the blocks and those amid the text, advice of the doctor's among them."""
    text = page(name)
    for block in _BLOCK.findall(text):
        yield from block.strip().splitlines()
    yield from _INLINE.findall(_BLOCK.sub("", text))


def check(command: str) -> None:
    """There is such a command, and it has these options."""
    words = shlex.split(command)
    assert words.pop(0) == "steelyard"
    found: Any = main
    while isinstance(found, click.Group) and words and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    assert not isinstance(found, click.Group) or not words, f"there is no `{command}`"
    known = {name for one in cast("click.Command", found).params for name in (*one.opts, *one.secondary_opts)}
    for word in words:
        assert not word.startswith("-") or word in known, f"`{command}`: there is no {word}"


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_one(name: str) -> None:
    found = list(commands(name))
    assert len(found) > 5
    for command in found:
        check(command)


def test_a_command_that_is_none_is_noticed() -> None:
    for wrong in ("steelyard db bakcup x", "steelyard doctor --aks", "steelyard cure"):
        with pytest.raises(AssertionError):
            check(wrong)


def test_every_advice_of_the_doctors_that_names_a_command_names_one() -> None:
    for path in (ROOT / "gateway" / "doctor").glob("*.py"):
        for command in re.findall(r"(?:now: |go: |answers: |chats: |`)(steelyard [a-z][a-z0-9 -]*)", path.read_text()):
            check(command.strip())


@pytest.mark.parametrize("name", PAGES)
def test_every_variable_is_one(name: str) -> None:
    named = set(re.findall(r"\b(?:STEELYARD|DB|REDIS|DATABASE)_[A-Z_]+\b", page(name)))
    assert named <= known_variables(), named - known_variables()


def test_backup_check_restore_and_prune_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/steelyard.db")
    asyncio.run(migrate.upgrade(f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"))
    lines = [line for block in _BLOCK.findall(page("operations.md")) for line in block.strip().splitlines()]
    ran = [line for line in lines if line.startswith("steelyard db ")]
    assert len(ran) >= 8
    for line in ran:
        done = CliRunner().invoke(main, shlex.split(line)[1:], input="y\n")
        assert done.exit_code == 0, f"{line}: {done.output}"
