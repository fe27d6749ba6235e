"""`POST /v1/responses`: OpenAI's newer API, for every provider. What it keeps is in `gateway.responses`.

`POST /v1/responses/input_tokens` counts what the same request would have the model read, earlier turns included.
"""

from collections.abc import Sequence

import msgspec

from gateway.api.chat import ask_chat, ask_count, wanted_chat, wanted_count
from gateway.api.faults import RESPONSES_SHAPE
from gateway.api.ingress import Incoming, Surface
from gateway.asking import Ask, Talk, Wanted
from gateway.errors import ContentFiltered, GatewayError, StreamBroken
from gateway.guardrails.watch import Watch
from gateway.responding import Responding
from gateway.responses import Past, Responses, trimmed
from providers.chat import ChatRequest, Json
from providers.dialects.responses import Form, kept, parse

_OBJECT = msgspec.json.Decoder(dict[str, object])
_ENCODER = msgspec.json.Encoder()


class _Conversation:
    """One request's: what was said before it, and what is kept of it."""

    def __init__(self, incoming: Incoming) -> None:
        """Nothing recalled yet. Raises `InvalidRequest`."""
        exchange = incoming.exchange
        self._asked = parse(incoming.body)
        self.form = Form(self._asked, exchange.id.removeprefix("req_"), int(exchange.created))
        self._exchange = exchange
        self._responses: Responses = incoming.responses
        self._past = Past([], {})
        self.watch: Watch | None = None
        self._goes_on = self._asked.request.previous_response_id is not None or bool(self._asked.references)

    @property
    def request(self) -> ChatRequest:
        """The request as far as it is known before anything is recalled. Raises `InvalidRequest`."""
        return self._asked.draft() if self._goes_on else self._asked.chat()

    @property
    def talk(self) -> Talk | None:
        """How the rest becomes known, where there is any."""
        return Talk([], self.after, self.recall) if self._goes_on else None

    async def recall(self, windows: Sequence[int | None]) -> list[Json]:
        """The items before this request's own; see `Talk`."""
        request = self._asked.request
        previous, references = request.previous_response_id, self._asked.references
        self._past = await self._responses.recall(self._exchange.principal, previous, references)
        if self.watch is not None:
            referenced = zip(self._past.referenced, self.watch.earlier([*self._past.referenced.values()]), strict=True)
            self._past = Past(self.watch.earlier(self._past.items), dict(referenced))
        if request.truncation != "auto":
            return self._past.items
        return trimmed(self._past.items, windows, self._asked.draft().input_tokens)

    def after(self, earlier: list[Json]) -> Wanted:
        """What the request takes with these items before it."""
        return self.wanted(self._asked.chat(earlier, self._past.referenced), earlier)

    def wanted(self, request: ChatRequest, earlier: Sequence[Json]) -> Wanted:
        """What this request takes."""
        return wanted_chat(self._exchange, self.work(request, earlier))

    def work(self, request: ChatRequest, earlier: Sequence[Json] = ()) -> Responding:
        """How to ask for it."""
        return Responding(request, self.form, False, self._asked, earlier, self._past.referenced)

    async def whole(self, body: bytes) -> bytes:
        """Keep a whole answer."""
        return _ENCODER.encode(await self._kept(_OBJECT.decode(body)))

    async def last(self) -> bytes:
        """Keep what a stream said; its terminal event."""
        final = self.form.final()
        return self.form.end(await self._kept(final if self.watch is None else self.watch.final(final)))

    def broken(self, error: GatewayError) -> bytes:
        """The terminal event of a stream that broke."""
        code = error.fault.code if isinstance(error, StreamBroken) else None
        if isinstance(error, ContentFiltered):
            return self.form.broken(error.code, error.message, withheld=True)
        told = self.form.broken(code, error.message)
        try:
            return told if self.watch is None else self.watch.events(told)
        except ContentFiltered:
            # What had come so far is not for the caller to see, either.
            return self.form.broken(code, error.message, withheld=True)

    async def _kept(self, response: Json) -> Json:
        response["completed_at"] = int(self._responses.wall()) if response["status"] == "completed" else None
        if response["store"]:
            given = kept(self._asked.given, self.form.identity, self._past.referenced)
            response["store"] = await self._responses.keep(self._exchange.principal, response, given)
        return response


class _Counted(_Conversation):
    """The same, of a request that is only to be counted."""

    def wanted(self, request: ChatRequest, earlier: Sequence[Json]) -> Wanted:
        """What counting takes."""
        return wanted_count(self._exchange, request, self.form)


def _understand(incoming: Incoming) -> Ask:
    conversation = _Conversation(incoming)
    request = conversation.request
    # Each response has an id of its own, by which it may be deleted: none is another's from the cache.
    ask = ask_chat(incoming, request, conversation.work(request), "uncached")
    ask.talk, ask.ending = conversation.talk, conversation
    return ask


def _count(incoming: Incoming) -> Ask:
    conversation = _Counted(incoming)
    ask = ask_count(incoming, conversation.request, conversation.form)
    ask.talk = conversation.talk
    return ask


RESPONSES = Surface("responses", "responses", RESPONSES_SHAPE, _understand)
INPUT_TOKENS = Surface("count_tokens", "responses", RESPONSES_SHAPE, _count, counts=True)
