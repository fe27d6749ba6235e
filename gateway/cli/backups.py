"""`steelyard db backup`, `restore` and `prune`: what is in the database, kept elsewhere, brought back, or let go."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from gateway.cli.options import config_option, load_settings
from gateway.cli.stored import run
from gateway.settings.tree import Settings
from gateway.store import pruning
from gateway.store.backup.form import FileTrouble, NoBackup
from gateway.store.backup.restoring import NotEmpty, checked, restore
from gateway.store.backup.writing import Tell, back_up
from gateway.store.beside import name_of
from gateway.store.engine import Database, parse_url
from gateway.workflows.files import Folder

T = TypeVar("T")
_place = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_place
@click.option("--no-artifacts", is_flag=True, help="Leave out the files that steps of workflows have made.")
@config_option
def backup(file: Path, no_artifacts: bool, config: Path | None) -> None:
    """Write the whole database into FILE (say, steelyard-2026-11-22.backup), while gateways serve.

    FILE can be restored into SQLite and PostgreSQL alike. It holds what prompts and answers hold: only you can read it.
    """
    settings = load_settings(config)
    url = settings.database.url.reveal()
    files = None if no_artifacts else _folder(settings)
    _there(url)
    with _progress() as tell:
        done = _run(
            back_up(url, file, files, steelyard=installed_version("steelyard"), now=datetime.now(UTC), tell=tell)
        )
    click.echo(f"{file}: {done.rows:,} rows, {done.files:,} files, {done.bytes:,} bytes.")
    if done.missing:
        click.echo(f"{len(done.missing)} files of artifacts are gone, and are not in it: {done.missing[0]} …", err=True)


@click.command("restore")
@_place
@click.option("--replace", is_flag=True, help="Delete what the database holds.")
@click.option("--check", is_flag=True, help="Read FILE and its checksum only; touch no database.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def restore_command(file: Path, replace: bool, check: bool, yes: bool, config: Path | None) -> None:
    """Put what `steelyard db backup` has written into FILE into the database of DATABASE_URL, which must be empty.

    All or nothing. Stop every gateway and worker first. Executions that were under way go on when a worker starts.
    """
    if check:
        with _progress() as tell, _mendable():
            found = checked(file, tell)
        end, header = found.end, found.header
        assert end is not None
        click.echo(f"{file} is whole: {end.rows:,} rows, {end.files:,} files, of {header.made_at:%Y-%m-%d %H:%M} UTC,")
        click.echo(f"made by Steelyard {header.steelyard} of {header.engine}, schema {header.revision}.")
        return
    settings = load_settings(config)
    url = settings.database.url
    if replace and not yes:
        click.confirm(f"This deletes everything in {url}. Go on?", abort=True)
    with _progress() as tell:
        done = _run(restore(url.reveal(), file, _folder(settings), replace=replace, now=time.time(), tell=tell))
    click.echo(f"Restored into {url}: {done.rows:,} rows, {done.files:,} files.")
    if done.queued:
        click.echo(f"{done.queued} executions were under way: they go on when a worker starts.")


@click.command()
@click.option("--older-than", "days", type=click.IntRange(1), metavar="DAYS",
              help="What is older. [for each kind what the settings keep]")  # fmt: skip
@click.option("--only", multiple=True, type=click.Choice(list(pruning.KINDS)),
              help="Of this kind; repeat it for several. [all]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Count, and delete nothing.")
@click.option("--compact", is_flag=True, help="Give the room back to the disk afterwards (SQLite; writers wait).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def prune(
    days: int | None, only: tuple[str, ...], dry_run: bool, compact: bool, yes: bool, config: Path | None
) -> None:
    """Delete what is older than so many days: requests (log), responses, sessions, executions (workflows).

    Gateways may serve meanwhile. Sums of requests go with them; the audit log, keys and definitions stay.
    """
    settings = load_settings(config)
    url = settings.database.url.reveal()
    _there(url)
    if compact and not url.startswith("sqlite"):
        raise click.UsageError(
            "--compact is for SQLite: PostgreSQL's autovacuum does it, and weeks go as whole tables."
        )
    kept = {kind: days or default for kind, default in _kept(settings).items() if not only or kind in only}
    wanted = {kind: number for kind, number in kept.items() if number is not None}
    if not wanted:
        raise click.UsageError("The settings keep all of it for ever: say --older-than DAYS.")
    _run(_prune(settings, wanted, dry_run=dry_run, compact=compact, yes=yes))


async def _prune(settings: Settings, wanted: dict[str, int], *, dry_run: bool, compact: bool, yes: bool) -> None:
    database, now, files = Database(settings.database.url.reveal()), time.time(), _folder(settings)
    try:
        found = {kind: await pruning.due(database, kind, now, days) for kind, days in wanted.items()}
        for kind, number in found.items():
            before = datetime.fromtimestamp(pruning.horizon(database, kind, now, wanted[kind]), UTC)
            click.echo(f"{kind}: {number:,} from before {before:%Y-%m-%d}")
        if dry_run:
            return
        if any(found.values()) and not yes:
            click.confirm("They are deleted for good. Go on?", abort=True)
        left = {kind: await _forgotten(database, kind, now, wanted[kind], files) for kind in found if found[kind]}
        for kind, number in left.items():
            click.echo(f"{kind}: {found[kind] - number:,} deleted")
        if compact:
            await pruning.compact(database)
            click.echo("The file is compact.")
        if still := [kind for kind, number in left.items() if number]:
            raise click.ClickException(
                f"Of {', '.join(still)} some are left: a gateway is at them, or a long query reads them. Run it again."
            )
    finally:
        await database.dispose()


async def _forgotten(database: Database, kind: str, now: float, days: int, files: Folder) -> int:
    """Let them go; how many are left."""
    await pruning.forget(database, kind, now, days, files)
    return await pruning.due(database, kind, now, days)


def _kept(settings: Settings) -> dict[str, int | None]:
    """Days for which each kind is kept; None: for ever."""
    return {
        "log": settings.request_log.retention_days,
        "responses": settings.responses.retention_days,
        "sessions": settings.sessions.retention_days,
        "workflows": settings.workflows.retention_days,
    }


def _folder(settings: Settings) -> Folder:
    return Folder(settings.artifacts.dir, name_of(settings.database.url.reveal()))


def _there(url: str) -> None:
    """Refuse a SQLite that is not there: to look at it would make it."""
    where = parse_url(url)
    if url.startswith("sqlite") and not Path(str(where.database)).exists():
        advice = "Name it by DATABASE_URL, or run this in the gateway's folder."
        raise click.ClickException(f"There is no database at {where.database}. {advice}")


@contextmanager
def _progress() -> Generator[Tell]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("beginning")

        def tell(doing: str, done: int, total: int) -> None:
            progress.update(task, description=doing, completed=done, total=total)

        yield tell


def _run(work: Coroutine[Any, Any, T]) -> T:
    with _mendable():
        return run(work)


@contextmanager
def _mendable() -> Generator[None]:
    """Raises `click.ClickException` for what of a file an operator can mend."""
    try:
        yield
    except FileExistsError as exc:
        raise click.ClickException(f"{exc}: a backup never replaces a file. Name another.") from exc
    except (NoBackup, NotEmpty, FileTrouble, OSError) as exc:
        raise click.ClickException(str(exc)) from exc
