"""Bytes in and out of an ASGI connection: body with a bound, headers, streams, and a caller that hangs up."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from litestar.types import Receive, Send

from gateway.api.headers import UNKEPT
from gateway.errors import TooLarge
from gateway.exchange import Exchange

Pairs = list[tuple[bytes, bytes]]
JSON = b"application/json"
SSE = b"text/event-stream; charset=utf-8"
#: Keeps proxies (nginx above all) from collecting a stream before passing it on.
_UNBUFFERED = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
#: Seconds a request runs before somebody listens for its caller hanging up: most are answered sooner, and listening
#: takes a task.
_LISTEN_AFTER = 0.03
#: Seconds by which a timer may go off early: uvloop's count whole milliseconds.
_EARLY = 0.001
#: Names of providers, models, strategies and reasons whose code is remembered; beyond, all are coded anew.
_REMEMBERED = 1_024
_UNHEADED = re.compile(r"[^\x20-\x7e]")
#: Characters; clients and proxies refuse headers of 8 kB and more.
_LONGEST_HEADER = 4_096


class BrokenOff(Exception):
    """An answer broke that has no way to say so: its connection is left without the end of the body."""


class HungUp(Exception):
    """The caller has gone; there is nobody to answer."""


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The whole body. Raises `TooLarge` without reading past `limit` bytes, and `HungUp`."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    message: Any = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise HungUp
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes. Send less, or have STEELYARD_MAX_BODY raised.")


class Patience:
    """Has each listener begin to listen `_LISTEN_AFTER` seconds after it came; one timer for all, in order of arrival.

    A timer each would be cancelled by nearly all of them, and for each that is cancelled libuv goes round once more and
    asks the kernel for news of every socket: a third of the trips of a lone request.
    """

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: deque[tuple[float, Listener]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, listener: "Listener", loop: asyncio.AbstractEventLoop) -> None:
        """Here is another."""
        due = loop.time() + _LISTEN_AFTER
        self._waiting.append((due, listener))
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        waiting, now = self._waiting, loop.time() + _EARLY
        while waiting and (waiting[0][0] <= now or waiting[0][1].over):
            waiting.popleft()[1].listen()
        if waiting:
            self._timer = loop.call_at(waiting[0][0], self._look, loop)


class Listener:
    """Cancels the running task when its caller hangs up. Use as a context manager around the work."""

    def __init__(self, receive: Receive, patience: Patience | None = None) -> None:
        """Listen on `receive`, which must have given the whole body already, once `patience` (else its own) is over."""
        self._receive = receive
        self._patience = patience or Patience()
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone = False
        #: The work has ended.
        self.over = False

    def __enter__(self) -> None:
        self._work = asyncio.current_task(self._loop)
        self._patience.add(self, self._loop)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _trace: object) -> None:
        self.over = True
        if self._task is not None:
            self._task.cancel()
        ours = self._gone and self._work is not None and isinstance(exc, asyncio.CancelledError)
        # A cancellation from outside (shutdown) stays in force.
        if ours and self._work is not None and self._work.uncancel() == 0:
            raise HungUp from exc

    def listen(self) -> None:
        """From now on hear of a caller who hangs up, unless the work has ended."""
        if not self.over:
            self._task = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._work is not None:
            self._work.cancel()


def facts(exchange: Exchange) -> Pairs:
    """The headers that say what happened to a request."""
    pairs = [
        (b"x-steelyard-request-id", exchange.id.encode()),
        (b"x-steelyard-cache", exchange.cache.encode()),
        (b"x-steelyard-attempts", b"%d" % len(exchange.attempts)),
        (b"x-steelyard-overhead-ms", b"%.2f" % (exchange.overhead * 1000)),
    ]
    if exchange.strategy:
        pairs.append((b"x-steelyard-strategy", _CODED[exchange.strategy]))
    if exchange.provider:
        pairs.append((b"x-steelyard-provider", _CODED[exchange.provider]))
        pairs.append((b"x-steelyard-model", _CODED[exchange.model or ""]))
    if exchange.reason:
        pairs.append((b"x-steelyard-reason", _CODED[exchange.reason]))
    if exchange.ttft is None:
        # A stream's cost is known when it has ended: in its usage event, and in the request log.
        pairs.append((b"x-steelyard-cost-usd", (b"%.10f" % exchange.cost).rstrip(b"0").rstrip(b".")))
    if exchange.dropped:
        # Names of fields are the caller's own text: nothing of it may end a header, or fill one beyond use.
        names = _UNHEADED.sub("?", ",".join(exchange.dropped))
        pairs.append((b"x-steelyard-dropped-params", names[:_LONGEST_HEADER].encode()))
    if exchange.token_count is not None:
        pairs.append((b"x-steelyard-token-count", exchange.token_count.encode()))
    if exchange.limits is not None:
        pairs += exchange.limits.pairs()
    if exchange.queued or exchange.budget_warning is not None:
        pairs += _of_policy(exchange)
    if exchange.simulated:
        pairs.append((b"x-steelyard-simulated", b"true"))
    return pairs if not exchange.guardrails else [*pairs, _guarded(exchange)]


def _guarded(exchange: Exchange) -> tuple[bytes, bytes]:
    """What guardrails did; their names are configured ones."""
    return (b"x-steelyard-guardrails", ", ".join(exchange.guardrails).encode())


def _of_policy(exchange: Exchange) -> Pairs:
    """What limits and budgets had to say beside the limits themselves."""
    pairs: Pairs = []
    if exchange.queued:
        pairs.append((b"x-steelyard-queued-ms", b"%.2f" % (exchange.queued * 1000)))
    if exchange.budget_warning is not None:
        told = _UNHEADED.sub("?", exchange.budget_warning)
        pairs.append((b"x-steelyard-budget-warning", told[:_LONGEST_HEADER].encode()))
    return pairs


class _Coded(dict[str, bytes]):
    """Names as headers take them. They are configured ones, so few, and are coded once."""

    def __missing__(self, name: str) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        coded = self[name] = name.encode("latin-1", "replace")
        return coded


_CODED = _Coded()


def type_of(exchange: Exchange, ordinary: bytes) -> bytes:
    """What the answer is: a provider's own word, of which nothing may end the header, or else the `ordinary` type."""
    if exchange.content_type is None:
        return ordinary
    return _UNHEADED.sub("?", exchange.content_type)[:_LONGEST_HEADER].encode("latin-1", "replace")


async def send_whole(send: Send, status: int, body: bytes, headers: Pairs, media_type: bytes = JSON) -> None:
    """One answer."""
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *headers],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_stream(send: Send, pieces: AsyncIterator[bytes], headers: Pairs, media_type: bytes = SSE) -> None:
    """A stream, as it comes."""
    kind = (b"content-type", media_type)
    others = (pair for pair in headers if pair is not UNKEPT)
    start: Any = {"type": "http.response.start", "status": 200, "headers": [kind, *_UNBUFFERED, *others]}
    await send(start)
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
