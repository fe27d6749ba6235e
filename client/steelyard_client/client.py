"""The two clients: what a driver does with HTTP, and nothing else. The only module that knows `httpx2`.

What to send, when again, and what an answer means are in `exchange`, `retrying` and `operations`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from copy import copy
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import httpx2

from steelyard_client.asking import Ask, Follow, Reply, Request, with_headers
from steelyard_client.errors import NotReached, TimedOut
from steelyard_client.exchange import Following, call
from steelyard_client.operation import AsyncEvents, AsyncSender, Events, SyncSender
from steelyard_client.operations import Operations
from steelyard_client.retrying import Retries
from steelyard_client.saving import Saving

T = TypeVar("T")
#: Where `make run` serves.
DEFAULT_URL = "http://127.0.0.1:8000"
#: Seconds until the first byte of an answer, and between two of a stream. Models that think take minutes; the gateway
#: has a deadline of its own and says when it passed, which tells more than a client that hung up.
DEFAULT_TIMEOUT = 600.0
#: Seconds to make a connection: either somebody is there, or another try is worth more than waiting.
_CONNECT = 5.0
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_VERSION = "0.1.0"


class _Settings:
    """What the clients have in common: how to ask."""

    def __init__(self, api_key: str | None, timeout: float, retries: Retries, headers: Mapping[str, str]) -> None:
        self._headers = {"user-agent": f"steelyard-client/{_VERSION}", "accept": "application/json, */*;q=0.5"}
        self._headers |= {name.lower(): value for name, value in headers.items()}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._timeout, self._retries = timeout, retries
        self._more: Mapping[str, str] = {}
        self._rng = random.Random()

    def with_options(
        self, *, timeout: float | None = None, retries: Retries | None = None, headers: Mapping[str, str] | None = None
    ) -> Self:
        """The same client, over the same connections, with another timeout, other retries, further headers."""
        other = copy(self)
        other._timeout = self._timeout if timeout is None else timeout
        other._retries = retries or self._retries
        other._more = {**self._more, **{name.lower(): value for name, value in (headers or {}).items()}}
        return other

    def _sent(self, request: Request) -> dict[str, Any]:
        """A request in the library's words."""
        return {
            "method": request.method,
            "url": request.path,
            "headers": {**self._headers, **request.headers},
            "content": request.body,
            "timeout": httpx2.Timeout(self._timeout, connect=min(_CONNECT, self._timeout)),
        }


def _failure(exc: httpx2.RequestError) -> NotReached:
    """The library's exception as ours."""
    sent = not isinstance(exc, _NEVER_SENT)
    said = str(exc) or type(exc).__name__
    if isinstance(exc, httpx2.TimeoutException):
        return TimedOut(f"The gateway did not answer in time: {said}", sent=sent)
    return NotReached(f"The gateway was not reached: {said}", sent=sent)


def _reply(answer: httpx2.Response) -> Reply:
    return Reply(answer.status_code, dict(answer.headers), answer.content)


class Steelyard(_Settings, SyncSender, Operations):
    """The gateway, call by call. Safe to share between threads; close it, or use it with `with`.

    `timeout` in seconds: until the first byte, and between two of a stream. `transport` is the library's, for
    tests and for proxies.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Nothing is sent before the first call."""
        super().__init__(api_key, timeout, retries or Retries(), headers or {})
        self._http = httpx2.Client(base_url=url, transport=transport)
        self._sleep = sleep

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, ask: Ask[T]) -> T:
        """Ask, and wait for the answer."""
        course = call(with_headers(ask, self._more), self._retries, self._rng)
        came: Reply | NotReached | None = None
        while True:
            try:
                step = course.send(came)
            except StopIteration as done:
                return done.value
            came = self._exchange(step) if isinstance(step, Request) else self._wait(step)

    def follow(self, follow: Follow[T]) -> Events[T]:
        """Ask for a stream, at the first event that is taken."""
        return _Events(self._events(Following(with_headers(follow, self._more), self._retries, self._rng)))

    def _exchange(self, request: Request) -> Reply | NotReached:
        try:
            if request.into is not None:
                return self._saved(request, request.into)
            return _reply(self._http.request(**self._sent(request)))
        except httpx2.RequestError as exc:
            return _failure(exc)

    def _saved(self, request: Request, into: Path) -> Reply:
        with self._http.stream(**self._sent(request)) as answer:
            if not answer.is_success:
                answer.read()
                return _reply(answer)
            with Saving(into) as saving:
                for piece in answer.iter_bytes():
                    saving.write(piece)
                saving.keep(answer.status_code, answer.headers)
            return Reply(answer.status_code, dict(answer.headers), b"")

    def _wait(self, seconds: float) -> None:
        self._sleep(seconds)

    def _events(self, course: Following[T]) -> Generator[T]:
        pause: float | None = 0.0
        while pause is not None:
            try:
                with self._http.stream(**self._sent(course.request())) as answer:
                    if answer.is_success:
                        for piece in answer.iter_bytes():
                            yield from course.feed(piece)
                        pause = course.closed()
                    else:
                        answer.read()
                        pause = course.refused(_reply(answer))
            except httpx2.RequestError as exc:
                pause = course.lost(_failure(exc))
            if pause is not None:
                self._wait(pause)


class AsyncSteelyard(_Settings, AsyncSender, Operations):
    """The same for asyncio: every call is awaited, every stream is an async iterator."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Nothing is sent before the first call."""
        super().__init__(api_key, timeout, retries or Retries(), headers or {})
        self._http = httpx2.AsyncClient(base_url=url, transport=transport)
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, ask: Ask[T]) -> T:
        """Ask, and await the answer."""
        course = call(with_headers(ask, self._more), self._retries, self._rng)
        came: Reply | NotReached | None = None
        while True:
            try:
                step = course.send(came)
            except StopIteration as done:
                return done.value
            came = await (self._exchange(step) if isinstance(step, Request) else self._wait(step))

    def follow(self, follow: Follow[T]) -> AsyncEvents[T]:
        """Ask for a stream, at the first event that is taken."""
        return _AsyncEvents(self._events(Following(with_headers(follow, self._more), self._retries, self._rng)))

    async def _exchange(self, request: Request) -> Reply | NotReached:
        try:
            if request.into is not None:
                return await self._saved(request, request.into)
            return _reply(await self._http.request(**self._sent(request)))
        except httpx2.RequestError as exc:
            return _failure(exc)

    async def _saved(self, request: Request, into: Path) -> Reply:
        async with self._http.stream(**self._sent(request)) as answer:
            if not answer.is_success:
                await answer.aread()
                return _reply(answer)
            with Saving(into) as saving:
                async for piece in answer.aiter_bytes():
                    # A disk that is slow must not hold up whoever else is on this loop.
                    await asyncio.to_thread(saving.write, piece)
                saving.keep(answer.status_code, answer.headers)
            return Reply(answer.status_code, dict(answer.headers), b"")

    async def _wait(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _events(self, course: Following[T]) -> AsyncGenerator[T]:
        pause: float | None = 0.0
        while pause is not None:
            try:
                async with self._http.stream(**self._sent(course.request())) as answer:
                    if answer.is_success:
                        async for piece in answer.aiter_bytes():
                            for event in course.feed(piece):
                                yield event
                        pause = course.closed()
                    else:
                        await answer.aread()
                        pause = course.refused(_reply(answer))
            except httpx2.RequestError as exc:
                pause = course.lost(_failure(exc))
            if pause is not None:
                await self._wait(pause)


class _Events(Generic[T]):
    """A generator that can be used with `with`."""

    def __init__(self, events: Generator[T]) -> None:
        self._events = events

    def __iter__(self) -> _Events[T]:
        return self

    def __next__(self) -> T:
        return next(self._events)

    def __enter__(self) -> _Events[T]:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._events.close()


class _AsyncEvents(Generic[T]):
    """An async generator that can be used with `async with`."""

    def __init__(self, events: AsyncGenerator[T]) -> None:
        self._events = events

    def __aiter__(self) -> _AsyncEvents[T]:
        return self

    async def __anext__(self) -> T:
        return await anext(self._events)

    async def __aenter__(self) -> _AsyncEvents[T]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._events.aclose()
