"""`WS /ws/workflow/{execution_id}`: the events of an execution, one JSON text each, then a close with 1000.

`?after=<seq>` leaves out what the caller has seen. The key comes in the `Authorization` header; browsers, which cannot
set one, offer two subprotocols, `steelyard` and `steelyard-key.<key>`, of which the first is chosen. A key in the URL,
which is logged by everything on the way, is not taken. Who may not follow is answered over HTTP, before anything opens;
whose key opens nothing any more, as a revoked one, is told no further event and closed with 1008.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from urllib.parse import urlsplit

import msgspec
from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath

from gateway.api import following
from gateway.api.access import let_in, parts, staying
from gateway.api.faults import openai_body, retry_after
from gateway.api.headers import SECURITY
from gateway.api.offered import api_key
from gateway.errors import Busy, Forbidden, GatewayError, TooManyWrongKeys
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.parts import Parts
from gateway.records import StoreUnavailable

_log = logging.getLogger("steelyard.api")
_Socket = WebSocket[object, object, State]
_PROTOCOL = "steelyard"
_KEY_PROTOCOL = "steelyard-key."
#: RFC 6455: the end, a key that opens nothing any more, and a failure that may be over when asked again.
_DONE, _NO_MORE, _TRY_AGAIN = 1000, 1008, 1013


@websocket("/ws/workflow/{execution_id:str}")
async def watch(socket: _Socket, execution_id: FromPath[str]) -> None:
    """Follow an execution to its end."""
    gateway = parts(socket.app.state)
    try:
        _must_be_of_here(socket)
        key = _key(socket)
        by, after = await _caller(socket, gateway, key), _after(socket)
        desk = (await gateway.workflows.open()).desk
        await desk.get(execution_id, by)
    except GatewayError as exc:
        await _refuse(socket, gateway, exc)
        return
    except StoreUnavailable as exc:
        _log.warning("the database is away", extra={"path": socket.url.path, "error": str(exc)})
        await _refuse(socket, gateway, Busy("The database is not available right now.", retry_after=5.0))
        return
    await socket.accept(subprotocols=_PROTOCOL if _PROTOCOL in _offered(socket) else None)
    code = _DONE
    try:
        async with asyncio.TaskGroup() as group:
            watched, stays = desk.watch(execution_id, by, after=after), staying(socket, by, key)
            telling = group.create_task(_tell(socket, watched, stays))
            gone = group.create_task(_until_gone(socket))
            await asyncio.wait({telling, gone}, return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            gone.cancel()
        if not telling.cancelled():
            code = telling.result()
    except* (WebSocketDisconnect, GatewayError, StoreUnavailable):
        code = _TRY_AGAIN
    with suppress(WebSocketDisconnect, RuntimeError):  # it has gone already
        await socket.close(code)


async def _tell(socket: _Socket, watched: following.Watched, stays: Callable[[], bool]) -> int:
    """Every event, to the end, or until the caller's key opens nothing any more; the code of the close."""
    async with aclosing(watched):
        async for events in watched:
            if not stays():
                return _NO_MORE
            for event in events:
                await socket.send_text(following.text(event).decode())
    return _DONE


async def _until_gone(socket: _Socket) -> None:
    """Read and forget what comes, until the caller has gone."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _offered(socket: _Socket) -> list[str]:
    return [one.strip() for one in socket.headers.get("sec-websocket-protocol", "").split(",")]


def _key(socket: _Socket) -> str | None:
    keys = [one.removeprefix(_KEY_PROTOCOL) for one in _offered(socket) if one.startswith(_KEY_PROTOCOL)]
    return keys[0] if keys else api_key(dict(socket.scope["headers"]))


async def _caller(socket: _Socket, gateway: Parts, key: str | None) -> Principal:
    """Who asks. Raises `Unauthorized`."""
    await gateway.entrance.ready(key)
    return await let_in(socket, key)


def _must_be_of_here(socket: _Socket) -> None:
    """Raise `Forbidden` for another site's page: browsers let any page open any socket, with a gateway open to all."""
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise Forbidden("Pages of other sites may not follow executions.")


def _after(socket: _Socket) -> int:
    return following.number(socket.query_params.get("after", "0"), "after")


async def _refuse(socket: _Socket, gateway: Parts, error: GatewayError) -> None:
    """Answer over HTTP instead of opening."""
    if isinstance(error, TooManyWrongKeys):
        await gateway.entrance.guesses.linger()
    gateway.metrics.turned_away("api", str(error.status)).inc()
    body = msgspec.json.encode(openai_body(error, new_id("req", gateway.wall(), gateway.rng)))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *SECURITY]
    if seconds := retry_after(error):
        headers.append((b"retry-after", seconds.encode()))
    start = {"type": "websocket.http.response.start", "status": error.status, "headers": headers}
    for message in (start, {"type": "websocket.http.response.body", "body": body}):
        await socket.send(message)  # pyright: ignore[reportArgumentType] - an extension that Litestar has no types for
