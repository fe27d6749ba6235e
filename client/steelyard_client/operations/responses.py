"""Stored responses of `POST /v1/responses`, which is OpenAI's SDK's to ask."""

from __future__ import annotations

from typing import Literal

from steelyard_client.answers.responses import DeletedResponse, InputItems, ResponseAnswer
from steelyard_client.asking import Ask
from steelyard_client.operation import Operation

_ONE = "/v1/responses/{response_id}"


class Responses:
    """`/v1/responses/{id}`."""

    @Operation
    @staticmethod
    def get_response(response_id: str) -> Ask[ResponseAnswer]:
        """As it was answered."""
        return Ask(method="GET", address=_ONE, place={"response_id": response_id}, answer=ResponseAnswer)

    @Operation
    @staticmethod
    def delete_response(response_id: str) -> Ask[DeletedResponse]:
        """For good."""
        return Ask(method="DELETE", address=_ONE, place={"response_id": response_id}, answer=DeletedResponse)

    @Operation
    @staticmethod
    def cancel_response(response_id: str) -> Ask[ResponseAnswer]:
        """Refused as long as the gateway runs nothing in the background."""
        place = {"response_id": response_id}
        return Ask(method="POST", address=f"{_ONE}/cancel", place=place, answer=ResponseAnswer, repeatable=True)

    @Operation
    @staticmethod
    def list_response_inputs(
        response_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Ask[InputItems]:
        """All that the model was given, last first unless `order` is `asc`."""
        query = {"after": after, "limit": limit, "order": order}
        place = {"response_id": response_id}
        return Ask(method="GET", address=f"{_ONE}/input_items", place=place, query=query, answer=InputItems)
