"""`steelyard cache warm`: a running gateway's cache is filled with what was asked before.

Each caller's answers are its own, and the key that asks decides whose they are: so the requests of one caller are asked
again with that caller's key, and nobody else's. What is asked is what is in the log, byte for byte, as the cache knows
questions by their bytes.

Road not taken: putting the answers of the log into the cache. The log does not keep a request's headers, which are part
of the question, nor which guardrails an answer has passed, and it masks what looks like a key or an address: what came
out of the cache would not always be what the caller would have been answered.
"""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from itertools import islice
from typing import Any
from urllib.parse import quote

import rich_click as click
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.blanking import MASK
from gateway.cli.workflows.calling import Caller, Refused, connected, tell

#: Where a request of a surface goes. Others are kept by nobody, or keep something each time they are asked.
_PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "embeddings": "/v1/embeddings",
    "orchestrate": "/api/llm/orchestrate",
    "generate_content": "/v1beta/models/{model}:generateContent",
    "embed_content": "/v1beta/models/{model}:embedContent",
    "batch_embed_contents": "/v1beta/models/{model}:batchEmbedContents",
}
#: What the cache had to do with a request whose answer it may keep.
_KEPT = ("hit", "miss", "coalesced")
#: Seconds for an answer, of which a long one takes minutes.
_PATIENCE = 600.0
#: Seconds until a request must be in the log (STEELYARD_LOG_FLUSH_INTERVAL is 0.2), and between two looks.
_WRITTEN_WITHIN, _AGAIN = 10.0, 0.1
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}


class Question(Struct):
    """What was asked, how often, and what it cost when a provider was asked, USD; None: it never was."""

    path: str
    body: bytes
    tenant: str
    times: int = 1
    cost: float | None = None


class Seen(Struct):
    """What is in the log of a period: questions by path and body, and how many requests are none that can be asked."""

    questions: dict[tuple[str, bytes], Question] = {}
    without_body: int = 0
    masked: int = 0
    other: int = 0


@click.group()
def cache() -> None:
    """The cache of a running gateway."""


def _age(_context: click.Context, _parameter: click.Parameter, value: str) -> datetime:
    try:
        if not value[:-1].isdecimal():
            raise ValueError
        return datetime.now(UTC) - timedelta(seconds=int(value[:-1]) * _UNITS[value[-1:]])
    except (ValueError, KeyError, OverflowError) as exc:
        raise click.BadParameter(f"'{value}' is no time such as 30m, 24h or 7d.") from exc


@cache.command()
@click.option("--since", default="24h", show_default=True, callback=_age, help="How far to look back: 30m, 24h, 7d.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="Most questions; the most asked first."
)
@click.option("--scan", default=2_000, show_default=True, type=click.IntRange(1), help="Newest requests looked at.")
@click.option("--model", help="Of requests that this model answered only.")
@click.option("--of", "whose", help="Of the key of this name: the one of --key, where that may read others' requests.")
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 64), help="Asked at a time.")
@click.option("--refresh", is_flag=True, help="Ask also what is in the cache, and keep the new answer.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked, and what it may cost.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def warm(
    since: datetime, limit: int, scan: int, model: str | None, whose: str | None, concurrency: int,
    refresh: bool, dry_run: bool, yes: bool, url: str, key: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Ask again what the caller of --key has asked, so that its next requests are answered from the cache.

    It needs bodies in the log (STEELYARD_LOG_BODIES, or a key's own setting). Providers are asked, and the key pays for
    it, within its limits; what is in the cache already costs nothing. Requests of sessions are left out.
    """
    caller = Caller(url, key)
    seen = _seen(caller, since.isoformat(), scan, model, whose)
    chosen = sorted(seen.questions.values(), key=lambda one: -one.times)[:limit]
    if not chosen:
        raise click.ClickException(_why_none(seen))
    cost = sum(one.cost or 0.0 for one in chosen)
    unknown = sum(one.cost is None for one in chosen)
    said = f"{len(chosen)} questions of '{chosen[0].tenant}', which cost {cost:.4f} USD when they were asked"
    click.echo(said + (f"; {unknown} of unknown cost" if unknown else "") + ".", err=True)
    for number, what in ((seen.without_body, "without their bodies"), (seen.masked, "with something masked in them")):
        if number:
            click.echo(f"{number} requests are in the log {what}, and are left out.", err=True)
    if dry_run:
        return
    if not yes:
        click.confirm("Ask them again?", abort=True, err=True)
    done = _ask_all(caller, chosen, concurrency, refresh=refresh)
    if as_json:
        tell(done)
    else:
        click.echo(f"{done['kept']} asked and kept, {done['there']} there already, {done['failed']} failed.")
    if done["failed"]:
        raise click.ClickException(f"Of those that failed the first: {done['error']}")


def _seen(caller: Caller, since: str, scan: int, model: str | None, whose: str | None) -> Seen:
    found = Seen(questions={})
    for record in _records(caller, since, scan, model, whose):
        path = _PATHS.get(record["surface"])
        if path is None or record["cache"] not in _KEPT or record["outcome"] != "ok" or record["session_id"]:
            found.other += 1
            continue
        whole = caller.ask("GET", f"/api/db/requests/{record['id']}")
        text = whole["request_body"]
        if not text:
            found.without_body += 1
        elif MASK in text:
            found.masked += 1
        else:
            _count(found, path.format(model=quote(record["requested_model"], safe="")), text.encode(), whole)
    tenants = {one.tenant for one in found.questions.values()}
    if len(tenants) > 1:
        raise click.ClickException(
            f"This key reads the requests of {len(tenants)} callers, and can warm its own only: run this with each "
            "caller's key, or name the one of this key by --of."
        )
    return found


def _records(caller: Caller, since: str, scan: int, model: str | None, whose: str | None) -> Iterator[Any]:
    listed = caller.pages("/api/db/requests/recent", "requests", since=since, model=model, key=whose, status="200")
    try:
        yield from islice(listed, scan)
    except Refused as exc:
        if exc.status == 403 and whose is not None:
            raise Refused("This key may read its own requests only: leave --of out.") from exc
        raise


def _count(found: Seen, path: str, body: bytes, record: Any) -> None:
    known = found.questions.get((path, body))
    if known is None:
        known = found.questions[path, body] = Question(path, body, record["tenant"], 0)
    known.times += 1
    if known.cost is None and record["cache"] == "miss":
        known.cost = record["cost_usd"]


def _why_none(seen: Seen) -> str:
    if seen.without_body:
        return (
            f"{seen.without_body} requests could be asked again, and none has its body in the log: set "
            "STEELYARD_LOG_BODIES=true, or log_bodies of a key, and come back when there is traffic."
        )
    if seen.masked:
        return "In each request there is something that the log has masked: none is what was asked."
    return "No request of that time has an answer that the cache may keep. Look further back: --since 7d, --scan 10000."


def _ask_all(caller: Caller, chosen: Sequence[Question], concurrency: int, *, refresh: bool) -> dict[str, Any]:
    done: dict[str, Any] = {"kept": 0, "there": 0, "failed": 0, "error": None}
    counting = threading.Lock()
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking", total=len(chosen))

        def one(question: Question) -> str | None:
            """The request's id, if it was answered."""
            state, told = _asked(caller, question, refresh=refresh)
            with counting:
                done[state] += 1
                if state == "failed" and done["error"] is None:
                    done["error"] = told
            progress.advance(task)
            return None if state == "failed" else told

        # One after the other until one is answered: by that one is known whose they are.
        rest = iter(chosen)
        for question in rest:
            if request_id := one(question):
                _require_own(caller, question, request_id)
                break
        with ThreadPoolExecutor(concurrency) as several:
            list(several.map(one, rest))
    return done


def _require_own(caller: Caller, question: Question, request_id: str) -> None:
    record = _record(caller, request_id)
    if record["tenant"] != question.tenant:
        raise click.ClickException(
            f"These are the requests of '{question.tenant}', and --key is that of '{record['tenant']}', whose cache is "
            f"another: use the key of '{question.tenant}'. One was asked."
        )


def _record(caller: Caller, request_id: str) -> Any:
    """A request that was answered just now: the worker that answered it writes it down a moment later."""
    until = time.monotonic() + _WRITTEN_WITHIN
    while True:
        try:
            return caller.ask("GET", f"/api/db/requests/{request_id}")
        except Refused as exc:
            if exc.status != 404 or time.monotonic() > until:
                raise
        time.sleep(_AGAIN)


def _asked(caller: Caller, question: Question, *, refresh: bool) -> tuple[str, str]:
    """What became of it, and its id; or why it failed."""
    connection, prefix = caller.connection(_PATIENCE)
    headers = {"content-type": "application/json", "x-steelyard-cache": "refresh" if refresh else "on"}
    if caller.key:
        headers["authorization"] = f"Bearer {caller.key}"
    try:
        connection.request("POST", prefix + question.path, question.body, headers)
        answer = connection.getresponse()
        # Of a stream all: one that is left is not kept.
        body = answer.read()
    except (OSError, HTTPException) as exc:
        return "failed", f"{type(exc).__name__}: {exc}"
    finally:
        connection.close()
    if answer.status != 200:
        return "failed", f"{answer.status}: {body[:300].decode(errors='replace')}"
    there = answer.getheader("x-steelyard-cache") == "hit"
    return "there" if there else "kept", answer.getheader("x-steelyard-request-id") or ""
