"""`/api/db/*`: the request log, of one's own key or for administrators of all, and the cache."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, Request, delete, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import convert, to_builtins
from msgspec.structs import replace

from cache import prefix_of
from gateway.api.access import Gateway, acting, admin, principal_of, records_reader
from gateway.api.answers.records import (
    CacheAnswer,
    ClearedAnswer,
    LogAnswer,
    RecordAnswer,
    RecordPage,
    shown,
    totals,
)
from gateway.api.times import unix
from gateway.errors import Busy, Forbidden, NotFound
from gateway.records import Filters

_Request = Request[object, object, State]
#: Seconds of the log that totals are about when nobody says.
_DAY = 86_400.0


class Database(Controller):
    """What was recorded."""

    path = "/api/db"
    guards = [records_reader]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Records"]  # noqa: RUF012 - as above

    @get("/stats", summary="Totals of the request log")
    async def stats(self, gateway: Gateway, request: _Request, since: FromQuery[datetime | None] = None) -> LogAnswer:
        """Requests, errors, tokens, cost, cache hits and latency, in total and by deployment.

        Of your own key, or with the admin key of all. Of the last 24 hours, or since a time: from the beginning of the
        five minutes it is in.
        """
        begin, by = unix(since) if since else gateway.wall() - _DAY, principal_of(request)
        records = gateway.records
        return totals(await (records.stats(begin) if by.admin else records.stats_of(by.name, begin)))

    @get("/requests/recent", summary="Recent requests, newest first")
    async def recent(
        self,
        gateway: Gateway,
        request: _Request,
        provider: FromQuery[str | None] = None,
        model: FromQuery[str | None] = None,
        status: Annotated[int | None, QueryParameter(ge=100, le=599)] = None,
        key: FromQuery[str | None] = None,
        cached: FromQuery[bool | None] = None,
        since: FromQuery[datetime | None] = None,
        cursor: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> RecordPage:
        """A page of your own requests; `next_cursor` leads to the next, and is null on the last.

        With the admin key of everybody's, or of one `key`'s by its name.
        """
        by = principal_of(request)
        if not by.admin:
            if key not in {None, by.name}:
                raise Forbidden(f"The key '{by.name}' may read its own requests only. Leave 'key' out.")
            key = by.name
        wanted = Filters(
            provider=provider,
            model=model,
            status=status,
            key=key,
            cached=cached,
            since=unix(since) if since else None,
        )
        page = await gateway.records.recent(wanted, cursor=cursor, limit=limit)
        return RecordPage([shown(record) for record in page.items], page.next)

    @get("/requests/{request_id:str}", summary="One request with its attempts")
    async def request(self, gateway: Gateway, request: _Request, request_id: FromPath[str]) -> RecordAnswer:
        """Everything recorded of it; its bodies only when body logging was on. With the admin key, of anybody's."""
        by = principal_of(request)
        found = await gateway.records.get(request_id, tenant=None if by.admin else by.name)
        if found is None:
            raise NotFound(f"No request '{request_id}' is recorded (records appear after the log's flush interval).")
        return shown(found)

    @get("/cache/stats", summary="Cache counts", guards=[admin])
    async def cache_stats(self, gateway: Gateway) -> CacheAnswer:
        """Hits, misses, writes, evictions, errors."""
        counts = to_builtins(gateway.store.stats())
        looked = counts["hits"] + counts["misses"]
        return convert({**counts, "hit_rate": counts["hits"] / looked if looked else None}, CacheAnswer)

    @delete("/cache/clear", summary="Clear the cache", status_code=HTTP_200_OK, guards=[admin])
    async def clear(
        self,
        gateway: Gateway,
        request: Request[object, object, State],
        model: FromQuery[str | None] = None,
        prefix: FromQuery[str | None] = None,
    ) -> ClearedAnswer:
        """Drop every kept answer, or those of a model (as asked for), or those whose key begins with `prefix`."""
        act = acting(request, "cache.clear", model or prefix)
        start = prefix_of(model) if model is not None else (prefix or "")
        try:
            cleared = await gateway.fleet.clear(start)
        except ConnectionError as exc:
            raise Busy(str(exc), retry_after=5.0) from exc
        await gateway.audit.record(replace(act, after={"dropped": cleared}))
        return ClearedAnswer(cleared)
