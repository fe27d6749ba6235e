"""`/api/feedback`: what callers say of answers, which the DWA weighs under objectives with a weight for quality."""

from datetime import datetime
from typing import Annotated, Literal

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED
from msgspec import Meta, Struct

from gateway.api.access import Gateway, caller, principal_of, records_reader
from gateway.api.answers.feedback import FeedbackAnswer, FeedbackPage, vote
from gateway.api.times import unix
from gateway.errors import BadRequest
from gateway.quality.feedback import MAX_COMMENT, METRIC

_Request = Request[object, object, State]
_THUMBS = {"up": 1.0, "down": 0.0}


class FeedbackRequest(Struct, forbid_unknown_fields=True):
    """A vote on the answer to a request: exactly one of `score` (0..1, the better the higher) and `thumbs`.

    `metric` tells votes on one request apart; the DWA hears of all of them alike.
    """

    request_id: str
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    thumbs: Literal["up", "down"] | None = None
    metric: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = METRIC
    comment: Annotated[str, Meta(max_length=MAX_COMMENT)] | None = None


class Feedback(Controller):
    """Votes on answers."""

    path = "/api/feedback"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Feedback"]  # noqa: RUF012 - as above

    @post(
        summary="Rate the answer to a request",
        responses={
            HTTP_200_OK: ResponseSpec(
                FeedbackAnswer, generate_examples=False, description="It replaced an earlier one."
            )
        },
    )
    async def rate(
        self, gateway: Gateway, request: _Request, data: JSONBody[FeedbackRequest]
    ) -> Response[FeedbackAnswer]:
        """201 for a new vote, 200 for one that replaces your earlier vote on this request and metric.

        404 unless the request is yours, 409 when no deployment answered it.
        """
        kept, new = await gateway.feedback.vote(
            principal_of(request), data.request_id, _score(data), metric=data.metric, comment=data.comment
        )
        return Response(vote(kept), status_code=HTTP_201_CREATED if new else HTTP_200_OK)

    @get(summary="List votes, newest first", guards=[records_reader])
    async def listed(
        self,
        gateway: Gateway,
        request: _Request,
        request_id: FromQuery[str | None] = None,
        since: FromQuery[datetime | None] = None,
        cursor: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> FeedbackPage:
        """A page of the votes on your own requests, or with the admin key on everybody's."""
        page = await gateway.feedback.listed(
            principal_of(request),
            request_id=request_id,
            since=unix(since) if since else None,
            cursor=cursor,
            limit=limit,
        )
        return FeedbackPage([vote(one) for one in page.items], page.next)


def _score(data: FeedbackRequest) -> float:
    if data.score is not None and data.thumbs is None:
        return data.score
    if data.thumbs is not None and data.score is None:
        return _THUMBS[data.thumbs]
    raise BadRequest("Give exactly one of 'score' and 'thumbs'.", param="score")
