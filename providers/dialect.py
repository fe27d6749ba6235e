"""What a provider is: a dialect (pure code), an endpoint (data) and a profile (documented quirks, data).

A dialect stands on both sides of the gateway. Towards a provider it encodes requests and decodes answers; towards a
caller it parses requests and renders answers. It is pure: bytes and values in, bytes and values out; no I/O, no
clock, no retry. One instance serves every request.

Law of translation: a field that cannot be said in the provider's dialect raises `Inexpressible`, or, when the caller
allowed dropping, is named in `Call.dropped`. Never a silent loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from msgspec import Struct, field

from providers.chat import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    Glance,
    Json,
    Tool,
    ToolChoice,
)
from providers.errors import Fault
from providers.sse import Event

Headers = tuple[tuple[str, str], ...]


class InvalidRequest(Exception):
    """The caller's body is not a valid request. `param` is the path of the field, `code` a machine code."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Say what is wrong, where, and how to mend it."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class Inexpressible(Exception):
    """These fields of the request have no equivalent in the provider's dialect."""

    def __init__(self, fields: tuple[str, ...], dialect: str, why: str = "") -> None:
        """Name the fields, in the caller's words, and the dialect that lacks them; `why` in a sentence, if it helps."""
        super().__init__(f"The {dialect} format cannot express: {', '.join(fields)}.")
        self.fields = fields
        self.dialect = dialect
        self.why = why


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """Quirks of a server that speaks a dialect almost as written. Every default is the dialect's own documentation."""

    #: OpenAI: the field that bounds the answer. Its newer models refuse `max_tokens`; most other servers know only it.
    max_tokens_field: str = "max_tokens"
    #: OpenAI: the server takes `stream_options.include_usage`. Without it a stream's cost is estimated.
    stream_usage: bool = True
    #: OpenAI: system text is sent with the role `developer`.
    developer_role: bool = False
    #: OpenAI: the server understands `response_format: json_schema`; otherwise the schema becomes the parameters of a
    #: tool that the model must call, and its answer is validated.
    json_schema: bool = True
    #: Answers to one request (`n`), at most; more are asked for by several calls. 0: as the dialect documents.
    choices: int = 0
    #: The models, by a regular expression that is looked for in their names, that give one answer to a request.
    single_choice: str = ""
    #: Stop sequences of one request, at most; the gateway looks for the others itself. -1: as the dialect documents.
    stop_sequences: int = -1
    #: The models, by a regular expression that is looked for in their names, that take no stop sequences at all.
    no_stop: str = ""
    #: OpenAI: the server takes `parallel_tool_calls`; otherwise calls after the first are left out of the answer.
    parallel_tool_calls: bool = True
    #: OpenAI: the server understands `reasoning_effort`.
    reasoning_effort: bool = True
    #: OpenAI: the server takes `prompt_cache_key` of a request in another dialect; a hint, and left out otherwise.
    prompt_cache_key: bool = False
    #: OpenAI: the server takes `web_search_options`, though not for every model.
    web_search: bool = False
    #: OpenAI: the server has `/responses` too. What callers ask there is passed on in its own form, not translated.
    responses: bool = False
    #: Anthropic: the API version header.
    anthropic_version: str = "2023-06-01"
    #: Gemini: the API version in the path.
    gemini_version: str = "v1beta"
    #: The header by which the server tells a call that is made again, after a crash say, from a new one. None of the
    #: dialects documents any; what is sent there names a call of a workflow.
    idempotency_header: str = ""
    #: Further headers for every call (an organisation, a tenant …): name → value.
    headers: dict[str, str] = field(default_factory=dict[str, str])
    #: The provider is Steelyard's simulator: its answers are marked `simulated`.
    simulated: bool = False


class Target(Struct, frozen=True):
    """The model a call goes to: `upstream` is its name there; `max_output` bounds answers where a bound is required."""

    provider: str
    upstream: str
    profile: Profile
    max_output: int | None = None


def every(schema: Json) -> bool:
    """Every schema is one to which a model binds its answer."""
    return True


class Limits(Struct, frozen=True):
    """What of a request a model does by itself: so many answers, so many stop sequences (None: any number).

    `blank_stops`: of nothing but white space among them; `shapes`: it binds its answer to schemas, namely to those
    that it `binds`; `own_shapes`: that it has none holds for requests in its own dialect too; `forces_thinking`: it can
    be made to call a tool although it thinks first.
    """

    choices: int
    stops: int | None
    blank_stops: bool = True
    shapes: bool = True
    binds: Callable[[Json], bool] = every
    own_shapes: bool = False
    forces_thinking: bool = True


class Amends(Struct, frozen=True):
    """What the gateway does to an answer itself, because the model does not.

    `stops` end its text; the arguments of the tool `answer` are its text; its text follows `schema`; of its text the
    JSON is told and nothing beside it (`bare`).
    """

    stops: tuple[str, ...] = ()
    answer: str | None = None
    schema: Json | None = None
    bare: bool = False


class Fit(Struct, frozen=True):
    """What of a request is said in other words: None stays as it is, an empty `stop` is left out.

    `tools` and `choice` stand in the place of the caller's, and of the shape that was asked for.
    """

    n: int | None = None
    stop: list[str] | None = None
    tools: list[Tool] | None = None
    choice: ToolChoice | None = None


class Call(Struct):
    """A request ready to be sent: `path` is appended to the endpoint's base URL. `dropped` names what was left out.

    `first_call_only`: of the answer's tool calls the caller wants no second, and the provider cannot be told.
    `names`: what the caller calls the functions that have another name in it. `choices` are asked for by this call;
    `more` are the calls that ask for the others. With `amends` the answer is not yet what the caller asked for.
    """

    path: str
    body: bytes
    headers: Headers = ()
    dropped: tuple[str, ...] = ()
    content_type: str = "application/json"
    first_call_only: bool = False
    names: Mapping[str, str] = {}
    choices: int = 1
    more: tuple[Call, ...] = ()
    amends: Amends | None = None

    @property
    def answers_as_asked(self) -> bool:
        """The answer is what the caller asked for, as it comes."""
        return self.amends is None and not self.first_call_only


class Quota(Struct, frozen=True):
    """What a provider said of the caller's limits; `reset_*` in seconds from the answer."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens: float | None = None


class StreamDecoder(Protocol):
    """Events of one upstream stream → chunks. Fed in order; raises the Fault that an error event stands for.

    Raises `Garbled` for an event that is not the dialect's.
    """

    @property
    def complete(self) -> bool:
        """True once the terminal event was seen: a stream that ends earlier was cut."""
        ...

    @property
    def opaque(self) -> bool:
        """True once something came for which there is no chunk: nobody else can go on with such a stream."""
        ...

    def feed(self, event: Event) -> list[ChatChunk]:
        """The chunks one event stands for, possibly none."""
        ...

    def usage_only(self, event: Event) -> bool:
        """True when the event just fed carries nothing but usage that the caller did not ask for."""
        ...


class StreamEncoder(Protocol):
    """Chunks → bytes of one stream in the caller's dialect."""

    @property
    def rewrite(self) -> Callable[[Event], bytes] | None:
        """Where the provider's own events are passed on but for what must change: the event as the caller sees it."""
        ...

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events one chunk stands for, possibly none (`b""`)."""
        ...

    def end(self) -> bytes:
        """The terminal events, once the upstream stream is complete. Raises the `Fault` of a wrong answer."""
        ...


class Dialect(Protocol):
    """A wire format, seen from both sides."""

    @property
    def name(self) -> str:
        """`openai`, `anthropic` or `gemini`."""
        ...

    # Towards the provider

    def authorise(self, api_key: str | None, profile: Profile) -> Headers:
        """The headers that carry the key and the API version."""
        ...

    def encode(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """The call to make. A request already in this dialect keeps its bytes but for the model's name.

        Raises:
            Inexpressible: fields have no equivalent and `drop` is false.
        """
        ...

    def glance(self, body: bytes) -> Glance:
        """What must be known of an answer that is passed on untouched. Raises `Garbled`."""
        ...

    def decode(self, body: bytes) -> ChatReply:
        """A complete answer. Raises `Garbled`, or the Fault that a refused prompt stands for."""
        ...

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for one stream."""
        ...

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """What an answer with an error status means. Header names are lower case; never raises."""
        ...

    def quota(self, headers: Mapping[str, str]) -> Quota | None:
        """The rate-limit headers of an answer, or None when it has none. Never raises."""
        ...

    def limits(self, target: Target) -> Limits:
        """What the model does by itself."""
        ...

    def refit(self, body: bytes, changes: Fit) -> bytes:
        """A request in this dialect with these changes and everything else in its own bytes."""
        ...

    # Towards the caller

    def parse(self, body: bytes) -> ChatRequest:
        """The typed view of a caller's body. Raises `InvalidRequest`."""
        ...

    def render(self, reply: ChatReply) -> bytes:
        """A complete answer in this dialect."""
        ...

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """An encoder for one stream."""
        ...


@runtime_checkable
class Prefills(Protocol):
    """The further power of dialects whose models go on from a last message that is their own."""

    def prefills(self, target: Target) -> bool:
        """Whether this model does."""
        ...


@runtime_checkable
class Follows(Protocol):
    """The further power of stream encoders that must know more than the chunks to go on after untouched bytes."""

    def follow(self, seen: StreamDecoder) -> None:
        """The caller has seen the bytes that this decoder read."""
        ...


@runtime_checkable
class Marks(Protocol):
    """The further power of stream encoders that can say amid a stream that another provider goes on with it."""

    def continued(self, told: Json) -> bytes:
        """An event that callers who do not know it pass over; `told` says who goes on, and why."""
        ...


class EmbeddingDialect(Protocol):
    """The further power of dialects that embed."""

    def encode_embedding(self, request: EmbeddingRequest, target: Target, *, drop: bool) -> Call:
        """The call to make. Raises `Inexpressible`."""
        ...

    def decode_embedding(self, body: bytes) -> EmbeddingReply:
        """The vectors. Raises `Garbled`."""
        ...


class CountingDialect(Protocol):
    """The further power of dialects whose providers count a prompt's tokens."""

    def encode_count(self, request: ChatRequest, target: Target, *, drop: bool) -> Call:
        """The call to make. A request already in this dialect keeps its bytes but for the model's name.

        Raises:
            Inexpressible: fields have no equivalent and `drop` is false.
        """
        ...

    def decode_count(self, body: bytes) -> int:
        """The tokens. Raises `Garbled`."""
        ...

    def render_count(self, tokens: int) -> bytes:
        """The answer in this dialect."""
        ...
