"""An operation: described once, a method of both clients.

A static method that returns what is to be asked becomes a method of clients: of a `SyncSender` it answers, of an
`AsyncSender` it is awaited. Signatures are the function's own, for people and for type checkers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper, wraps
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from steelyard_client.asking import Ask, Follow

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Events(Iterator[T_co], Protocol[T_co]):
    """The events of a stream as they come. Used with `with`, or closed, it hangs up when they are of no more use."""

    def __enter__(self) -> Events[T_co]: ...
    def __exit__(self, *exc: object) -> None: ...

    def close(self) -> None:
        """Hang up."""
        ...


class AsyncEvents(Protocol[T_co]):
    """The same for `async for` and `async with`."""

    # Python 3.11 lets no protocol inherit from AsyncIterator.
    def __aiter__(self) -> AsyncIterator[T_co]: ...
    async def __anext__(self) -> T_co: ...
    async def __aenter__(self) -> AsyncEvents[T_co]: ...
    async def __aexit__(self, *exc: object) -> None: ...

    async def aclose(self) -> None:
        """Hang up."""
        ...


class SyncSender(ABC):
    """What operations answer through."""

    @abstractmethod
    def send(self, ask: Ask[T]) -> T:
        """Ask, and wait for the answer. For requests that have no method yet."""

    @abstractmethod
    def follow(self, follow: Follow[T]) -> Events[T]:
        """Ask for a stream, at the first event that is taken."""


class AsyncSender(ABC):
    """The same, awaited."""

    @abstractmethod
    async def send(self, ask: Ask[T]) -> T:
        """Ask, and await the answer. For requests that have no method yet."""

    @abstractmethod
    def follow(self, follow: Follow[T]) -> AsyncEvents[T]:
        """Ask for a stream, at the first event that is taken."""


class Operation(Generic[P, T]):
    """A method of both clients that one answer answers."""

    def __init__(self, describe: Callable[P, Ask[T]]) -> None:
        """By what it asks."""
        self.describe = describe
        update_wrapper(cast("Callable[..., Any]", self), describe)

    @overload
    def __get__(self, client: None, owner: type) -> Operation[P, T]: ...
    @overload
    def __get__(self, client: SyncSender, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: SyncSender | AsyncSender | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self

        @wraps(self.describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self.describe(*args, **kwargs))

        return method


class Streaming(Generic[P, T]):
    """A method of both clients that a stream answers."""

    def __init__(self, describe: Callable[P, Follow[T]]) -> None:
        """By what it asks."""
        self.describe = describe
        update_wrapper(cast("Callable[..., Any]", self), describe)

    @overload
    def __get__(self, client: None, owner: type) -> Streaming[P, T]: ...
    @overload
    def __get__(self, client: SyncSender, owner: type) -> Callable[P, Events[T]]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: type) -> Callable[P, AsyncEvents[T]]: ...
    def __get__(self, client: SyncSender | AsyncSender | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self

        @wraps(self.describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.follow(self.describe(*args, **kwargs))

        return method
