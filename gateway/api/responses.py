"""`POST /v1/responses`: OpenAI's newer API, for every provider. What it keeps is in `gateway.responses`."""

from collections.abc import Mapping, Sequence

import msgspec

from gateway.api.chat import ask_chat, wanted_chat
from gateway.api.faults import RESPONSES_SHAPE
from gateway.api.ingress import Incoming, Surface
from gateway.asking import Ask, Talk, Wanted
from gateway.errors import GatewayError
from gateway.responding import Responding
from gateway.responses import Past, Responses, trimmed
from providers.chat import ChatRequest, Json
from providers.dialects.responses import Asked, Form, kept, parse

_OBJECT = msgspec.json.Decoder(dict[str, object])
_ENCODER = msgspec.json.Encoder()


class _Conversation:
    """One request's: what was said before it, and what is kept of it."""

    def __init__(self, asked: Asked, form: Form, incoming: Incoming) -> None:
        """Nothing recalled yet."""
        self._asked = asked
        self._form = form
        self._exchange = incoming.exchange
        self._responses: Responses = incoming.responses
        self._past = Past([], {})

    async def recall(self, windows: Sequence[int | None]) -> list[Json]:
        """The items before this request's own; see `Talk`."""
        request = self._asked.request
        previous, references = request.previous_response_id, self._asked.references
        self._past = await self._responses.recall(self._exchange.principal, previous, references)
        if request.truncation != "auto":
            return self._past.items
        return trimmed(self._past.items, windows, self._asked.draft().input_tokens)

    def after(self, earlier: list[Json]) -> Wanted:
        """What the request takes with these items before it."""
        referenced = self._past.referenced
        work = self.work(self._asked.chat(earlier, referenced), earlier, referenced)
        return wanted_chat(self._exchange, work)

    def work(
        self, request: ChatRequest, earlier: Sequence[Json] = (), referenced: Mapping[str, Json] | None = None
    ) -> Responding:
        """How to ask for it."""
        return Responding(request, self._form, False, self._asked, earlier, referenced or {})

    async def whole(self, body: bytes) -> bytes:
        """Keep a whole answer."""
        return _ENCODER.encode(await self._kept(_OBJECT.decode(body)))

    async def last(self) -> bytes:
        """Keep what a stream said; its terminal event."""
        return self._form.end(await self._kept(self._form.final()))

    def broken(self, error: GatewayError) -> bytes:
        """The terminal event of a stream that broke."""
        # The API has few codes for this, and most are of no concern here; what happened is in the message.
        return self._form.broken("server_error", error.message)

    async def _kept(self, response: Json) -> Json:
        response["completed_at"] = int(self._responses.wall()) if response["status"] == "completed" else None
        if response["store"]:
            given = kept(self._asked.given, self._form.identity, self._past.referenced)
            response["store"] = await self._responses.keep(self._exchange.principal, response, given)
        return response


def _understand(incoming: Incoming) -> Ask:
    asked = parse(incoming.body)
    exchange = incoming.exchange
    form = Form(asked, exchange.id.removeprefix("req_"), int(exchange.created))
    conversation = _Conversation(asked, form, incoming)
    goes_on = asked.request.previous_response_id is not None or bool(asked.references)
    request = asked.draft() if goes_on else asked.chat()
    # Each response has an id of its own, by which it may be deleted: none is another's from the cache.
    ask = ask_chat(incoming, request, conversation.work(request), "uncached")
    ask.ending = conversation
    if goes_on:
        ask.talk = Talk([], conversation.after, conversation.recall)
    return ask


RESPONSES = Surface("responses", "responses", RESPONSES_SHAPE, _understand)
