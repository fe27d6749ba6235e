"""`POST /api/llm/orchestrate`: which provider answered, why, at what cost, from cache or not.

The chat part of the body is OpenAI's vocabulary, so it is read by that dialect; what the gateway is asked beside it
(providers, mode, strategy, objective …) becomes `Preferences`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from gateway.api import native
from gateway.api.chat import ask_chat, wanted_chat
from gateway.api.faults import NATIVE_SHAPE
from gateway.api.ingress import Incoming, Surface
from gateway.asking import Ask, Talk
from gateway.calls import Chat
from gateway.capping import Cap
from gateway.catalog import AUTO
from gateway.errors import BadRequest
from gateway.exchange import Preferences
from providers.chat import Json
from providers.dialect import InvalidRequest
from providers.dialects import OPENAI
from providers.dialects.wire import fields, read_request

_NATIVE = native.Native()
_ENCODER = msgspec.json.Encoder()
Weight = Annotated[float, Meta(ge=0)]
#: Calls at a time for one request. Doubled, one caller's request is a burst that meets rate limits; every provider
#: there is a dialect for fits in.
_MOST = 8
#: Asked at once by a race that names neither `parallel` nor providers: the second hides the one that is slow, a third
#: would be paid for by every request and needed by few.
_RACERS = 2


class CacheWish(Struct, forbid_unknown_fields=True):
    """Whether an answer may come from the cache; `ttl` in seconds, `refresh` asks anew and keeps the answer."""

    ttl: Annotated[float, Meta(gt=0)] | None = None
    refresh: bool = False


class Weights(Struct, forbid_unknown_fields=True):
    """What an answer is worth: the weights of the expected loss."""

    latency: Weight = 0.0
    cost: Weight = 0.0
    errors: Weight = 0.0
    quality: Weight = 0.0


class OrchestrateRequest(Struct, forbid_unknown_fields=True):
    """The body of `POST /api/llm/orchestrate`. Exactly one of `prompt` and `messages`; `timeout` in seconds.

    `mode`: `route` asks one, and another when it fails; `fallback` tries `providers` in their order; `race` asks
    `parallel` at once, and the first good answer wins; `compare` asks every provider named, or up to `parallel` of
    those that can answer, and gives one result each. `max_cost_usd` bounds what is expected to be spent: who would
    exceed it is not asked.
    """

    prompt: str | None = None
    messages: list[Json] | None = None
    providers: list[str] = []
    model: str = AUTO
    mode: Literal["route", "compare", "race", "fallback"] = "route"
    parallel: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    max_cost_usd: Annotated[float, Meta(gt=0)] | None = None
    strategy: str | None = None
    objective: str | Weights | None = None
    session_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] | None = None
    cache: bool | CacheWish | None = None
    stream: bool = False
    timeout: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    metadata: dict[str, Any] | None = None
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    stop: str | list[str] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    response_format: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    logprobs: bool | UnsetType = UNSET
    top_logprobs: int | UnsetType = UNSET
    logit_bias: Raw | UnsetType = UNSET
    verbosity: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    store: bool | UnsetType = UNSET
    prompt_cache_key: str | UnsetType = UNSET


class _ChatBody(Struct, omit_defaults=True):
    """The OpenAI request that stands for the chat part."""

    model: str
    messages: list[Json]
    stream: bool = False
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    stop: str | list[str] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    response_format: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    logprobs: bool | UnsetType = UNSET
    top_logprobs: int | UnsetType = UNSET
    logit_bias: Raw | UnsetType = UNSET
    verbosity: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    store: bool | UnsetType = UNSET
    prompt_cache_key: str | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(OrchestrateRequest)
_COPIED = tuple(name for name in _ChatBody.__struct_fields__ if name not in {"model", "messages", "stream"})


def _read(body: bytes) -> OrchestrateRequest:
    """The body. A field of the chat part that is null is one that nobody has set, as in OpenAI's API."""
    try:
        return read_request(_DECODER, body)
    except InvalidRequest:
        given = fields(body)
        unset = [name for name in ("stream", *_COPIED) if bytes(given.get(name, b"")) == b"null"]
        if not unset:
            raise
        return read_request(_DECODER, _ENCODER.encode({name: given[name] for name in given if name not in unset}))


def _understand(incoming: Incoming) -> Ask:
    body = _read(incoming.body)
    _prefer(incoming, body)
    messages = _messages(body)
    work = _work(body, messages)
    ask = ask_chat(incoming, work.request, work, "native")
    if incoming.exchange.preferences.session_id is not None:
        if ask.exchange.stream:
            ask.exchange.said = []
        exchange = incoming.exchange
        ask.talk = Talk(messages, lambda earlier: wanted_chat(exchange, _work(body, [*earlier, *messages])))
    return ask


def _work(body: OrchestrateRequest, messages: list[Json]) -> Chat:
    chat = _ChatBody(body.model, messages, body.stream, *(getattr(body, name) for name in _COPIED))
    request = OPENAI.parse(_ENCODER.encode(chat))
    request.metadata = body.metadata
    return Chat(request, _NATIVE, drop=False)


def _messages(body: OrchestrateRequest) -> list[Json]:
    if (body.prompt is None) == (body.messages is None):
        raise BadRequest("Give exactly one of 'prompt' and 'messages'.", param="prompt")
    if body.messages is not None:
        return body.messages
    if not (body.prompt or "").strip():
        raise BadRequest("'prompt' is empty.", param="prompt")
    return [{"role": "user", "content": body.prompt}]


def _prefer(incoming: Incoming, body: OrchestrateRequest) -> None:
    """The body's wishes over those of the headers."""
    wishes = incoming.exchange.preferences
    if body.providers:
        wishes.providers = tuple(body.providers)
    wishes.session_id = body.session_id or wishes.session_id
    _prefer_mode(wishes, body)
    wishes.max_cost = body.max_cost_usd
    if body.max_cost_usd is not None:
        incoming.exchange.cap = Cap(body.max_cost_usd)
    wishes.strategy = body.strategy or wishes.strategy
    wishes.timeout = body.timeout or wishes.timeout
    if isinstance(body.objective, Weights):
        wishes.objective = "custom"
        wishes.weights = msgspec.structs.asdict(body.objective)
    else:
        wishes.objective = body.objective or wishes.objective
    if isinstance(body.cache, CacheWish):
        wishes.cache = "refresh" if body.cache.refresh else "on"
        wishes.cache_ttl = body.cache.ttl or wishes.cache_ttl
    elif body.cache is not None:
        wishes.cache = "on" if body.cache else "off"


def _prefer_mode(wishes: Preferences, body: OrchestrateRequest) -> None:
    named = len(wishes.providers)
    match body.mode:
        case "fallback":
            if not named:
                raise BadRequest("Mode 'fallback' needs 'providers', in the order to try them.", param="providers")
            wishes.ordered = True
        case "race":
            wishes.race = body.parallel or min(named, _MOST) or _RACERS
        case "compare":
            if named > _MOST:
                raise BadRequest(f"Mode 'compare' asks at most {_MOST} providers.", param="providers")
            if wishes.session_id is not None:
                raise BadRequest(
                    "Mode 'compare' keeps no session: it has several answers, and none of them is the next turn. Send "
                    "the earlier turns in 'messages'.",
                    param="session_id",
                )
            if body.strategy or wishes.strategy:
                raise BadRequest("Mode 'compare' asks everybody: there is nothing to choose by.", param="strategy")
            wishes.compare = body.parallel or _MOST
        case "route":
            pass
    if body.parallel is not None and body.mode not in {"race", "compare"}:
        raise BadRequest(f"Mode '{body.mode}' asks one at a time; 'parallel' is for the others.", param="parallel")


ORCHESTRATE = Surface(
    "orchestrate", "native", NATIVE_SHAPE, _understand, dress=native.dress, closing=native.closing, said=native.said
)
