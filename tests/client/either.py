"""Both clients under one face, so that each test is written once and holds for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import httpx2

from steelyard_client import AsyncSteelyard, Steelyard
from steelyard_client.operation import Operation, Streaming
from steelyard_client.operations import Operations

#: Every method of the clients → its description.
METHODS: dict[str, Operation[Any, Any] | Streaming[Any, Any]] = {
    name: one
    for owner in Operations.__mro__
    for name, one in vars(owner).items()
    if isinstance(one, (Operation, Streaming))
}


#: An argument that is not a text → something it can be.
_ANY: dict[str, Any] = {"definition": {}, "inputs": {}, "input": {}, "messages": [], "data": {}}


def described(name: str) -> Any:
    """What a method asks when every argument is given."""
    describe = METHODS[name].describe
    values = {
        one.name: {"definition": {}, "inputs": {}, "input": {}, "messages": [], "data": {}}.get(
            one.name, f"any-{one.name}"
        )
        for one in inspect.signature(describe).parameters.values()
        if one.kind is not one.VAR_KEYWORD
    }
    asks: Any = describe
    return asks(**values)


class Either:
    """A client; `call` answers, `events` gives all events of a stream, whichever it is."""

    def __init__(self, client: Steelyard | AsyncSteelyard, runner: asyncio.Runner) -> None:
        self.client = client
        self._runner = runner

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        found = getattr(self.client, name)(*args, **kwargs)
        return self._runner.run(found) if isinstance(self.client, AsyncSteelyard) else found

    def send(self, ask: Any) -> Any:
        return self.call("send", ask)

    def events(self, name: str, *args: Any, most: int | None = None, **kwargs: Any) -> list[Any]:
        """All, or the first `most` of them before hanging up."""
        stream = getattr(self.client, name)(*args, **kwargs)
        if isinstance(self.client, AsyncSteelyard):
            return self._runner.run(_collected(stream, most))
        found: list[Any] = []
        with stream as events:
            for event in events:
                found.append(event)
                if len(found) == most:
                    break
        return found


async def _collected(stream: Any, most: int | None) -> list[Any]:
    found: list[Any] = []
    async with stream as events:
        async for event in events:
            found.append(event)
            if len(found) == most:
                break
    return found


@contextmanager
def opened(kind: str, *args: Any, **kwargs: Any) -> Generator[Either]:
    """A client of a kind, `sync` or `async`; `answer(request)` among the arguments answers in a gateway's place.

    `waited`, a list, collects the pauses instead of holding them.
    """
    answer, waited = kwargs.pop("answer", None), kwargs.pop("waited", None)
    if answer is not None:
        kwargs["transport"] = httpx2.MockTransport(answer)
    with asyncio.Runner() as runner:
        if kind == "sync":
            if waited is not None:
                kwargs["sleep"] = waited.append
            with Steelyard(*args, **kwargs) as client:
                yield Either(client, runner)
            return
        if waited is not None:

            async def noted(seconds: float) -> None:
                waited.append(seconds)

            kwargs["sleep"] = noted
        client = AsyncSteelyard(*args, **kwargs)
        try:
            yield Either(client, runner)
        finally:
            runner.run(client.aclose())
