"""The way in for every LLM surface: authenticate, read, parse, hand to the pipeline, write the answer. No policy.

These are bare ASGI handlers, not Litestar controllers: a controller costs more than everything the gateway adds to a
request, and a caller that hangs up is noticed on `receive`, which a controller hides.
"""

import asyncio
import logging
import random
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from litestar.types import HTTPScope, Message, Receive, Send
from msgspec import Struct

from gateway.api import preferences, wire
from gateway.api.faults import ErrorShape, defect, of_invalid, retry_after
from gateway.caching import Kept
from gateway.errors import BadRequest, GatewayError, WrongMethod
from gateway.exchange import Exchange, Preferences
from gateway.governance.keys import Principal, Principals
from gateway.identity import new_id
from gateway.pipeline import Ask, Pipeline
from gateway.sessions import Sessions
from providers.chat import Json
from providers.dialect import InvalidRequest

_log = logging.getLogger("steelyard.api")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Incoming(Struct):
    """A request that has been let in and read."""

    body: bytes
    headers: dict[bytes, bytes]
    exchange: Exchange


class Surface(Struct, frozen=True):
    """One LLM endpoint: how a request is understood, how an answer is dressed, how an error looks.

    `understand` raises `InvalidRequest` or a `GatewayError`. `dress` turns the kept answer into the body that is sent;
    without it the bytes go out as they are. `closing` adds the last events of a stream; `said` is the answer as the
    message that a session keeps.
    """

    name: str
    dialect: str
    shape: ErrorShape
    understand: Callable[[Incoming], Ask]
    dress: Callable[[Exchange, Kept], bytes] | None = None
    closing: Callable[[Exchange], bytes] | None = None
    said: Callable[[Exchange, Kept | None], Json] | None = None


class Ingress:
    """Serves surfaces."""

    def __init__(
        self,
        pipeline: Pipeline,
        principals: Principals,
        sessions: Sessions,
        *,
        body_limit: int,
        request_id_header: str,
        log_bodies: bool,
        debug: bool,
        clock: Callable[[], float],
        rng: random.Random,
        turned_away: Callable[[str, int], None],
    ) -> None:
        """Wire it; `clock` tells Unix seconds, `turned_away` hears of requests that never reach the pipeline."""
        self._pipeline = pipeline
        self._principals = principals
        self._sessions = sessions
        self._body_limit = body_limit
        self._request_id_header = request_id_header.lower().encode()
        self._log_bodies = log_bodies
        self._debug = debug
        self._clock = clock
        self._rng = rng
        self._turned_away = turned_away

    async def serve(self, surface: Surface, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now = self._clock()
        request_id = new_id("req", now, self._rng)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        returned = self._returned(headers, request_id)
        exchange: Exchange | None = None
        try:
            if scope["method"] != "POST":
                raise WrongMethod
            principal = self._principals.find(api_key(headers))
            wishes = preferences.read(scope["headers"])
            body = await wire.read_body(receive, headers, self._body_limit)
            opened = _open(surface, request_id, now, principal, wishes)
            if self._log_bodies:
                opened.request_body = body
            ask = surface.understand(Incoming(body, headers, opened))
            exchange = opened
            async with wire.Listener(receive):
                await self._answer(surface, ask, send, returned)
        except wire.HungUp:
            return
        except InvalidRequest as exc:
            await self._tell(surface, of_invalid(exc), send, returned, request_id, exchange)
        except GatewayError as exc:
            await self._tell(surface, exc, send, returned, request_id, exchange)
        except Exception as exc:  # noqa: BLE001 - the last resort: a defect of ours becomes a 500 that names the request
            _log.error("request failed", extra={"request_id": request_id}, exc_info=exc)
            await self._tell(surface, defect(exc, debug=self._debug), send, returned, request_id, exchange)

    def named(self, scope: HTTPScope, send: Send) -> Send:
        """For the ordinary routes: give the request its id, and every answer the headers that tell it."""
        request_id = new_id("req", self._clock(), self._rng)
        scope["state"]["request_id"] = request_id
        returned = self._returned(dict(scope["headers"]), request_id)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *returned]
            await send(message)

        return sending

    async def _answer(self, surface: Surface, ask: Ask, send: Send, returned: wire.Pairs) -> None:
        exchange = ask.exchange
        await self._recall(ask)
        if not exchange.stream:
            kept = await self._pipeline.reply(ask)
            await self._remember(surface, ask, kept)
            body = surface.dress(exchange, kept) if surface.dress else kept.pieces[0]
            await wire.send_json(send, 200, body, [*wire.facts(exchange), *returned])
            return
        streamed = await self._pipeline.stream(ask)
        async with aclosing(streamed.pieces):
            await wire.send_stream(
                send, self._closed(surface, ask, streamed.pieces), [*wire.facts(exchange), *returned]
            )

    async def _closed(self, surface: Surface, ask: Ask, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The stream with its end: what the surface adds, or the error that it broke with."""
        exchange = ask.exchange
        try:
            async for piece in pieces:
                yield piece
            await self._remember(surface, ask, None)
        except GatewayError as exc:
            yield surface.shape.event(exc, exchange.id)
            return
        except Exception as exc:  # noqa: BLE001 - as above; the status is out, so the stream must end in an error event
            _log.error("stream failed", extra={"request_id": exchange.id}, exc_info=exc)
            yield surface.shape.event(defect(exc, debug=self._debug), exchange.id)
            return
        if surface.closing is not None:
            yield surface.closing(exchange)

    async def _recall(self, ask: Ask) -> None:
        session_id = ask.exchange.preferences.session_id
        if ask.talk is not None and session_id is not None:
            windows = [one.context for one in self._pipeline.catalog.serving(ask.exchange.requested_model)]
            earlier = await self._sessions.recall(ask.exchange.principal, session_id, windows)
            ask.work = ask.talk.after(earlier)

    async def _remember(self, surface: Surface, ask: Ask, kept: Kept | None) -> None:
        session_id = ask.exchange.preferences.session_id
        if ask.talk is not None and session_id is not None and surface.said is not None:
            answer = surface.said(ask.exchange, kept)
            await self._sessions.remember(ask.exchange.principal, session_id, [*ask.talk.messages, answer])

    async def _tell(
        self,
        surface: Surface,
        error: GatewayError,
        send: Send,
        returned: wire.Pairs,
        request_id: str,
        exchange: Exchange | None,
    ) -> None:
        if exchange is None:
            # It never reached the pipeline: there is nothing to tell but its name.
            self._turned_away(surface.name, error.status)
            headers = [*returned, (b"x-steelyard-request-id", request_id.encode())]
        else:
            headers = [*returned, *wire.facts(exchange)]
        if seconds := retry_after(error):
            headers.append((b"retry-after", seconds.encode()))
        if error.status == 405:
            headers.append((b"allow", b"POST"))
        await wire.send_json(send, error.status, surface.shape.encoded(error, request_id), headers)

    def _returned(self, headers: dict[bytes, bytes], request_id: str) -> wire.Pairs:
        """The request id under the names that callers and SDKs look for; theirs, when it is a harmless one."""
        theirs = headers.get(self._request_id_header, b"").decode("latin-1")
        shown = theirs if _REQUEST_ID.fullmatch(theirs) else request_id
        return [(self._request_id_header, shown.encode()), (b"request-id", request_id.encode())]


def api_key(headers: dict[bytes, bytes]) -> str | None:
    """The caller's key: `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`, in this order."""
    bearer = headers.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip().decode("latin-1")
    for name in (b"x-api-key", b"x-goog-api-key"):
        if value := headers.get(name):
            return value.strip().decode("latin-1")
    return None


def _open(surface: Surface, request_id: str, now: float, principal: Principal, wishes: Preferences) -> Exchange:
    return Exchange(
        id=request_id,
        created=now,
        began=asyncio.get_running_loop().time(),
        surface=surface.name,
        dialect=surface.dialect,
        principal=principal.name,
        requested_model="",
        stream=False,
        preferences=wishes,
    )


def require_model(model: str) -> str:
    """The model's name. Raises `BadRequest` when it is empty."""
    if not model.strip():
        raise BadRequest("'model' is empty. GET /v1/models lists every model.", param="model")
    return model
