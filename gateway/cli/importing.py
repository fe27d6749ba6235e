"""`steelyard import`: another gateway's configuration becomes ours."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rich_click as click
import yaml

from gateway.importing.litellm import Imported
from gateway.importing.litellm import imported as imported_of
from gateway.settings import SettingsError, from_environment
from gateway.settings.sources import read_yaml


@click.group("import")
def importing() -> None:
    """Turn another gateway's configuration into a steelyard.yaml."""


@importing.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it. [standard output]")
def litellm(file: Path, out: Path | None) -> None:
    """Read FILE, the config.yaml of a LiteLLM proxy.

    What cannot be taken over is told, each with its reason and the nearest that there is. With --out the result is
    checked as `steelyard config check` does; exits with 1 when something is still to be done, an unset variable say.
    """
    config, problems = read_yaml(file)
    if problems:
        raise click.ClickException("\n".join(map(str, problems)))
    if not config.get("model_list"):
        raise click.ClickException(f"{file} has no model_list: is it a configuration of LiteLLM's?")
    found = imported_of(config)
    text = _text(file, found)
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)
    _tell(found)
    if not found.config.get("providers"):
        raise click.ClickException("None of its models could be taken over.")
    if out is not None:
        _check(out)


def _text(file: Path, found: Imported) -> str:
    head = [
        f"# Made by `steelyard import litellm` of {file.name}.",
        *(f"# Mind: {one.place}: {one.said}." for one in found.notes),
    ]
    body: Any = yaml.safe_dump(found.config, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*head, "", body])


def _write(out: Path, text: str) -> None:
    try:
        # It may hold keys, as the other did.
        made = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{out} is there already, and is not replaced.") from None
    except OSError as exc:
        raise click.ClickException(f"{out} cannot be written: {exc.strerror}.") from exc
    with os.fdopen(made, "w", encoding="utf-8") as file:
        file.write(text)


def _tell(found: Imported) -> None:
    models = sum(len(one["models"]) for one in found.config.get("providers", {}).values())
    routes = len(found.config.get("routes", {}))
    click.echo(f"{len(found.config.get('providers', {}))} providers, {models} models, {routes} routes.", err=True)
    for title, lost in (("Not taken over:", True), ("Otherwise than it was:", False)):
        if ones := [one for one in found.notes if one.lost is lost]:
            click.echo(title, err=True)
            for one in ones:
                click.echo(f"  - {one.place}: {one.said}", err=True)


def _check(out: Path) -> None:
    try:
        from_environment(out)
    except SettingsError as exc:
        raise click.ClickException(f"{out} is written. Before it can be used:\n{exc}") from exc
    click.echo(f"{out} is valid: steelyard serve --config {out}", err=True)
