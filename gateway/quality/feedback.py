"""Votes on answers: kept in the database, and taught to the DWA.

Law: the DWA hears of a vote once. A second vote of the same source on the same request and metric replaces the first,
and the DWA is taught the difference of the scores, at the weight the first was counted with; so repeating a vote
changes nothing. What is taught is noted after it is kept: a process that dies between the two forgets to teach a vote,
and never teaches one twice.

A source is the caller together with the end user it named for the request (`user`); the caller as a whole is the crowd
of its users. An answer from the cache, or shared with whoever asked first, is a vote on the deployment that wrote it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b

from msgspec.structs import replace

from dwa.quality import JUDGE
from gateway.errors import BadRequest, Conflict, NotFound
from gateway.fleet import Fleet
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.records import ExchangeRecord, Records
from gateway.store import feedback
from gateway.store.feedback import MAX_COMMENT, Vote, Votes
from gateway.store.text import scrubbed

__all__ = ["JUDGE", "MAX_COMMENT", "METRIC", "Feedback", "Vote", "Votes"]

#: What a vote is about when it does not say.
METRIC = "overall"


class Feedback:
    """Takes votes."""

    def __init__(
        self,
        records: Records,
        dwa: Fleet,
        *,
        wall: Callable[[], float],
        rng: random.Random,
        heard: Callable[[str], None],
    ) -> None:
        """Keep votes beside `records`, teach `dwa`; `heard` is told of each new one: `caller` or `judge`."""
        self._records = records
        self._dwa = dwa
        self._wall = wall
        self._rng = rng
        self._heard = heard

    async def vote(
        self, principal: Principal, request_id: str, score: float, *, metric: str = METRIC, comment: str | None = None
    ) -> tuple[Vote, bool]:
        """A caller's vote, 0..1, as it was kept; and whether it is new.

        Raises:
            NotFound: there is no such request, or it is not this caller's.
            Conflict: nobody answered it.
            StoreUnavailable: the database is away; nothing was kept or taught.
        """
        record = await self._records.get(request_id, tenant=None if principal.admin else principal.name)
        if record is None:
            raise NotFound(f"No request '{request_id}' is recorded (records appear after the log's flush interval).")
        if record.provider is None or record.model is None:
            raise Conflict(
                f"No deployment answered the request '{request_id}' (it ended with status {record.status}), "
                "so there is no answer to rate."
            )
        user = record.end_user if principal.name == record.tenant else None
        source = f"{principal.name}/{user}" if user else principal.name
        vote = self._drafted(record, source, score, metric, comment)
        earlier = await feedback.put(self._records.database, vote)
        if earlier is not None:
            return self._revised(earlier, vote), False
        crowd = _digest(principal.name) if user else None
        return await self._taught(vote, record, _digest(source), crowd), True

    async def grade(self, request_id: str, score: float) -> bool:
        """The judge's vote, 0..1, unless the request's record is missing, or says that nobody answered; whether.

        Raises:
            StoreUnavailable: the database is away; nothing was kept or taught.
        """
        record = await self._records.get(request_id)
        if record is None or record.provider is None:
            return False
        vote = self._drafted(record, JUDGE, score, JUDGE, None)
        if await feedback.put(self._records.database, vote) is None:
            await self._taught(vote, record, JUDGE, None)
        return True

    async def listed(
        self,
        principal: Principal,
        *,
        request_id: str | None,
        since: float | None,
        cursor: str | None,
        limit: int,
    ) -> Votes:
        """A page of votes, newest first: on the caller's own requests, for an administrator on everybody's.

        `since` in Unix seconds. Raises `BadRequest` for a cursor that no page gave, and `StoreUnavailable`.
        """
        try:
            return await feedback.listed(
                self._records.database,
                tenant=None if principal.admin else principal.name,
                request_id=request_id,
                since=since,
                cursor=cursor,
                limit=limit,
            )
        except ValueError as exc:
            raise BadRequest(f"The cursor is {exc}. Use 'next_cursor' of the page before.", param="cursor") from exc

    def _drafted(self, record: ExchangeRecord, source: str, score: float, metric: str, comment: str | None) -> Vote:
        now = self._wall()
        return Vote(
            id=new_id("fb", now, self._rng),
            created_at=now,
            updated_at=now,
            request_id=record.id,
            tenant=record.tenant,
            source=source,
            metric=metric,
            score=score,
            comment=None if comment is None else scrubbed(comment),
            provider=record.provider or "",
            model=record.model or "",
            route=record.requested_model,
        )

    async def _taught(self, vote: Vote, record: ExchangeRecord, source: str, crowd: str | None) -> Vote:
        weight = self._dwa.rate(
            f"{vote.provider}/{vote.model}",
            vote.route,
            vote.score,
            source,
            crowd=crowd,
            age=max(vote.created_at - record.created_at, 0.0),
        )
        self._heard("judge" if source == JUDGE else "caller")
        await feedback.weigh(self._records.database, vote.id, weight)
        return replace(vote, weight=weight)

    def _revised(self, earlier: Vote, vote: Vote) -> Vote:
        if earlier.weight and earlier.score != vote.score:
            self._dwa.revise(
                f"{earlier.provider}/{earlier.model}",
                earlier.route,
                vote.score - earlier.score,
                earlier.weight,
                age=max(vote.updated_at - earlier.created_at, 0.0),
            )
        return replace(vote, id=earlier.id, created_at=earlier.created_at, weight=earlier.weight)


def _digest(name: str) -> str:
    """A short name of bounded length that tells nobody's: the DWA's snapshots go to places where records do not."""
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
