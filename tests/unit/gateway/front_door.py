"""The way in without a server: ASGI messages in, ASGI messages out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from gateway.api.chat import CHAT_COMPLETIONS
from gateway.api.ingress import Ingress, Surface
from gateway.governance.entrance import Entrance
from gateway.governance.guessing import Guesses
from gateway.governance.keys import Principal, Principals
from gateway.pipeline import Pipeline
from gateway.responses import Responses
from gateway.sessions import Sessions


class Answered(msgspec.Struct):
    """What the caller got, message by message."""

    messages: list[Any] = []

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.messages[0]["headers"]}

    @property
    def pieces(self) -> list[bytes]:
        return [one["body"] for one in self.messages[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class Door:
    """An ingress over a pipeline. Callers stay on the line until they are answered."""

    def __init__(
        self, pipeline: Pipeline, *, sessions: Sessions | None = None, keys: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.turned_away: list[tuple[str, int]] = []
        known = Principals(
            [(Principal(name), key) for name, key in keys], None, open_to_all=False, salt=b"x" * 16, wall=lambda: 0.0
        )
        guesses = Guesses(0, monotonic=asyncio.get_running_loop().time, counted=lambda how: None)
        self.ingress = Ingress(
            pipeline,
            Entrance(known, None, guesses),
            cast("Sessions", sessions),
            cast("Responses", None),
            body_limit=2**20,
            request_id_header="X-Request-Id",
            log_bodies=False,
            debug=False,
            wall=lambda: 1_700_000_000.0,
            monotonic=asyncio.get_running_loop().time,
            rng=random.Random(1),
            turned_away=lambda surface, status: self.turned_away.append((surface, status)),
        )

    async def post(
        self,
        body: bytes | dict[str, object],
        *,
        surface: Surface = CHAT_COMPLETIONS,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> Answered:
        """Send one request and read its whole answer."""
        said = msgspec.json.encode(body) if isinstance(body, dict) else body
        answered = Answered()
        inbox: list[Any] = [{"type": "http.request", "body": said, "more_body": False}]

        async def receive() -> Any:
            return inbox.pop(0) if inbox else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            answered.messages.append(message)

        scope: Any = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
        await self.ingress.serve(surface, scope, receive, send)
        return answered
