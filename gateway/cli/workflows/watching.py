"""An execution as it goes: a table that lives on a terminal, lines for whoever reads them otherwise."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic
from typing import Any

import rich_click as click
from msgspec import Struct, field
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.cli.workflows.calling import Caller, tell

_COLOURS = {
    "running": "cyan",
    "waiting": "yellow",
    "succeeded": "green",
    "completed": "green",
    "failed": "red",
    "cancelled": "magenta",
    "skipped": "dim",
    "pending": "dim",
}
#: Events of an execution that are not called as the state that they lead to.
_STATES = {"submitted": "pending", "queued": "pending", "started": "running"}
#: How often the table is drawn in a second. Doubled, nobody sees more; halved, seconds seem to stumble.
_A_SECOND = 4
#: What a shell says of a command that Ctrl-C has ended.
_INTERRUPTED = 130
_DONE = ("succeeded", "failed", "skipped", "cancelled")


class Node(Struct):
    """How far a node is."""

    status: str = "pending"
    tries: int = 0
    seconds: float | None = None
    cost_usd: float = 0.0
    by: str = ""
    items: int = 0
    of: int | None = None
    began: datetime | None = None
    #: When that was heard of, on the clock of this process: the gateway's may be another.
    heard: float = 0.0
    kind: str = ""


class Picture(Struct):
    """An execution as its events have told of it so far."""

    title: str
    nodes: dict[str, Node]
    clock: Callable[[], float] = monotonic
    execution_id: str = ""
    status: str = "pending"
    costs: dict[str, float] = field(default_factory=dict[str, float])

    def take(self, event: dict[str, Any]) -> None:
        """What the event changes."""
        data: dict[str, Any] = event["data"]
        whose, _, what = str(event["type"]).partition(".")
        if whose == "execution":
            self.status = _STATES.get(what, what)
        elif event["node_id"] is not None:
            self._take_step(self.nodes.setdefault(event["node_id"], Node()), data, datetime.fromisoformat(event["at"]))

    def drawn(self) -> Group:
        """It all: a line, and a row for each node."""
        done = sum(one.status in _DONE for one in self.nodes.values())
        cost = sum(self.costs.values())
        head = Text.assemble(
            f"{self.title}  ",
            (self.status, _COLOURS.get(self.status, "")),
            f"  {done}/{len(self.nodes)} nodes  ${cost:.6f}",
        )
        columns = ("node", "status", "tries", "seconds", "USD", "by")
        # The events of another version may name others, while this is drawn.
        nodes = list(self.nodes.items())
        table = Table(*columns, box=box.SIMPLE)
        for key, one in nodes:
            items = f"{one.items}/{one.of}" if one.of else str(one.items)
            status = Text(one.status + (f" ({items} items)" if one.items else ""), _COLOURS.get(one.status, ""))
            took = self.clock() - one.heard if one.status == "running" and one.heard else one.seconds
            seconds = "" if took is None else f"{took:.1f}"
            cost = f"{one.cost_usd:.6f}" if one.cost_usd else ""
            table.add_row(Text(key), status, str(one.tries or ""), seconds, cost, Text(one.by))
        waiting = [key for key, one in nodes if one.status == "waiting" and one.kind == "approval"]
        if waiting:
            told = f"{', '.join(waiting)}: to decide, steelyard workflows approve {self.execution_id}"
            return Group(head, table, Text(told, _COLOURS["waiting"]))
        return Group(head, table)

    def _take_step(self, node: Node, data: dict[str, Any], at: datetime) -> None:
        if "step_id" in data and "cost_usd" in data:
            node.cost_usd += data["cost_usd"] - self.costs.get(data["step_id"], 0.0)
            self.costs[data["step_id"]] = data["cost_usd"]
        if data.get("item") is not None:
            node.items = max(node.items, data["item"] + 1)
            return
        node.status, node.tries = data.get("status", node.status), data.get("tries", node.tries)
        node.of = data.get("progress", {}).get("of", node.of)
        node.by = data.get("model", node.by)
        if node.status == "running" and node.began is None:
            node.began, node.heard = at, self.clock()
        if node.status in _DONE and node.began is not None:
            node.seconds = (at - node.began).total_seconds()


def watch(caller: Caller, execution_id: str, *, as_json: bool) -> int:
    """Show an execution until it has ended, or until Ctrl-C: the exit code, 0 when it has completed."""
    try:
        return _watched(caller, execution_id, as_json=as_json)
    except KeyboardInterrupt:
        click.echo(f"\nIt goes on. See it with: steelyard workflows watch {execution_id}", err=True)
        return _INTERRUPTED


def _watched(caller: Caller, execution_id: str, *, as_json: bool) -> int:
    path = f"/api/executions/{execution_id}"
    first = caller.ask("GET", path)
    events = caller.events(f"{path}/events")
    console = Console()
    if as_json:
        for _ in events:
            pass
    elif console.is_terminal:
        _live(
            console, Picture(f"{first['workflow_id']} {execution_id}", _nodes(first), execution_id=execution_id), events
        )
    else:
        for event in events:
            click.echo(line(event))
            # Whoever reads along through a pipe is to read it now.
            sys.stdout.flush()
    last = caller.ask("GET", path)
    if as_json:
        tell(last)
    else:
        _tell_end(last)
    return 0 if last["status"] == "completed" else 1


def line(event: dict[str, Any]) -> str:
    """An event in one line."""
    data = event["data"]
    node = event["node_id"] or ""
    if data.get("item") is not None:
        node += f"[{data['item']}]"
    words = [event["at"], event["type"], node, data.get("model", "")]
    if data.get("error"):
        words.append(f"— {data['error']['message']}")
    return " ".join(word for word in words if word)


def _live(console: Console, picture: Picture, events: Iterable[dict[str, Any]]) -> None:
    # Drawn anew also between events, for the seconds of what runs.
    with Live(console=console, get_renderable=picture.drawn, refresh_per_second=_A_SECOND):
        for event in events:
            picture.take(event)


def _nodes(execution: dict[str, Any]) -> dict[str, Node]:
    return {one["node_id"]: Node(kind=one["type"]) for one in execution["node_states"]}


def _tell_end(last: dict[str, Any]) -> None:
    error = last["error"]
    named: dict[str, Any] = last["outputs"] or {}
    click.echo(f"{last['status']}: ${last['cost_usd']:.6f}, {last['input_tokens']} + {last['output_tokens']} tokens")
    if error is not None:
        where = f" at '{error['node_id']}'" if error["node_id"] else ""
        click.echo(f"It failed{where}: {error['message']}")
        click.echo(f"Go on with: steelyard workflows resume {last['execution_id']}")
    for name, value in named.items():
        click.echo(f"\n{name}:")
        if isinstance(value, str):
            click.echo(value)
        else:
            tell(value)
