"""`steelyard workflows list|show|validate|push|export`: definitions."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rich_click as click
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.workflows.asking import fields_of, kind_of, read
from gateway.cli.workflows.calling import Caller, connected, tell

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_version = click.option("--version", type=click.IntRange(1), help="This version of it. [the newest]")


@click.command("list")
@connected
def list_workflows(url: str, key: str | None, as_json: bool) -> None:
    """List the workflows of a gateway."""
    found = list(Caller(url, key).pages("/api/workflows", "workflows"))
    if as_json:
        tell(found)
        return
    table = Table("workflow", "version", "nodes", "name")
    for one in found:
        table.add_row(Text(one["slug"]), str(one["version"]), str(one["nodes"]), Text(one["name"]))
    Console().print(table)


@click.command()
@click.argument("slug")
@_version
@connected
def show(slug: str, version: int | None, url: str, key: str | None, as_json: bool) -> None:
    """Show a workflow: its inputs, and its nodes in an order in which they may run."""
    caller, query = Caller(url, key), _query(version)
    found = caller.ask("GET", f"/api/workflows/{quote(slug, safe='')}{query}")
    if as_json:
        tell(found)
        return
    definition = found["definition"]
    console = Console()
    console.print(Text(f"{definition['name']} — {found['slug']}, version {found['version']} of {found['latest']}"))
    if definition.get("description"):
        console.print(Text(definition["description"]))
    schema: dict[str, Any] = definition.get("input_schema") or {}
    for name, field in fields_of(schema).items():
        must = " (required)" if name in schema.get("required", ()) else ""
        otherwise = f" [{json.dumps(field['default'], ensure_ascii=False)}]" if "default" in field else ""
        meaning = field.get("description", "")
        console.print(Text(f"  input {name}: {kind_of(field)}{otherwise}{must} {meaning}".rstrip()))
    table = Table("", "node", "kind", "after")
    for one in caller.ask("GET", f"/api/workflows/{quote(slug, safe='')}/steps{query}")["steps"]:
        table.add_row(str(one["number"]), Text(one["key"]), one["type"], Text(", ".join(one["after"])))
    console.print(table)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(files: tuple[Path, ...], as_json: bool) -> None:
    """Check definitions in JSON or YAML FILES, without any gateway; exit with 1 when something is wrong."""
    told: list[dict[str, Any]] = []
    for file in files:
        try:
            problems = _problems(read(file))
        except click.ClickException as exc:
            # The others are looked at all the same.
            problems = [{"path": "$", "message": exc.message.removeprefix(f"{file}: ")}]
        told.append({"file": str(file), "valid": not problems, "problems": problems})
        if not as_json:
            click.echo(f"{file}: {_counted(problems)}")
            for one in problems:
                click.echo(f"  {one['path']}: {one['message']}")
    if as_json:
        tell(told)
    sys.exit(0 if all(one["valid"] for one in told) else 1)


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@connected
def push(files: tuple[Path, ...], url: str, key: str | None, as_json: bool) -> None:
    """Create or update the workflows in JSON or YAML FILES. What has not changed gets no new version."""
    caller = Caller(url, key)
    trees = [read(file) for file in files]
    told: list[Any] = []
    for file, tree in zip(files, trees, strict=True):
        saved = caller.ask("PUT", f"/api/workflows/{quote(_slug(file, tree), safe='')}", tree)
        told.append(saved)
        if not as_json:
            click.echo(f"{saved['slug']}: version {saved['version']}{'' if saved['changed'] else ', as it was'}")
            for one in saved["warnings"]:
                click.echo(f"{file}: warning: {one['path']}: {one['message']}", err=True)
    if as_json:
        tell(told)


@click.command()
@click.argument("slug")
@_version
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A file. [standard output]")
@connected
def export(slug: str, version: int | None, output: Path | None, url: str, key: str | None, as_json: bool) -> None:
    """Write a workflow as YAML, as `push` takes it; as JSON with --json, or to a FILE whose name ends so."""
    found = Caller(url, key).ask("GET", f"/api/workflows/{quote(slug, safe='')}{_query(version)}")["definition"]
    if as_json or (output is not None and output.suffix.lower() == ".json"):
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(found, sort_keys=False, allow_unicode=True)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text)
    except OSError as exc:
        raise click.ClickException(f"{output}: {exc.strerror}.") from exc


def _slug(file: Path, tree: Any) -> str:
    try:
        slug = tree["slug"]
    except (TypeError, KeyError):
        slug = None
    if not isinstance(slug, str) or not slug:
        raise click.ClickException(f"{file}: $.slug: must be there, and name the workflow.")
    return slug


def _problems(tree: Any) -> list[dict[str, str]]:
    """All that is wrong with a definition. What checks it is loaded here and not by every command: see `door`."""
    check, problems = import_module("gateway.workflows.check"), import_module("gateway.workflows.problems")
    try:
        check.checked(tree)
    except problems.BadDefinition as exc:
        return [{"path": one.path, "message": one.message} for one in exc.problems]
    return []


def _counted(problems: list[dict[str, str]]) -> str:
    return "valid" if not problems else "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def _query(version: int | None) -> str:
    return "" if version is None else f"?version={version}"
