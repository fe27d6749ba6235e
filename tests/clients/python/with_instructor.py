"""Instructor: `through` says how it makes the model keep to a schema."""

from __future__ import annotations

from typing import Any

import instructor
import openai
from obeying import GATEWAY, Parcel, obey

MODES = {
    "tools": instructor.Mode.TOOLS,
    "strict": instructor.Mode.TOOLS_STRICT,
    "json_schema": instructor.Mode.JSON_SCHEMA,
    "responses": instructor.Mode.RESPONSES_TOOLS,
}


def asked(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    theirs = openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key=order["key"], max_retries=order["retries"])
    client = instructor.from_openai(theirs, mode=MODES[order["through"]])
    return client, {"model": order["model"], "messages": [{"role": "user", "content": order["said"]}], "max_retries": 1}


def structured(order: dict[str, Any]) -> Any:
    client, said = asked(order)
    return {"value": client.chat.completions.create(response_model=Parcel, **said).model_dump()}


def structured_streamed(order: dict[str, Any]) -> Any:
    client, said = asked(order)
    *_, last = client.chat.completions.create_partial(response_model=Parcel, **said)
    return {"value": last.model_dump()}


obey({"structured": structured, "structured_streamed": structured_streamed})
