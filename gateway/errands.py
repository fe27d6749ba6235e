"""What the gateway asks models for itself: a grade, a draft, whether a text may pass.

Law: an errand goes through the gateway's own pipeline, as a surface of its own and in somebody's name, so that it has
the routing, the failover, the record and the bill of any request. Its answer is not cached: the same may be asked for
anew because another answer is wanted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.asking import Ask, Wanted
from gateway.caching import Kept
from gateway.calls import Chat
from gateway.catalog import Asked
from gateway.exchange import Exchange, Preferences
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.tracing.places import below
from providers.chat import ChatReply, Text
from providers.dialects import OPENAI


class Asking(Protocol):
    """What answers: the pipeline."""

    async def reply(self, ask: Ask) -> Kept:
        """A whole answer. Raises a `GatewayError`."""
        ...


class Errands:
    """Runs them."""

    def __init__(
        self,
        pipeline: Callable[[], Asking],
        surface: str,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """By this pipeline, which is made after those who need it, and may be another one after a reload."""
        self._pipeline = pipeline
        self._surface = surface
        self._wall = wall
        self._monotonic = monotonic
        self._rng = rng

    def exchange(
        self,
        principal: str,
        model: str,
        tags: Mapping[str, str],
        *,
        timeout: float | None = None,
        caller: Principal | None = None,
    ) -> Exchange:
        """One errand's; `timeout` in seconds. What a dialect has no words for is left out of it."""
        now = self._wall()
        return Exchange(
            id=new_id("req", now, self._rng),
            created=now,
            began=self._monotonic(),
            surface=self._surface,
            dialect=OPENAI.name,
            principal=principal,
            caller=caller,
            requested_model=model,
            stream=False,
            preferences=Preferences(timeout=timeout, cache="off", drop_params=True),
            tags=dict(tags),
            trace=below(self._surface),
            errand=True,
        )

    async def chat(self, exchange: Exchange, body: bytes) -> ChatReply:
        """The answer to a chat in OpenAI's format. Raises a `GatewayError`."""
        request = OPENAI.parse(body)
        asked = Asked(request.needs, request.input_tokens, request.max_tokens or 0)
        wanted = Wanted(Chat(request, OPENAI, drop=True), asked, request.max_tokens)
        return OPENAI.decode(await self.reply(exchange, wanted, body))

    async def reply(self, exchange: Exchange, wanted: Wanted, body: bytes) -> bytes:
        """The answer to any other work, as it came. Raises a `GatewayError`."""
        return (await self._pipeline().reply(Ask(exchange, wanted, body, "uncached", deterministic=False))).pieces[0]


def words(reply: ChatReply) -> str:
    """What was said, of the first answer."""
    parts = reply.choices[0].parts if reply.choices else ()
    return "".join(part.text for part in parts if isinstance(part, Text))
