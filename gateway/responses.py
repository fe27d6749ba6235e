"""Responses that the gateway keeps, so that a conversation can go on by the id of its last one, with any provider.

Law: a response belongs to its tenant; anybody else's is not there. A conversation that cannot be recalled whole is
refused, because answering without its past would be answering another question. A failed request keeps nothing. An
answer that cannot be kept is given all the same, and says `store: false`. How long the others are kept: `retention`.

Earlier items are sent whole, unless the caller lets the gateway truncate: then the oldest are left out until the rest
and what is asked now take three quarters of the largest window among the candidates.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import BadRequest, Busy, NotFound
from gateway.store import responses
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.record import Json
from gateway.store.responses import Stored
from providers.dialects.responses import response_of

_log = logging.getLogger("steelyard.responses")
#: Responses that one request goes on from; each is a row to read on every turn.
_LONGEST = 1_000
_ROOM = 0.75
#: Seconds that a finished answer waits to be kept.
_PATIENCE = 5.0
#: Tokens assumed for a model whose window is not known.
_UNKNOWN_WINDOW = 8_192


class Past(Struct):
    """What was said before: the items of earlier responses, and single ones by their ids."""

    items: list[Json]
    referenced: dict[str, Json]


class Responses:
    """The tenants' responses."""

    def __init__(self, database: Database, *, wall: Callable[[], float]) -> None:
        """Keep them in `database`; `wall` tells Unix seconds."""
        self._database = database
        self.wall = wall

    async def recall(self, tenant: str, previous: str | None, references: Sequence[str]) -> Past:
        """Everything said before `previous` was answered, its answer, and the items referred to.

        Raises `BadRequest` when the conversation is not there whole, and `Busy`.
        """
        owners = {owner for one in references if (owner := response_of(one)) is not None}
        if len(owners) > _LONGEST:
            raise BadRequest(
                f"The references lead to {len(owners)} responses; {_LONGEST} are the most. Send the items themselves.",
                param="input",
            )
        try:
            chain = [] if previous is None else await self._chain(tenant, previous)
            found = await responses.load(self._database, tenant, sorted(owners)) if owners else []
        except StoreUnavailable as exc:
            raise _away(exc) from exc
        known = {item.get("id"): item for item in _said(found)}
        return Past(_said(chain), {one: known[one] for one in references if one in known})

    async def keep(self, tenant: str, response: Json, given: list[Json]) -> bool:
        """Keep a response with its own input; whether the database took it."""
        stored = Stored(response["id"], response["previous_response_id"], given, response)
        # The answer is here and paid for: better without a memory than not at all, or late, as long as it is said.
        task = asyncio.create_task(responses.put(self._database, tenant, stored, now=self.wall()))
        # One that is given up goes on: the driver's own clean-up of a cancelled statement asks the same silent server.
        task.add_done_callback(_forget)
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE)
        error = task.exception() if done else TimeoutError(f"no answer within {_PATIENCE:g} s")
        if error is None:
            return True
        if not isinstance(error, (StoreUnavailable, TimeoutError)):
            raise error
        _log.error("a response was not stored", extra={"response_id": stored.id, "error": str(error)})
        return False

    async def get(self, tenant: str, identity: str) -> Json:
        """The response. Raises `NotFound`."""
        found = await responses.load(self._database, tenant, [identity])
        if not found:
            raise _unknown(identity)
        return found[0].response

    async def delete(self, tenant: str, identity: str) -> None:
        """Forget a response. Raises `NotFound`."""
        if not await responses.remove(self._database, tenant, identity):
            raise _unknown(identity)

    async def given(
        self, tenant: str, identity: str, *, after: str | None, limit: int, newest_first: bool
    ) -> dict[str, Any]:
        """A page of what the model was given, from behind the item `after` on. Raises `NotFound`.

        That is what was said in earlier responses, as far back as they are there, and this one's own input. An item
        that was referred to later is told once, in its first place: by its id pages are found.
        """
        chain = await responses.chain(self._database, tenant, identity, longest=_LONGEST)
        if not chain:
            raise _unknown(identity)
        items = list({one["id"]: one for one in [*_said(chain[:-1]), *chain[-1].input]}.values())
        ordered = items[::-1] if newest_first else items
        if after is not None:
            place = next((at for at, item in enumerate(ordered) if item["id"] == after), None)
            if place is None:
                raise BadRequest(f"'after' names no input item of this response: '{after[:200]}'.", param="after")
            ordered = ordered[place + 1 :]
        page = ordered[:limit]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(ordered) > limit,
        }

    async def _chain(self, tenant: str, previous: str) -> list[Stored]:
        chain = await responses.chain(self._database, tenant, previous, longest=_LONGEST)
        if not chain:
            raise BadRequest(
                f"Previous response with id '{previous[:200]}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        if (missing := chain[0].previous) is not None:
            raise BadRequest(
                f"The conversation before '{previous[:200]}' is not whole: '{missing}' was deleted, or is more than "
                f"{_LONGEST} responses back. Send the items themselves as 'input'.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return chain


def _said(chain: Sequence[Stored]) -> list[Json]:
    """What the callers and the models said in these."""
    return [item for one in chain for item in (*one.input, *one.response["output"])]


def trimmed(items: list[Json], windows: Sequence[int | None], own: int) -> list[Json]:
    """The newest items that fit the largest of the windows (tokens), beginning where somebody asked something.

    `own` tokens of the room are taken by what is asked now.
    """
    window = max((window or _UNKNOWN_WINDOW for window in windows), default=_UNKNOWN_WINDOW)
    left = (int(window * _ROOM) - own) * 4
    first = len(items)
    while first and (left := left - len(msgspec.json.encode(items[first - 1]))) >= 0:
        first -= 1
    if first == 0:
        return items
    # A call without its output, an output without its call: neither can be said.
    while first < len(items) and items[first].get("role") not in {"user", "system", "developer"}:
        first += 1
    return items[first:]


def _forget(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _unknown(identity: str) -> NotFound:
    return NotFound(f"Response with id '{identity[:200]}' not found.")


def _away(exc: StoreUnavailable) -> Busy:
    return Busy(f"Earlier responses need the database, which is not available: {exc}", retry_after=5.0)
