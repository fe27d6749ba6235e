"""`/v1/chat/completions`, `/v1/embeddings` (OpenAI's) and `/v1/messages` (Anthropic's): parse, wrap."""

from gateway.api.faults import ANTHROPIC_SHAPE, OPENAI_SHAPE
from gateway.api.ingress import Incoming, Surface, require_model
from gateway.caching import Family
from gateway.calls import Chat, Embedding
from gateway.catalog import EMBEDDINGS as EMBEDDING_CAPABILITY
from gateway.catalog import Asked
from gateway.pipeline import Ask
from providers.chat import ChatRequest
from providers.dialects import ANTHROPIC, OPENAI

#: Callers' headers that belong to Anthropic's format and go along when an Anthropic endpoint answers.
_ANTHROPIC_HEADERS = (b"anthropic-beta",)
_NEEDS_EMBEDDINGS = frozenset({EMBEDDING_CAPABILITY})


def ask_chat(incoming: Incoming, request: ChatRequest, work: Chat, family: Family) -> Ask:
    """The pipeline's view of a chat request."""
    exchange = incoming.exchange
    exchange.requested_model = require_model(request.model)
    exchange.stream = request.stream
    exchange.user = request.user
    exchange.tags = request.metadata
    asked = Asked(
        needs=request.needs,
        input_tokens=request.input_tokens,
        output_tokens=request.max_tokens or 0,
        providers=exchange.preferences.providers,
    )
    return Ask(exchange, work, incoming.body, asked, request.max_tokens, family, request.temperature == 0)


def _chat_completions(incoming: Incoming) -> Ask:
    request = OPENAI.parse(incoming.body)
    return ask_chat(incoming, request, Chat(request, OPENAI, drop=False), "drop_in")


def _messages(incoming: Incoming) -> Ask:
    request = ANTHROPIC.parse(incoming.body)
    request.headers = tuple(
        (name.decode(), incoming.headers[name].decode("latin-1"))
        for name in _ANTHROPIC_HEADERS
        if name in incoming.headers
    )
    return ask_chat(incoming, request, Chat(request, ANTHROPIC, drop=False), "drop_in")


def _embeddings(incoming: Incoming) -> Ask:
    request = OPENAI.parse_embedding(incoming.body)
    exchange = incoming.exchange
    exchange.requested_model = require_model(request.model)
    exchange.user = request.user
    asked = Asked(_NEEDS_EMBEDDINGS, request.input_tokens, 0, exchange.preferences.providers)
    # The same text has the same vector.
    return Ask(exchange, Embedding(request, OPENAI, drop=False), incoming.body, asked, 1, "drop_in", True)


CHAT_COMPLETIONS = Surface("chat", "openai", OPENAI_SHAPE, _chat_completions)
EMBEDDINGS = Surface("embeddings", "openai", OPENAI_SHAPE, _embeddings)
MESSAGES = Surface("messages", "anthropic", ANTHROPIC_SHAPE, _messages)
