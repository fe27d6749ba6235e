"""What `/api/feedback` answers."""

from datetime import UTC, datetime

from msgspec import Struct

from gateway.quality.feedback import Vote


class FeedbackAnswer(Struct):
    """A vote as it was kept.

    `score` is 0..1, `source` the caller, with the end user it had named for the request after a slash, or `judge`.
    `provider` and `model` wrote the answer, `route` is what had been asked for. `weight`, 0..1, is what the DWA counted
    the vote with: less with each further vote of one source, and for an old answer; null when it never heard of it.
    """

    id: str
    request_id: str
    created_at: datetime
    updated_at: datetime
    source: str
    metric: str
    score: float
    comment: str | None
    provider: str
    model: str
    route: str
    weight: float | None


class FeedbackPage(Struct):
    """Some votes, newest first; `next_cursor` leads to the next page, and is null on the last."""

    feedback: list[FeedbackAnswer]
    next_cursor: str | None


def vote(one: Vote) -> FeedbackAnswer:
    """A vote for people: its times as dates."""
    return FeedbackAnswer(
        id=one.id,
        request_id=one.request_id,
        created_at=datetime.fromtimestamp(one.created_at, UTC),
        updated_at=datetime.fromtimestamp(one.updated_at, UTC),
        source=one.source,
        metric=one.metric,
        score=one.score,
        comment=one.comment,
        provider=one.provider,
        model=one.model,
        route=one.route,
        weight=one.weight,
    )
