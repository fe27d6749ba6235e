"""`steelyard db`: the database, its schema and what is in it."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gateway.cli.backups import backup, prune, restore_command
from gateway.cli.options import config_option, load_settings
from gateway.cli.stored import run
from gateway.store import migrate


@click.group("db")
def database() -> None:
    """Back the database up, restore and prune it, or move its schema. `steelyard serve` brings that up by itself."""


for command in (backup, restore_command, prune):
    database.add_command(command)


@database.command()
@click.argument("revision", default="head")
@config_option
def upgrade(revision: str, config: Path | None) -> None:
    """Bring the schema up to REVISION (the newest). One that a newer version has made is left as it is."""
    url = load_settings(config).database.url.reveal()
    if revision != "head":
        run(migrate.upgrade(url, revision))
    elif newer := run(migrate.ready(url)):
        # After a rollback: containers that migrate before they serve must come to serve.
        click.echo(f"The schema is at {newer}, a newer version's: there is nothing to do.")
        return
    click.echo(f"The schema is at {run(migrate.current(url)) or 'base'}.")


# `-1` is a revision here, not an option.
@database.command(context_settings={"ignore_unknown_options": True})
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def downgrade(revision: str, yes: bool, config: Path | None) -> None:
    """Take the schema down to REVISION (`-1`: one step, `base`: everything). Drops what the steps had added."""
    url = load_settings(config).database.url.reveal()
    if not yes:
        click.confirm("This drops tables or columns with what is in them. Go on?", abort=True)
    run(migrate.downgrade(url, revision))
    click.echo(f"The schema is at {run(migrate.current(url)) or 'base'}.")


@database.command()
@config_option
def current(config: Path | None) -> None:
    """Show the revision the schema is at."""
    click.echo(run(migrate.current(load_settings(config).database.url.reveal())) or "base (no tables)")
