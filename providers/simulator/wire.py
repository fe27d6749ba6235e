"""The words in which the server talks to the three dialects: operation, reply, complaint.

A dialect module holds pure functions only, and is one value of `Dialect`: it finds the operation of a path, parses a
body to an `Ask`, and writes answers, events and failures. It knows neither time nor chance nor sockets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from msgspec import Struct

from providers.simulator.config import Model
from providers.simulator.physics import Allowance
from providers.simulator.writing import Answer, Ask

Headers = list[tuple[bytes, bytes]]
#: Fault kinds that end in an error body. `server_error` is a plain 500, `not_found` an unknown path.
Failure = Literal["server_error", "overloaded", "throttled", "unauthorized", "no_key", "unknown_model", "not_found"]
JSON = b"application/json"
SSE = b"text/event-stream; charset=utf-8"
#: An image counts this many prompt tokens, whatever its size (what OpenAI charges for one in low detail).
IMAGE_TOKENS = 85


class Operation(NamedTuple):
    """What a path asks for."""

    kind: Literal["chat", "embed", "count", "models", "model", "complete", "pass"]
    model: str | None = None  # where the path names it
    stream: bool = False
    variant: str = ""  # a dialect's own distinction


class Reply(NamedTuple):
    """A complete HTTP answer."""

    status: int
    body: bytes
    headers: Headers = []  # noqa: RUF012 - never changed in place
    content_type: bytes = JSON


class Complaint(Exception):
    """The request is wrong; carries the provider's own way to say so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Usage(Struct, frozen=True):
    """Tokens of a request."""

    prompt: int
    output: int
    thought: int = 0
    cached: int = 0
    cache_written: int = 0


class Turn(Struct, frozen=True, kw_only=True):
    """An answered request with all that its serialization needs."""

    ask: Ask
    answers: Sequence[Answer]
    usage: Usage
    number: int  # of the request at this provider; makes ids
    created: int  # Unix seconds

    @property
    def model(self) -> str:
        """The model's name."""
        return self.ask.model


class EmbedAsk(Struct, frozen=True, kw_only=True):
    """An embeddings request."""

    model: str
    inputs: Sequence[str]
    dimensions: int | None = None
    base64: bool = False
    batch: bool = True  # Gemini answers a single input in another shape


#: One event of a stream: its bytes and how many output tokens it carries.
Event = tuple[bytes, int]


class Dialect(Protocol):
    """A wire format."""

    #: The response header that carries the request's id; empty when there is none.
    request_id_header: bytes

    def operation(self, method: str, path: str, query: Mapping[str, str]) -> Operation | None:
        """Tell what a path below the provider's mount asks for; None when the real API has no such path."""
        ...

    def key(self, headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
        """The caller's API key."""
        ...

    def ask(self, body: bytes, headers: Mapping[bytes, bytes], operation: Operation, *, strict: bool) -> Ask:
        """Parse a chat (or count) request; raises Complaint."""
        ...

    def check(self, ask: Ask, prompt_tokens: int, model: Model) -> None:
        """Raise Complaint when the request does not fit the model."""
        ...

    def reply(self, turn: Turn) -> bytes:
        """Write the whole answer."""
        ...

    def events(self, turn: Turn, operation: Operation) -> Iterator[Event]:
        """Write the answer as a stream."""
        ...

    def stream_type(self, operation: Operation) -> bytes:
        """Content type of the stream."""
        ...

    def failed_event(self, operation: Operation) -> bytes:
        """The event that says, inside a stream, that the provider failed."""
        ...

    def failure(self, failure: Failure, subject: str = "", allowance: Allowance | None = None) -> Reply:
        """Write an error; `subject` is the model or path in question."""
        ...

    def limit_headers(self, allowances: Mapping[str, Allowance], now: float) -> Headers:
        """Tell what is left of the quota (`requests`, `tokens`); `now` is Unix seconds."""
        ...

    def count_reply(self, prompt_tokens: int) -> bytes:
        """Write a token count."""
        ...

    def models_reply(self, models: Sequence[Model], one: Model | None) -> bytes:
        """Write the list of models, or one of them."""
        ...


@runtime_checkable
class Passer(Protocol):
    """A wire format with endpoints that hold no conversation: moderations, images, sound."""

    def passed(self, operation: Operation, body: bytes, headers: Mapping[bytes, bytes]) -> tuple[str, str, Reply]:
        """The model asked for, the kind it must be of, and the answer; raises Complaint."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A wire format that has embeddings."""

    def embed_ask(self, body: bytes, operation: Operation, *, strict: bool) -> EmbedAsk:
        """Parse an embeddings request; raises Complaint."""
        ...

    def embed_reply(self, ask: EmbedAsk, vectors: Sequence[Sequence[float]], prompt_tokens: int) -> bytes:
        """Write vectors."""
        ...
