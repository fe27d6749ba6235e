"""Gemini's API: `POST /v1beta/models/{model}:<verb>`; `_VERBS` are all that are known.

The path names the model and what is wanted of it. Google's SDK asks version `v1` unless told otherwise, where OpenAI's
addresses are: there, only a path below `/v1/models/` that ends in one of these verbs is Google's. OpenAI posts nothing
below that prefix, so that path and method tell the two apart.

A stream is server-sent events with `?alt=sse` and one JSON array without it. Both are one surface: what is kept of a
stream in the cache are its events, and the array is made of them on its way out.
"""

from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import parse_qsl

from litestar.types import HTTPScope

from gateway.api import wire
from gateway.api.chat import ask_chat, ask_count, ask_embedding
from gateway.api.faults import GOOGLE_ARRAY_SHAPE, GOOGLE_SHAPE
from gateway.api.ingress import Incoming, Surface
from gateway.asking import Ask
from gateway.calls import Chat
from gateway.errors import NotFound
from providers.dialects import GEMINI
from providers.dialects.gemini import EmbeddingForm, parse_call, parse_embedding
from providers.dialects.gemini.embed_callers import Verb
from providers.sse import Parser

_VERSIONS = ("/v1beta/", "/v1/")
#: A path that begins otherwise is none of these surfaces'.
BELOW = ("/v1beta/", "/v1/models/")
#: Bytes: the parser's bound is against what comes from outside; these events are ours, or have been through it.
_ANY_LENGTH = 2**40


def surface_at(scope: HTTPScope) -> Surface | None:
    """The surface at an address below `BELOW`; None when it is not one of Gemini's."""
    path = scope["path"]
    ours = path.startswith(_VERSIONS[0])
    if scope["method"] != "POST" and not ours:
        return None
    resource, colon, verb = path.rpartition(":")
    surface = _VERBS.get(verb)
    if surface is None:
        # Among OpenAI's addresses nothing is posted to a model, least of all with a verb.
        return _NOWHERE if scope["method"] == "POST" and (ours or (colon and resource.startswith(BELOW))) else None
    if surface is STREAM_GENERATE and not _wants_events(scope["query_string"]):
        return STREAM_GENERATE_ARRAY
    return surface


def model_at(path: str) -> str:
    """The model that a path names. Raises `NotFound` when it names none."""
    version = next((one for one in _VERSIONS if path.startswith(one)), "")
    resource, colon, _ = path.removeprefix(version).rpartition(":")
    # Vercel's SDK takes a name with a slash for a whole resource, and leaves `models/` out.
    if not colon or "/" not in resource:
        raise NotFound(
            f"There is nothing at this address. POST {_VERSIONS[0]}models/<model>:<verb>, "
            f"where the verb is one of: {', '.join(_VERBS)}."
        )
    return resource.removeprefix("models/")


async def as_array(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of server-sent events as one JSON array, each as soon as it is there."""
    parser = Parser(_ANY_LENGTH)
    before = b"["
    async for piece in events:
        for event in parser.feed(piece):
            yield before + event.data
            before = b",\r\n"
    yield b"[]" if before == b"[" else b"]"


def _wants_events(query: bytes) -> bool:
    if query == b"alt=sse":
        # As every SDK writes it.
        return True
    said = dict(parse_qsl(query.decode("latin-1")))
    return said.get("alt", said.get("$alt")) == "sse"


def _generate(incoming: Incoming) -> Ask:
    return _ask(incoming, stream=False)


def _stream(incoming: Incoming) -> Ask:
    return _ask(incoming, stream=True)


def _ask(incoming: Incoming, *, stream: bool) -> Ask:
    request = parse_call(incoming.body, model_at(incoming.path), stream=stream)
    return ask_chat(incoming, request, Chat(request, GEMINI, drop=False), "drop_in")


def _count(incoming: Incoming) -> Ask:
    return ask_count(incoming, GEMINI.parse_count(incoming.body, model_at(incoming.path)), GEMINI)


def _embed(verb: Verb, incoming: Incoming) -> Ask:
    request = parse_embedding(incoming.body, model_at(incoming.path), verb)
    return ask_embedding(incoming, request, EmbeddingForm(verb))


def _nowhere(incoming: Incoming) -> Ask:
    raise NotFound(f"There is no such method. These are known: {', '.join(_VERBS)}.")


GENERATE = Surface(
    "generate_content", "gemini", GOOGLE_SHAPE, _generate, key_in_query=True, blocked=lambda answer: answer
)
STREAM_GENERATE = Surface(
    "stream_generate_content",
    "gemini",
    GOOGLE_SHAPE,
    _stream,
    key_in_query=True,
    blocked=lambda answer: b"data: " + answer + b"\r\n\r\n",
)
STREAM_GENERATE_ARRAY = Surface(
    "stream_generate_content",
    "gemini",
    GOOGLE_ARRAY_SHAPE,
    _stream,
    key_in_query=True,
    reframe=as_array,
    streams_as=wire.JSON,
    blocked=lambda answer: b"[" + answer + b"]",
)
COUNT = Surface("count_tokens", "gemini", GOOGLE_SHAPE, _count, key_in_query=True, counts=True)
EMBED = Surface("embed_content", "gemini", GOOGLE_SHAPE, partial(_embed, "embedContent"), key_in_query=True)
EMBED_MANY = Surface(
    "batch_embed_contents", "gemini", GOOGLE_SHAPE, partial(_embed, "batchEmbedContents"), key_in_query=True
)
_NOWHERE = Surface("gemini", "gemini", GOOGLE_SHAPE, _nowhere, key_in_query=True)
_VERBS = {
    "generateContent": GENERATE,
    "streamGenerateContent": STREAM_GENERATE,
    "countTokens": COUNT,
    "embedContent": EMBED,
    "batchEmbedContents": EMBED_MANY,
}
