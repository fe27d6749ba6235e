"""Which answers a judge is to see: a share of the fresh chat answers, drawn one by one.

Law: an answer that is not drawn has paid one random number. What is drawn is handed on as it is; reading it is the
judge's business, and not the caller's time. Answers from the cache, or shared with whoever asked first, were drawn from
when they were written; a judge's own are never drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct

from gateway.asking import Ask
from gateway.calls import Answer, Chat
from gateway.catalog import Deployment, Route
from gateway.exchange import Exchange
from providers.chat import ChatChunk, ChatReply, ChatRequest
from providers.dialect import Dialect

#: The surface and the principal of a judge's own requests.
JUDGE = "judge"


class Sample(Struct, frozen=True):
    """A question and its answer: whole in the provider's bytes, whole and decoded, or as the chunks of a stream."""

    request_id: str
    request: ChatRequest
    dialect: Dialect
    answer: bytes | ChatReply | list[ChatChunk]


class Sampling:
    """Draws, and offers what was drawn."""

    def __init__(self, share: float, rng: random.Random, offer: Callable[[Sample], None]) -> None:
        """Offer a `share`, 0..1, of the answers; `offer` must not wait."""
        self._share = share
        self._rng = rng
        self._offer = offer

    def whole(self, ask: Ask, route: Route | None, deployment: Deployment, answer: Answer) -> None:
        """A whole answer has come."""
        if isinstance(ask.wanted.work, Chat) and self._draws(ask.exchange, route):
            self._hand_on(ask, deployment, answer.body if answer.reply is None else answer.reply)

    def listen(self, ask: Ask, route: Route | None) -> list[ChatChunk] | None:
        """A stream begins: where to collect what it says, if it is drawn."""
        if not self._draws(ask.exchange, route):
            return None
        return [] if ask.exchange.said is None else ask.exchange.said

    def streamed(self, ask: Ask, deployment: Deployment, said: list[ChatChunk]) -> None:
        """A stream that was drawn has ended well, having `said` this."""
        self._hand_on(ask, deployment, said)

    def _draws(self, exchange: Exchange, route: Route | None) -> bool:
        if exchange.surface == JUDGE or (route is not None and not route.judge):
            return False
        return self._rng.random() < self._share

    def _hand_on(self, ask: Ask, deployment: Deployment, answer: bytes | ChatReply | list[ChatChunk]) -> None:
        work = ask.wanted.work
        if isinstance(work, Chat):
            self._offer(Sample(ask.exchange.id, work.request, deployment.dialect, answer))
