"""`steelyard keys` and `steelyard audit`: who may ask a running gateway, and what its administrators did."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.workflows.calling import Caller, connected, tell

_F = TypeVar("_F", bound=Callable[..., Any])
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
#: Lists that a key may have, and the words on the command line that stand for one entry each.
_LISTS = {"scopes": "scope", "tags": "tag", "models": "model", "providers": "provider", "routes": "route",
          "mcp_tools": "mcp-tool", "guardrails": "guardrail"}  # fmt: skip
#: Of these null means all, hence `--any` takes them away; of the others an empty list is none.
_RESTRICTIONS = ("models", "providers", "routes", "mcp_tools")


@click.group()
def keys() -> None:
    """Keys of callers: made, changed, rotated and revoked. They take the admin key."""


def _granting(command: _F) -> _F:
    """Options of what a key may do."""
    for option in (
        *(
            click.option(f"--{word}", name, multiple=True, help=f"{name.replace('_', ' ')}; repeat it for several.")
            for name, word in reversed(_LISTS.items())
        ),
        click.option("--rpm", type=click.IntRange(1), help="Requests a minute."),
        click.option("--tpm", type=click.IntRange(1), help="Tokens a minute."),
        click.option("--concurrency", type=click.IntRange(1), help="Requests at a time."),
        click.option("--budget", help="USD per hour, day, week, month or total, as 50/month."),
        click.option(
            "--cache", type=click.Choice(["never", "deterministic", "always"]), help="When answers are cached."
        ),
        click.option("--log-bodies/--no-log-bodies", default=None, help="Keep prompts and answers in the records."),
        click.option("--strategy", help="How its providers are chosen."),
        click.option("--objective", help="What they are chosen for."),
        click.option("--expires", callback=_expiry, help="When it ends: a time, or 90d, 12h, 30m from now."),
    ):
        command = option(command)
    return command


def _expiry(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None or value == "never":
        return value
    seconds = _seconds(value)
    if seconds is not None:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is no time such as 2027-01-31 or 90d.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _since(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    seconds = None if value is None else _seconds(value)
    if seconds is None:
        return value
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def _overlap(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    seconds = float(value) if value.isdigit() else _seconds(value)
    if seconds is None:
        raise click.BadParameter(f"'{value}' is no time such as 1h or 90s.")
    return seconds


def _seconds(text: str) -> float | None:
    return float(text[:-1]) * _UNITS[text[-1]] if text[:-1].isdigit() and text[-1] in _UNITS else None


@keys.command()
@click.argument("name")
@_granting
@connected
def create(name: str, url: str, key: str | None, as_json: bool, **wanted: Any) -> None:
    """Make a key for NAME, and print its text, which is told this once."""
    made = Caller(url, key).ask("POST", "/api/keys", {"name": name, **_body(wanted)})
    _told_once(made, as_json=as_json)


@keys.command(name="list")
@click.option("--tag", help="Those with this tag only.")
@connected
def list_keys(tag: str | None, url: str, key: str | None, as_json: bool) -> None:
    """All keys of the API, newest first, revoked ones among them."""
    found = list(Caller(url, key).pages("/api/keys", "keys", tag=tag))
    if as_json:
        tell(found)
        return
    table = Table("id", "name", "key", "state", "scopes", "tags", "expires", title="Keys")
    for one in found:
        scopes, tags = (", ".join(sorted(one[field])) for field in ("scopes", "tags"))
        ends = one["expires_at"] or "–"
        table.add_row(*map(Text, (one["id"], one["name"], one["prefix"] + "…", one["state"], scopes, tags, ends)))
    Console().print(table)


@keys.command()
@click.argument("key_id", metavar="ID_OR_NAME")
@connected
def show(key_id: str, url: str, key: str | None, as_json: bool) -> None:
    """One key: all but its text."""
    _shown(Caller(url, key).ask("GET", f"/api/keys/{quote(key_id, safe='')}"), as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID_OR_NAME")
@_granting
@click.option("--any", "freed", multiple=True, type=click.Choice([_LISTS[name] for name in _RESTRICTIONS]),
              help="Let it use any model, provider, route or mcp-tool again.")  # fmt: skip
@connected
def update(key_id: str, freed: tuple[str, ...], url: str, key: str | None, as_json: bool, **wanted: Any) -> None:
    """Change what a key may do; what is not named stays, lists and rates are replaced whole."""
    body = _body(wanted) | {name: None for name in _RESTRICTIONS if _LISTS[name] in freed}
    _shown(Caller(url, key).ask("PATCH", f"/api/keys/{quote(key_id, safe='')}", body), as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID_OR_NAME")
@click.option("--overlap", default="0", callback=_overlap, help="How long the former text opens as well, as 1h. [0]")
@connected
def rotate(key_id: str, overlap: float, url: str, key: str | None, as_json: bool) -> None:
    """Give a key another text, and print it."""
    made = Caller(url, key).ask("POST", f"/api/keys/{quote(key_id, safe='')}/rotate", {"overlap": overlap})
    _told_once(made, as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID_OR_NAME")
@connected
def revoke(key_id: str, url: str, key: str | None, as_json: bool) -> None:
    """End a key, for good and everywhere within a second."""
    _shown(Caller(url, key).ask("DELETE", f"/api/keys/{quote(key_id, safe='')}"), as_json=as_json)


@click.command()
@click.option("--actor", help="Of whoever has this name.")
@click.option("--action", help="Such as key.revoke; key. for all of keys.")
@click.option("--target", help="On this key, workflow, schedule or execution.")
@click.option("--since", callback=_since, help="From then on: a time, or 90d, 12h, 30m ago.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="Most acts.")
@connected
def audit(url: str, key: str | None, as_json: bool, **wanted: Any) -> None:
    """What administrators did, newest first: who, what, when, from where."""
    query = "&".join(f"{name}={quote(str(value))}" for name, value in wanted.items() if value is not None)
    found = Caller(url, key).ask("GET", f"/api/audit?{query}")["acts"]
    if as_json:
        tell(found)
        return
    table = Table("when", "who", "what", "target", "before", "after", "from", title="Audit log")
    for one in found:
        what = (one["action"], one["target"] or "–", _brief(one["before"]), _brief(one["after"]))
        # As it is, and not as words for rich: names of callers with tokens are anybody's.
        table.add_row(*map(Text, (one["at"], one["actor"], *what, one["address"] or "–")))
    Console().print(table)


def _body(wanted: dict[str, Any]) -> dict[str, Any]:
    """What was said of a key, as the API takes it. Raises `click.UsageError`."""
    body: dict[str, Any] = {name: list(wanted[name]) for name in _LISTS if wanted[name]}
    for name in ("cache", "log_bodies", "strategy", "objective"):
        if wanted[name] is not None:
            body[name] = wanted[name]
    rates = {name: wanted[name] for name in ("rpm", "tpm", "concurrency") if wanted[name] is not None}
    if rates:
        body["rates"] = rates
    if wanted["budget"] is not None:
        body["budget"] = _budget(wanted["budget"])
    if wanted["expires"] is not None:
        body["expires_at"] = None if wanted["expires"] == "never" else wanted["expires"]
    return body


def _budget(text: str) -> dict[str, Any] | None:
    if text == "none":
        return None
    usd, _, period = text.partition("/")
    try:
        return {"usd": float(usd), **({"period": period} if period else {})}
    except ValueError:
        raise click.UsageError(f"--budget takes USD per period, such as 50/month, not '{text}'.") from None


def _told_once(made: Any, *, as_json: bool) -> None:
    if as_json:
        tell(made)
        return
    # The text alone on standard output, for whoever keeps it.
    click.echo(f"{made['id']}, named {made['name']}. Keep its text now, it is told this once:", err=True)
    click.echo(made["key"])


def _shown(one: Any, *, as_json: bool) -> None:
    if as_json:
        tell(one)
        return
    table = Table("field", "value", title=f"Key {one['name']}")
    for name, value in one.items():
        told = _brief(value) if isinstance(value, dict | list) else str("–" if value is None else value)
        table.add_row(name, Text(told))
    Console().print(table)


def _brief(value: Any) -> str:
    """A tree on one line."""
    return "–" if value is None else json.dumps(value, ensure_ascii=False)
