"""`/v1/chat/completions`, `/v1/embeddings` (OpenAI's), `/v1/messages`, `/v1/messages/count_tokens` (Anthropic's).

Parse, wrap.
"""

import msgspec

from gateway.api.faults import ANTHROPIC_SHAPE, OPENAI_SHAPE
from gateway.api.ingress import Incoming, Surface, require_model
from gateway.asking import Ask, Wanted
from gateway.caching import Family
from gateway.calls import Chat, Embedding, EmbeddingForm
from gateway.catalog import EMBEDDINGS as EMBEDDING_CAPABILITY
from gateway.catalog import Asked
from gateway.counting import CountForm, Counting
from gateway.exchange import Exchange
from providers.chat import ChatRequest, EmbeddingRequest, Json
from providers.dialects import ANTHROPIC, OPENAI

#: Callers' headers that belong to Anthropic's format and go along when an Anthropic endpoint answers.
_ANTHROPIC_HEADERS = (b"anthropic-beta",)
#: Characters of a name, and bytes of tags, that a record holds while it waits in memory.
_LONGEST_NAME, _LARGEST_TAGS = 256, 16_384
_NEEDS_EMBEDDINGS = frozenset({EMBEDDING_CAPABILITY})


def ask_chat(incoming: Incoming, request: ChatRequest, work: Chat, family: Family) -> Ask:
    """The pipeline's view of a chat request."""
    exchange = incoming.exchange
    exchange.requested_model = require_model(request.model)
    exchange.stream = request.stream
    exchange.user = request.user[:_LONGEST_NAME] if request.user else None
    exchange.tags = _tags(request.metadata)
    exchange.pinned_headers = request.headers
    return Ask(exchange, wanted_chat(exchange, work), incoming.body, family, request.temperature == 0)


def wanted_chat(exchange: Exchange, work: Chat) -> Wanted:
    """What a chat request takes."""
    request = work.request
    asked = Asked(
        needs=request.needs,
        input_tokens=request.input_tokens,
        output_tokens=request.max_tokens or 0,
        providers=exchange.preferences.providers,
    )
    return Wanted(work, asked, request.max_tokens)


def ask_count(incoming: Incoming, request: ChatRequest, form: CountForm) -> Ask:
    """The pipeline's view of a prompt to be counted; one that fits no window can be counted all the same."""
    exchange = incoming.exchange
    exchange.requested_model = require_model(request.model)
    exchange.pinned_headers = request.headers
    return Ask(exchange, wanted_count(exchange, request, form), incoming.body, "drop_in", deterministic=False)


def wanted_count(exchange: Exchange, request: ChatRequest, form: CountForm) -> Wanted:
    """What a prompt to be counted takes."""
    asked = Asked(request.needs, 0, 0, exchange.preferences.providers)
    return Wanted(Counting(request, form, drop=False), asked, 1)


def _tags(metadata: Json | None) -> Json | None:
    """The caller's tags, unless they are a document: a record is not the place for one."""
    if metadata and len(msgspec.json.encode(metadata)) > _LARGEST_TAGS:
        return {"omitted": True}
    return metadata


def _chat_completions(incoming: Incoming) -> Ask:
    request = OPENAI.parse(incoming.body)
    return ask_chat(incoming, request, Chat(request, OPENAI, drop=False), "drop_in")


def _messages(incoming: Incoming) -> Ask:
    request = ANTHROPIC.parse(incoming.body)
    request.headers = _pinned(incoming)
    return ask_chat(incoming, request, Chat(request, ANTHROPIC, drop=False), "drop_in")


def _count_tokens(incoming: Incoming) -> Ask:
    request = ANTHROPIC.parse_count(incoming.body)
    request.headers = _pinned(incoming)
    return ask_count(incoming, request, ANTHROPIC)


def _pinned(incoming: Incoming) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode(), incoming.headers[name].decode("latin-1"))
        for name in _ANTHROPIC_HEADERS
        if name in incoming.headers
    )


def ask_embedding(incoming: Incoming, request: EmbeddingRequest, form: EmbeddingForm) -> Ask:
    """The pipeline's view of a request for embeddings."""
    exchange = incoming.exchange
    exchange.requested_model = require_model(request.model)
    exchange.user = request.user[:_LONGEST_NAME] if request.user else None
    asked = Asked(_NEEDS_EMBEDDINGS, request.input_tokens, 0, exchange.preferences.providers)
    wanted = Wanted(Embedding(request, form, drop=False), asked, 1)
    # The same text has the same vector.
    return Ask(exchange, wanted, incoming.body, "drop_in", deterministic=True)


def _embeddings(incoming: Incoming) -> Ask:
    return ask_embedding(incoming, OPENAI.parse_embedding(incoming.body), OPENAI)


CHAT_COMPLETIONS = Surface("chat", "openai", OPENAI_SHAPE, _chat_completions)
EMBEDDINGS = Surface("embeddings", "openai", OPENAI_SHAPE, _embeddings)
MESSAGES = Surface("messages", "anthropic", ANTHROPIC_SHAPE, _messages)
COUNT_TOKENS = Surface("count_tokens", "anthropic", ANTHROPIC_SHAPE, _count_tokens, counts=True)
