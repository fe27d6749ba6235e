"""The course of a call, without I/O: a generator that says what to do next and is told what came of it.

A driver sends what is yielded as `Request` and waits where a number of seconds is yielded; whatever the request came
to, a `Reply` or a `NotReached`, it sends in. One text for both drivers, and for tests without either.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

from steelyard_client.asking import EVENTS, Ask, Follow, Reply, Request
from steelyard_client.errors import NotReached, SteelyardError, StreamCut, refusal
from steelyard_client.events import Decoder, ServerEvent
from steelyard_client.retrying import Retries, worth_repeating

T = TypeVar("T")
#: What a driver does next: send, or wait so many seconds.
Step = Request | float
#: What it tells: what came of a request, and nothing of a wait.
Came = Reply | NotReached | None


def call(ask: Ask[T], retries: Retries, rng: random.Random) -> Generator[Step, Came, T]:
    """From the request to its answer. Raises `SteelyardError`."""
    tried = 0
    while True:
        came = yield ask.request()
        tried += 1
        if isinstance(came, Reply) and (came.status < 300 or came.status in ask.also):
            return ask.read(came)
        error = came if isinstance(came, NotReached) else _refused(came)
        pause = retries.pause(tried, error, rng) if worth_repeating(ask, error) else None
        if pause is None:
            raise error
        yield pause


class Following(Generic[T]):
    """The course of a stream. A driver opens what `request` says, and tells what came of it by one of the others.

    `feed` gives events; `closed`, `lost` and `refused` say after how many seconds to open it again, None being never.
    """

    def __init__(self, follow: Follow[T], retries: Retries, rng: random.Random) -> None:
        """Nothing asked yet."""
        self._follow, self._retries, self._rng = follow, retries, rng
        self._decoder = Decoder()
        self._last: str | None = None
        self._ended = False
        self._tried = 0
        self._fresh = False

    def request(self) -> Request:
        """What to open: at first the whole, later what comes behind the last event."""
        self._decoder, self._fresh = Decoder(), False
        seen = {} if self._last is None else {"last-event-id": self._last}
        return self._follow.request({"accept": EVENTS} | seen)

    def feed(self, piece: bytes) -> Iterator[T]:
        """The events that a piece completes. Raises `StreamCut` for one that says so."""
        for event in self._decoder.feed(piece):
            self._seen(event)
            yield self._follow.understand(event)

    def closed(self) -> float | None:
        """It was closed in good order. Raises `StreamCut` when that was before its end, and there is no going on."""
        # One that goes on behind the last event, and has nothing more to say, has ended.
        if self._ended or (self._follow.resumable and not self._fresh):
            return None
        return self._again(StreamCut("The stream ended before its end."))

    def lost(self, error: NotReached) -> float:
        """The connection was lost, or never made. Raises `SteelyardError` when there is no going on."""
        if self._last is None and not self._fresh and worth_repeating(self._follow, error):
            return self._repeat(error)
        return self._again(error)

    def refused(self, reply: Reply) -> float:
        """It was not opened. Raises `ApiError` when asking again is no use."""
        error = _refused(reply)
        if not worth_repeating(self._follow, error):
            raise error
        return self._repeat(error)

    def _seen(self, event: ServerEvent) -> None:
        self._fresh, self._tried = True, 0
        self._last = event.id if event.id is not None else self._last
        self._ended = self._follow.ends(event)

    def _again(self, error: SteelyardError) -> float:
        if not self._follow.resumable:
            raise error if isinstance(error, StreamCut) else StreamCut(f"The stream was cut: {error}") from error
        return self._repeat(error)

    def _repeat(self, error: SteelyardError) -> float:
        self._tried += 1
        pause = self._retries.pause(self._tried, error, self._rng)
        if pause is None:
            raise error
        return pause


def _refused(came: Reply | None) -> SteelyardError:
    assert came is not None, "a driver tells what came of a request"
    return refusal(came.status, came.headers, came.body)
