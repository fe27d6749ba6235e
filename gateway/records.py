"""The request log as the gateway sees it: finished exchanges in, records out. The store stays behind this door.

Law: taking an exchange neither waits nor fails the request. A database that is away at start is migrated when it
comes, and the records spill to disk until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import asdict

from dwa import unfolded
from gateway.blanking import blanked
from gateway.errors import BadRequest
from gateway.exchange import Attempt, Exchange
from gateway.remembering import KEPT_EVERY, Remembering
from gateway.settings.tree import Settings
from gateway.store import exchanges, migrate, own_totals, retention, snapshots, totals
from gateway.store.engine import Database, PoolSettings
from gateway.store.errors import SchemaUnknown, StoreUnavailable
from gateway.store.exchanges import Filters, Page
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.request_log import LogLimits, RequestLog
from gateway.store.totals import LogTotals, Totals

__all__ = [
    "ExchangeRecord",
    "Filters",
    "LogTotals",
    "Records",
    "StoreUnavailable",
    "Totals",
    "record_of",
]

_log = logging.getLogger("steelyard.records")
#: Among a record's tags: what guardrails did, and the trace that it is part of.
_GUARDRAILS, _TRACE = "steelyard_guardrails", "steelyard_trace_id"
#: Seconds between two tries to migrate a database that is away.
_RETRY_EVERY = 2.0
#: Longest wait, in seconds, for the record of a request that has just been answered.
_FLUSH_WITHIN = 3.0
#: Seconds for which snapshots of the DWA are kept: a week of history, at two a minute some 20,000 rows.
_SNAPSHOTS_KEPT = 7 * 86_400.0
#: Seconds between two looks at what the log must forget and which partitions it needs: as often as what it forgets by
#: is written down.
_TIDY_EVERY = KEPT_EVERY


class Records:
    """The log, and what can be asked of it."""

    def __init__(self, settings: Settings, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Log to the settings' database; nothing is opened before `start`. `wall` tells Unix seconds."""
        wanted, limits = settings.database, settings.request_log
        self._keep_days, self._wall = limits.retention_days, wall
        self._keep_responses = settings.responses.retention_days
        self._keep_acts = settings.audit.retention_days
        self._keep_sessions = settings.sessions.retention_days
        self._url = wanted.url.reveal()
        self.database = Database(
            self._url,
            PoolSettings(
                echo=wanted.echo,
                pool_size=wanted.pool_size,
                max_overflow=wanted.max_overflow,
                pool_timeout=wanted.pool_timeout,
                pool_recycle=wanted.pool_recycle,
            ),
        )
        self.log = RequestLog(
            self.database,
            limits.spill_dir,
            LogLimits(queue_rows=limits.queue_size, flush_seconds=limits.flush_interval, spill_bytes=limits.spill_max),
        )
        self.migrated = asyncio.Event()
        #: By which all that is in the database grows old.
        self.remembering = Remembering(self.database, wall=wall, monotonic=monotonic)
        self._migration_problem: str | None = None

    async def start(self) -> None:
        """Begin to log; the database need not be there."""
        await self.log.start()

    async def migrate_until_done(self) -> None:
        """Bring the schema up, however long the database is away."""
        while not self.migrated.is_set():
            try:
                newer = await migrate.ready(self._url)
            except (StoreUnavailable, SchemaUnknown) as exc:
                if self._migration_problem is None:
                    _log.warning("the database is not ready", extra={"error": str(exc)})
                self._migration_problem = str(exc)
                await asyncio.sleep(_RETRY_EVERY)
            else:
                self._migration_problem = None
                if newer is not None:
                    _log.warning("the schema is a newer version's", extra={"revision": newer, "ours": migrate.head()})
                self.migrated.set()

    async def keep_tidy(self) -> None:
        """Forget what is too old, and make room for what comes, now and then until cancelled."""
        await self.migrated.wait()
        while True:
            try:
                by = await self.remembering.look()
                done = await retention.tidy(self.database, self._wall(), self._keep_days, forget_by=by)
                forgotten = await retention.tidy_responses(self.database, by, self._keep_responses)
                acts = await retention.tidy_acts(self.database, by, self._keep_acts)
                forgotten += await retention.tidy_sessions(self.database, by, self._keep_sessions)
            except StoreUnavailable as exc:
                _log.warning("the log was not tidied", extra={"error": str(exc)})
            except Exception:  # noqa: BLE001 - a vote for a row that is just going is enough; nobody else makes the weeks
                _log.exception("the log was not tidied")
            else:
                if done != retention.Tidied():
                    _log.info("the log was tidied", extra=asdict(done))
                if forgotten:
                    _log.info("old responses and sessions were forgotten", extra={"rows": forgotten})
                if acts:
                    _log.info("old administrative acts were forgotten", extra={"rows": acts})
            await asyncio.sleep(_TIDY_EVERY)

    async def stop(self) -> None:
        """Write what is in memory, to the database or else to the disk."""
        await self.log.close()
        await self.database.dispose()

    def take(self, exchange: Exchange) -> None:
        """The sink: one finished exchange."""
        exchange.logged = self.log.offer(record_of(exchange))

    async def problem(self) -> str | None:
        """What is wrong with the database right now, without any password."""
        if self._migration_problem is not None:
            return self._migration_problem
        try:
            await self.database.ping()
        except StoreUnavailable as exc:
            return str(exc)
        return None

    async def get(self, request_id: str, *, tenant: str | None = None) -> ExchangeRecord | None:
        """One request with its attempts; None when there is none, or it is not that tenant's (None: anybody's).

        Its decision is in the columns of `dwa.Decision`, however it was kept.
        """
        found = await exchanges.get(self.database, request_id)
        if found is None:
            # It may have been answered this instant: write what waits, and look again.
            # A log that takes longer than that is writing to the disk, where no query finds it.
            with suppress(TimeoutError):
                await asyncio.wait_for(self.log.flush(), _FLUSH_WITHIN)
            found = await exchanges.get(self.database, request_id)
        if found is None or (tenant is not None and found.tenant != tenant):
            return None
        if found.decision is not None:
            found.decision = unfolded(found.decision)
        return found

    async def recent(self, filters: Filters, *, cursor: str | None, limit: int) -> Page:
        """A page of requests. Raises `BadRequest` for a cursor that no page gave."""
        try:
            return await exchanges.recent(self.database, filters, cursor, limit)
        except ValueError as exc:
            raise BadRequest(f"The cursor is {exc}. Use 'next_cursor' of the page before.", param="cursor") from exc

    async def stats(self, since: float) -> LogTotals:
        """Totals since the five minutes that a moment, in Unix seconds, is in."""
        return await totals.stats(self.database, since)

    async def stats_of(self, key_name: str, since: float) -> LogTotals:
        """The same of one key's requests."""
        return await own_totals.stats_of(self.database, key_name, since)

    async def spent(self, key_name: str, since: float) -> float:
        """USD that a key's requests have cost since a moment in Unix seconds. Raises `StoreUnavailable`."""
        return float(await totals.spent(self.database, key_name, since))

    async def save_snapshot(self, state: dict[str, object], weights: dict[str, float], at: float) -> None:
        """Keep what the DWA knows. Raises `StoreUnavailable`."""
        await snapshots.save_snapshot(self.database, snapshots.Snapshot(at, state, weights))
        await snapshots.forget(self.database, self.remembering.now() - _SNAPSHOTS_KEPT)

    async def latest_snapshot(self) -> tuple[dict[str, object], float] | None:
        """The newest snapshot and its Unix time. Raises `StoreUnavailable`."""
        found = await snapshots.latest_snapshot(self.database)
        return None if found is None else (found.state, found.at)

    async def history(self, since: float, limit: int) -> list[snapshots.Weights]:
        """The DWA's weights over time, oldest first, since a moment in Unix seconds. Raises `StoreUnavailable`."""
        return await snapshots.history(self.database, since, limit)


def record_of(exchange: Exchange) -> ExchangeRecord:
    """The record of an exchange."""
    usage = exchange.usage
    # In the order of the fields; see there.
    return ExchangeRecord(
        exchange.id,
        exchange.created,
        exchange.surface,
        exchange.dialect,
        exchange.requested_model,
        exchange.principal,
        exchange.principal,
        exchange.route,
        exchange.provider,
        exchange.model,
        exchange.strategy,
        exchange.objective,
        exchange.reason,
        exchange.status,
        exchange.outcome,
        exchange.error_type,
        exchange.error_code,
        exchange.error_source,
        exchange.error_message,
        exchange.stream,
        exchange.cache,
        exchange.simulated,
        exchange.finish_reason,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        exchange.cost,
        exchange.seconds,
        exchange.ttft,
        exchange.overhead * 1000,
        exchange.preferences.session_id,
        exchange.user,
        exchange.dropped,
        exchange.tags if not exchange.guardrails and exchange.trace is None else _tags(exchange),
        # A choice that another exchange made is told with that one as well: who joined was answered by it.
        exchange.ranking.record() if exchange.ranking else None,
        [_attempt(number, one) for number, one in enumerate(exchange.attempts)],
        blanked(exchange.request_body),
        blanked(exchange.response_body),
        exchange.caller.tags if exchange.caller is not None else (),
        exchange.charges,
    )


def _tags(exchange: Exchange) -> dict[str, Any]:
    """The caller's, and what the gateway has to add."""
    tags = dict(exchange.tags or {})
    if exchange.guardrails:
        tags[_GUARDRAILS] = [*exchange.guardrails]
    if exchange.trace is not None:
        tags[_TRACE] = exchange.trace.trace_id
    return tags


def _attempt(number: int, attempt: Attempt) -> AttemptRecord:
    usage = attempt.usage
    return AttemptRecord(
        seq=number,
        provider=attempt.provider,
        model=attempt.model,
        outcome=attempt.outcome,
        status=attempt.status,
        code=attempt.code,
        message=attempt.message,
        started_s=attempt.started,
        seconds=attempt.seconds,
        ttft_s=attempt.ttft,
        input_tokens=usage.input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        cost_usd=attempt.cost,
    )
