"""Whoever follows a runbook at night finds what it names: addresses of the API, commands, settings and headings."""

from __future__ import annotations

import re

import rich_click as click

from gateway.cli import main
from tests.acceptance.driving import World
from tests.acceptance.operated import ROOT, RUNBOOKS

_TEXT = RUNBOOKS.read_text()
#: Of the command line alone.
_OF_CLIENTS = {"STEELYARD_URL", "STEELYARD_KEY"}


def test_every_address_is_one_of_the_api(world: World) -> None:
    paths = world.get("/openapi.json").json["paths"]
    named = set(re.findall(r"`(GET|POST) (/[\w/{}-]+)", _TEXT))
    assert len(named) > 10
    assert [one for one in named if one[0].lower() not in paths.get(one[1], {})] == []


def test_every_command_exists_and_takes_its_options() -> None:
    named = [one.split() for one in re.findall(r"`steelyard\s([^`]+)`", _TEXT)]
    assert len(named) > 10
    for words in named:
        command: click.Command = main
        for word in words:
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, f"there is no {' '.join(words)}"
            command = command.commands[word]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_every_setting_exists() -> None:
    known = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=\w+)?`", _TEXT))
    assert named
    assert named - _OF_CLIENTS <= known


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", _TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
    for path, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", _TEXT):
        if path:
            assert (RUNBOOKS.parent / path).exists(), path
        else:
            assert anchor in anchors, anchor
