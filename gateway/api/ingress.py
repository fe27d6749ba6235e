"""The way in for every LLM surface: authenticate, read, parse, hand to the pipeline, write the answer. No policy.

These are bare ASGI handlers, not Litestar controllers: a controller costs more than everything the gateway adds to a
request, and a caller that hangs up is noticed on `receive`, which a controller hides.
"""

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Callable
from functools import partial

from litestar.types import HTTPScope, Message, Receive, Send
from msgspec import Struct
from msgspec.structs import replace

from gateway import settling
from gateway.api import native, preferences, wire
from gateway.api.crossing import require_name_of_here, require_own_page
from gateway.api.docs import PAGE_POLICY
from gateway.api.faults import ErrorShape, defect, retry_after
from gateway.api.headers import CONTENT_POLICY, SECURITY, completed
from gateway.api.nesting import require_shallow
from gateway.api.offered import address_of, api_key, key_in, offered_key
from gateway.api.tracing import ANSWERED, Tracing
from gateway.asking import Ask
from gateway.caching import Kept
from gateway.comparing import Comparing
from gateway.errors import (
    BadRequest,
    Busy,
    GatewayError,
    ProviderRejected,
    QuotaExceeded,
    TooManyWrongKeys,
    WrongMethod,
    of_invalid,
)
from gateway.exchange import Exchange, Preferences
from gateway.governance.entrance import Entrance
from gateway.governance.keys import ANONYMOUS, Principal, require_scope
from gateway.identity import new_id
from gateway.pipeline import Pipeline, Streamed
from gateway.responses import Responses
from gateway.sessions import Sessions
from gateway.tracing.places import Trace
from gateway.tracing.tracer import Tracer
from providers.chat import Json
from providers.dialect import InvalidRequest
from providers.errors import Refused

_log = logging.getLogger("steelyard.api")
_STOPPING = "The gateway is shutting down. Try again."
#: In the state of an ordinary request: its key is one wrong one too many.
GUESSED = "guessed"
#: Where the one page is that runs a script.
_PAGES = "/docs"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Incoming(Struct):
    """A request that has been let in and read; `path` is decoded."""

    body: bytes
    headers: dict[bytes, bytes]
    exchange: Exchange
    responses: Responses
    path: str = ""


class Surface(Struct, frozen=True):
    """One LLM endpoint: how a request is understood, how an answer is dressed, how an error looks.

    `understand` raises `InvalidRequest` or a `GatewayError`. `dress` turns the kept answer into the body that is sent;
    without it the bytes go out as they are. `closing` adds the last events of a stream; `said` is the answer as the
    message that a session keeps.

    `reframe` makes something else of a stream's events, which then has the type `streams_as`. `blocked` makes an answer
    of the provider's own (JSON) for a prompt that its policy refused, in formats where that is no error. The key of a
    surface with `key_in_query` may also stand in the URL. One that `counts` tells how many tokens a prompt has; what
    one with a `form` reads is no JSON.
    """

    name: str
    dialect: str
    shape: ErrorShape
    understand: Callable[[Incoming], Ask]
    dress: Callable[[Exchange, Kept], bytes] | None = None
    closing: Callable[[Exchange], bytes] | None = None
    said: Callable[[Exchange, Kept | None], Json] | None = None
    reframe: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]] | None = None
    streams_as: bytes = wire.SSE
    blocked: Callable[[bytes], bytes] | None = None
    key_in_query: bool = False
    counts: bool = False
    form: bool = False


class Ingress:
    """Serves surfaces."""

    def __init__(
        self,
        pipeline: Pipeline,
        entrance: Entrance,
        sessions: Sessions,
        responses: Responses,
        *,
        body_limit: int,
        request_id_header: str,
        log_bodies: bool,
        debug: bool,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
        turned_away: Callable[[str, int], None],
        local_only: bool = False,
        max_nesting: int = 128,
        tracer: Tracer | None = None,
    ) -> None:
        """Wire it; `wall` tells Unix seconds, `turned_away` hears of requests that never reach the pipeline.

        With `local_only` callers without a key must ask for this machine, by name.
        """
        self._local_only = local_only
        self._max_nesting = max_nesting
        self._pipeline = pipeline
        self._comparing = Comparing(pipeline, tagged=native.tagged, failed=native.failed)
        self._entrance = entrance
        self._sessions = sessions
        self._responses = responses
        self._body_limit = body_limit
        self._request_id_header = request_id_header.lower().encode()
        self._log_bodies = log_bodies
        self._debug = debug
        self._wall = wall
        self._monotonic = monotonic
        self._rng = rng
        self._turned_away = turned_away
        self._patience = wire.Patience()
        self.tracing = Tracing(tracer)

    async def serve(self, surface: Surface, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now, began = self._wall(), self._monotonic()
        request_id = new_id("req", now, self._rng)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        returned = self._returned(headers, request_id)
        trace = self.tracing.entered(request_id, headers, scope["path"], returned)
        exchange: Exchange | None = None
        try:
            if scope["method"] != "POST":
                raise WrongMethod
            principal = await self._let_in(surface, scope, headers)
            wishes = preferences.read(scope["headers"])
            body = await wire.read_body(receive, headers, self._body_limit)
            if not surface.form:
                require_shallow(body, self._max_nesting)
            opened = _open(surface, request_id, now, began, principal, wishes, trace)
            if self._log_bodies if principal.log_bodies is None else principal.log_bodies:
                opened.request_body = body
            incoming = Incoming(body, headers, opened, self._responses, scope["path"])
            ask = surface.understand(incoming)
            ask.reread = lambda another: surface.understand(replace(incoming, body=another))
            exchange = opened
            with wire.Listener(receive, self._patience):
                await self._answer(surface, ask, send, returned)
        except wire.HungUp:
            return
        except asyncio.CancelledError:
            # The grace of a stop is over. A stream that had begun has ended in an error event already.
            await self._tell(surface, Busy(_STOPPING, retry_after=1.0), send, returned, request_id, exchange)
        except InvalidRequest as exc:
            await self._tell(surface, of_invalid(exc), send, returned, request_id, exchange)
        except GatewayError as exc:
            await self._tell(surface, exc, send, returned, request_id, exchange)
        except Exception as exc:  # noqa: BLE001 - the last resort: a defect of ours becomes a 500 that names the request
            _log.error("request failed", extra={"request_id": request_id}, exc_info=exc)
            await self._tell(surface, defect(exc, debug=self._debug), send, returned, request_id, exchange)
        finally:
            if exchange is not None and exchange.compared is not None:
                self.tracing.compared(exchange)

    def named(self, scope: HTTPScope, send: Send) -> Send:
        """For the ordinary routes: give the request its id, and every answer the headers that tell it."""
        request_id = new_id("req", self._wall(), self._rng)
        scope["state"]["request_id"] = request_id
        headers = dict(scope["headers"])
        returned = self._returned(headers, request_id)
        traced = self.tracing.entered(request_id, headers, scope["path"], returned) is not None
        if scope["path"].startswith(_PAGES):
            returned = [(CONTENT_POLICY, PAGE_POLICY), *(pair for pair in returned if pair[0] != CONTENT_POLICY)]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                if scope["state"].pop(GUESSED, False):
                    await self._entrance.guesses.linger()
                message["headers"] = completed(message["headers"], returned)
                if traced:
                    scope["state"][ANSWERED] = message["status"]
            await send(message)

        return sending

    async def ready(self, scope: HTTPScope) -> None:
        """For the ordinary routes: have at hand what verifies the caller's token, if it is one."""
        await self._entrance.ready(offered_key(dict(scope["headers"]), scope["path"], scope["query_string"]))

    async def _let_in(self, surface: Surface, scope: HTTPScope, headers: dict[bytes, bytes]) -> Principal:
        """Whose request it is. Raises `GatewayError` for nobody's, and for what another site's page may have sent."""
        key = api_key(headers)
        if key is None and surface.key_in_query:
            key = key_in(scope["query_string"])
        if self._entrance.tokens is not None:
            await self._entrance.ready(key)
        principal = await self._entrance.let_in(key, address_of(scope))
        if principal.name == ANONYMOUS:
            require_own_page(headers)
            if self._local_only:
                require_name_of_here(headers)
        require_scope(principal, "use")
        return principal

    async def _answer(self, surface: Surface, ask: Ask, send: Send, returned: wire.Pairs) -> None:
        exchange = ask.exchange
        session_id = exchange.preferences.session_id
        if ask.talk is not None and ask.talk.recall is None and session_id is not None:
            ask.talk.recall = partial(self._sessions.recall, exchange.principal, session_id)
        if surface.counts:
            counted = await self._pipeline.count(ask)
            await wire.send_whole(send, 200, counted, [*wire.facts(exchange), *returned])
            return
        pipeline = self._comparing if exchange.preferences.compare else self._pipeline
        if not exchange.stream:
            kept = await pipeline.reply(ask)
            await self._remember(surface, ask, kept)
            body = surface.dress(exchange, kept) if surface.dress else kept.pieces[0]
            if ask.ending is not None:
                body = await ask.ending.whole(body)
            await wire.send_whole(
                send, 200, body, [*wire.facts(exchange), *returned], wire.type_of(exchange, wire.JSON)
            )
            return
        streamed = await pipeline.stream(ask)
        try:
            pieces = self._closed(surface, ask, streamed)
            if surface.reframe is not None:
                pieces = surface.reframe(pieces)
            media_type = wire.type_of(exchange, surface.streams_as)
            await wire.send_stream(send, pieces, [*wire.facts(exchange), *returned], media_type)
        except (asyncio.CancelledError, wire.BrokenOff):
            # The answer has begun, so there is no other to give. The server closes a connection whose answer has no
            # end, so that the caller can tell.
            return
        finally:
            await streamed.close()

    async def _closed(self, surface: Surface, ask: Ask, streamed: Streamed) -> AsyncIterator[bytes]:
        """The stream with its end: what the surface adds, or the error that it broke with."""
        exchange = ask.exchange
        last = b""
        try:
            async for piece in streamed.pieces():
                yield piece
            await self._remember(surface, ask, None)
            if ask.ending is not None:
                last = await ask.ending.last()
        except GatewayError as exc:
            yield _broken(surface, ask, exc)
            return
        except asyncio.CancelledError:
            # A stop, or a caller that hung up and will not see it.
            yield _broken(surface, ask, Busy(_STOPPING))
            return
        except Exception as exc:  # noqa: BLE001 - as above; the status is out, so the stream must end in an error event
            _log.error("stream failed", extra={"request_id": exchange.id}, exc_info=exc)
            yield _broken(surface, ask, defect(exc, debug=self._debug))
            return
        if last:
            yield last
        if surface.closing is not None:
            yield surface.closing(exchange)

    async def _remember(self, surface: Surface, ask: Ask, kept: Kept | None) -> None:
        exchange = ask.exchange
        session_id = exchange.preferences.session_id
        if ask.talk is None or session_id is None or surface.said is None:
            return
        turn = [*ask.talk.messages, ask.told(surface.said(exchange, kept))]
        try:
            await self._sessions.remember(exchange.principal, session_id, turn)
            exchange.session_saved = True
        except Busy as exc:
            # The answer is here and paid for: better without a memory than not at all, as long as it is said.
            exchange.session_saved = False
            _log.error("a turn was not saved", extra={"request_id": exchange.id, "error": exc.message})

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
            self.tracing.left("POST", None, error.status)
            if isinstance(error, TooManyWrongKeys):
                await self._entrance.guesses.linger()
            headers = [*returned, (b"x-steelyard-request-id", request_id.encode())]
        else:
            if exchange.compared is not None:
                settling.failed(exchange, error)
            headers = [*returned, *wire.facts(exchange)]
            if surface.blocked is not None and (told := blocked_by(error)) is not None:
                body = surface.blocked(told)
                if exchange.stream:
                    await wire.send_stream(send, _only(body), headers, surface.streams_as)
                else:
                    await wire.send_whole(send, 200, body, headers)
                return
        if seconds := retry_after(error):
            headers.append((b"retry-after", seconds.encode()))
        if error.status == 405:
            headers.append((b"allow", b"POST"))
        if isinstance(error, QuotaExceeded):
            # What the official SDKs understand: they would try a 429 again.
            headers.append((b"x-should-retry", b"false"))
        await wire.send_whole(send, error.status, surface.shape.encoded(error, request_id), headers)

    def _returned(self, headers: dict[bytes, bytes], request_id: str) -> wire.Pairs:
        """What every answer has.

        The request id under the names that callers and SDKs look for; theirs, when it is a harmless one.
        """
        ours = request_id.encode()
        theirs = headers.get(self._request_id_header)
        shown = theirs if theirs is not None and _REQUEST_ID.fullmatch(theirs) else ours
        return [(self._request_id_header, shown), (b"request-id", ours), *SECURITY]


def blocked_by(error: GatewayError) -> bytes | None:
    """The provider's answer in which it refused the prompt, when that is what happened."""
    if isinstance(error, ProviderRejected) and isinstance(error.fault, Refused):
        return error.fault.answer
    return None


async def _only(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def _broken(surface: Surface, ask: Ask, error: GatewayError) -> bytes:
    """The event that ends a broken stream. Raises `BrokenOff` where there are no events."""
    if not (ask.exchange.content_type or "text/event-stream").startswith("text/event-stream"):
        raise wire.BrokenOff from error
    told = ask.ending.broken(error) if ask.ending is not None else b""
    return told or surface.shape.event(error, ask.exchange.id)


def _open(
    surface: Surface,
    request_id: str,
    now: float,
    began: float,
    principal: Principal,
    wishes: Preferences,
    trace: Trace | None,
) -> Exchange:
    return Exchange(
        id=request_id,
        created=now,
        began=began,
        surface=surface.name,
        dialect=surface.dialect,
        principal=principal.name,
        requested_model="",
        stream=False,
        preferences=wishes,
        caller=principal,
        trace=trace,
    )


def require_model(model: str) -> str:
    """The model's name. Raises `BadRequest` when it is empty."""
    if not model.strip():
        raise BadRequest("'model' is empty. GET /v1/models lists every model.", param="model")
    return model
