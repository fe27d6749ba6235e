"""`steelyard workflows run|watch|resume|approve|cancel`: executions. Watching exits with 0 when one has completed."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import rich_click as click

from gateway.cli.workflows.asking import asked, given
from gateway.cli.workflows.calling import Caller, connected, tell
from gateway.cli.workflows.watching import watch

_SECONDS = click.FloatRange(0, min_open=True)
_detach = click.option("--detach", is_flag=True, help="Print its id, and do not wait for its end.")


@click.command()
@click.argument("slug")
@click.option("--input", "-i", "pairs", multiple=True, metavar="NAME=VALUE", help="An input; goes before the file.")
@click.option("--inputs", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON or YAML.")
@click.option("--interactive", is_flag=True, help="Ask for the inputs that are not given.")
@click.option("--version", type=click.IntRange(1), help="This version of it. [the newest]")
@click.option("--budget-usd", type=click.FloatRange(0, min_open=True), help="What it may cost at most.")
@click.option("--deadline", type=_SECONDS, help="Seconds that it may take.")
@_detach
@connected
def run(
    slug: str,
    pairs: tuple[str, ...],
    file: Path | None,
    interactive: bool,
    version: int | None,
    budget_usd: float | None,
    deadline: float | None,
    detach: bool,
    url: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Execute a workflow, and watch it to its end. Ctrl-C ends the watching, not the execution."""
    caller, path = Caller(url, key), f"/api/workflows/{quote(slug, safe='')}"
    query = "" if version is None else f"?version={version}"
    schema: dict[str, Any] = caller.ask("GET", f"{path}{query}")["definition"].get("input_schema") or {}
    inputs = given(pairs, file, schema)
    if interactive:
        inputs = asked(schema, inputs)
    limits = {"version": version, "budget_usd": budget_usd, "deadline": deadline}
    body = {"inputs": inputs, **{name: value for name, value in limits.items() if value is not None}}
    _follow(caller, caller.ask("POST", f"{path}/execute", body), detach=detach, as_json=as_json)


@click.command("watch")
@click.argument("execution_id")
@connected
def watch_execution(execution_id: str, url: str, key: str | None, as_json: bool) -> None:
    """Watch an execution to its end; with --json nothing is said before."""
    sys.exit(watch(Caller(url, key), quote(execution_id, safe=""), as_json=as_json))


@click.command()
@click.argument("execution_id")
@click.option("--deadline", type=_SECONDS, help="Seconds that it may take from now on. [as many as it had]")
@_detach
@connected
def resume(execution_id: str, deadline: float | None, detach: bool, url: str, key: str | None, as_json: bool) -> None:
    """Go on with an execution that failed or was cancelled, and watch it; what has succeeded is not paid again."""
    caller = Caller(url, key)
    body = {} if deadline is None else {"deadline": deadline}
    resumed = caller.ask("POST", f"/api/executions/{quote(execution_id, safe='')}/resume", body)
    if not as_json:
        saved = resumed["saved_calls"]
        click.echo(f"{saved} call{' is' if saved == 1 else 's are'} saved.", err=True)
    _follow(caller, resumed, detach=detach, as_json=as_json)


@click.command()
@click.argument("execution_id")
@click.option("--node", help="Which step, where several wait.")
@click.option("--reject", is_flag=True, help="Decide against it.")
@click.option("--input", "-i", "pairs", multiple=True, metavar="NAME=VALUE", help="A field of its form.")
@click.option("--inputs", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON or YAML.")
@connected
def approve(
    execution_id: str,
    node: str | None,
    reject: bool,
    pairs: tuple[str, ...],
    file: Path | None,
    url: str,
    key: str | None,
    as_json: bool,
) -> None:
    """Decide on a step that waits for a person; the first decision counts."""
    caller, path = Caller(url, key), f"/api/executions/{quote(execution_id, safe='')}"
    states: list[dict[str, Any]] = caller.ask("GET", path)["node_states"]
    forms: list[dict[str, Any] | None] = [one["waits_for"]["form_schema"] for one in states if _awaits(one, node)]
    data = given(pairs, file, (forms[0] if len(forms) == 1 else None) or {})
    body = {"decision": "reject" if reject else "approve", "node": node, "data": data or None}
    decided = caller.ask("POST", f"{path}/approve", body)
    if as_json:
        tell(decided)
    else:
        click.echo(f"{decided['node_id']}: {'rejected' if reject else 'approved'}")


def _awaits(state: dict[str, Any], node: str | None) -> bool:
    return state["type"] == "approval" and state["status"] == "waiting" and node in {None, state["node_id"]}


@click.command()
@click.argument("execution_id")
@connected
def cancel(execution_id: str, url: str, key: str | None, as_json: bool) -> None:
    """Stop an execution, and those it has begun."""
    found = Caller(url, key).ask("POST", f"/api/executions/{quote(execution_id, safe='')}/cancel")
    if as_json:
        tell(found)
    else:
        click.echo(f"{found['execution_id']}: {found['status']}{', to be cancelled' * _stops(found)}")


def _stops(found: dict[str, Any]) -> bool:
    return found["cancel_requested"] and found["status"] not in {"completed", "failed", "cancelled"}


def _follow(caller: Caller, begun: dict[str, Any], *, detach: bool, as_json: bool) -> None:
    if detach:
        if as_json:
            tell(begun)
        else:
            click.echo(begun["execution_id"])
        return
    if not as_json:
        click.echo(f"{begun['execution_id']} {begun['status']}", err=True)
    sys.exit(watch(caller, begun["execution_id"], as_json=as_json))
