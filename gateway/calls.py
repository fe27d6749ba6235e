"""One attempt of each kind of request: what is sent to a deployment, and what is made of its answer.

A caller that speaks the provider's dialect gets the provider's bytes untouched, after a glance at what the gateway must
know of them; any other caller gets the answer decoded and rendered in its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.amended import Amended
from gateway.catalog import Deployment
from gateway.errors import BadRequest
from gateway.schemas import BadSchema, checking
from gateway.sharing import SOLE, Sharing
from gateway.weaving import Woven
from providers import client, passing
from providers.amending import Amending, Check, amended
from providers.chat import Begin, ChatReply, ChatRequest, EmbeddingReply, EmbeddingRequest, Usage
from providers.dialect import Amends, Call, Dialect, EmbeddingDialect, Inexpressible, StreamEncoder
from providers.dialects import OPENAI
from providers.dialects.openai.passed import Passing
from providers.errors import Garbled, Misshapen
from providers.fitting import fitted
from providers.in_turn import InTurn
from providers.naming import give_back
from providers.passing import Passage
from providers.single import first_call
from providers.transport import Transport


class Form(Protocol):
    """How answers are written for the caller. Every dialect is one; orchestrate has its own."""

    @property
    def name(self) -> str:
        """The dialect whose bytes it takes untouched."""
        ...

    def render(self, reply: ChatReply) -> bytes:
        """A complete answer."""
        ...

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """An encoder for one stream."""
        ...


class Answer(Struct):
    """A whole answer in the caller's form, and its facts."""

    body: bytes
    usage: Usage
    finish_reason: str | None
    dropped: tuple[str, ...]
    headers: Mapping[str, str]
    #: Where it had to be decoded anyway.
    reply: ChatReply | None = None
    #: Tokens of the answers of further calls, each billed with its own attempt; `usage` is that of the last one.
    beside: Usage | None = None
    #: The model, as the answer calls it; empty where that was not looked at.
    model: str = ""


class Opened(Struct):
    """A stream past its commit point. `encoder` is None when bytes go through untouched."""

    flow: client.Flow | Passage | InTurn | Amended | Woven
    encoder: StreamEncoder | None
    dropped: tuple[str, ...]
    closing: AsyncExitStack

    @property
    def sharing(self) -> Sharing:
        """Who is behind the stream."""
        return self.flow if isinstance(self.flow, Woven) else SOLE

    @property
    def model(self) -> str:
        """The model, as the beginning of the stream calls it; empty where that was not looked at."""
        if isinstance(self.flow, client.Flow | Amended):
            for piece in self.flow.unread:
                for chunk in piece.chunks:
                    if isinstance(chunk, Begin):
                        return chunk.model
        return ""


class Named(Struct, kw_only=True):
    """A question that may have been asked before, by a process that died; without a name, one that was not."""

    name: str | None = None
    _asked: Counter[str] = field(default_factory=Counter[str])

    def named(self, call: Call, deployment: Deployment) -> Call:
        """The call by its name, to a server that honours one.

        Who is asked again is to answer anew, not to repeat its fault: the further call has another name.
        """
        header = deployment.target.profile.idempotency_header
        if self.name is None or not header:
            return call
        self._asked[deployment.key] += 1
        times = self._asked[deployment.key]
        name = self.name if times == 1 else f"{self.name}/again-{times - 1}"
        more = tuple(
            replace(one, headers=(*one.headers, (header, f"{name}/choices-{place}")))
            for place, one in enumerate(call.more, 2)
        )
        return replace(call, headers=(*call.headers, (header, name)), more=more)


class Validated(Named, kw_only=True):
    """What may be demanded of an answer's shape."""

    #: Have the answer validated even where the provider binds it to the schema.
    validate: bool = False
    _check: Check | None = None


class Chat(Validated):
    """A chat request on its way: how to ask a deployment for it."""

    request: ChatRequest
    form: Form
    drop: bool

    @property
    def include_usage(self) -> bool:
        """The caller of a stream wants the event that tells its tokens."""
        return self.request.include_usage

    def encode(self, deployment: Deployment) -> Call:
        """What the deployment would be sent. Raises `Inexpressible`."""
        call = self.checked(
            fitted(self.request, deployment.dialect, deployment.target, drop=self.drop, validate=self.validate)
        )
        return self.named(call, deployment)

    def checked(self, call: Call) -> Call:
        """The call, once the schema that its answer has to follow is made ready. Raises `BadRequest`."""
        if call.amends is not None and call.amends.schema is not None and self._check is None:
            (field,) = self.request.named(["response_format"])
            try:
                self._check = checking(call.amends.schema, field)
            except BadSchema as exc:
                (name,) = self.request.named(["response_format.json_schema"])
                raise BadRequest(f"The schema at '{name}' cannot be used: {exc}", param=name) from exc
        return call

    async def whole(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float, *, created: int
    ) -> Answer:
        """Ask for the complete answer; `created` (Unix seconds) dates one whose provider does not. Raises a `Fault`."""
        dialect = deployment.dialect
        received = await client.send(transport, deployment.endpoint, dialect, call, deadline=deadline)
        if self.form.name == dialect.name and call.answers_as_asked:
            glance = dialect.glance(received.body)
            finish, model = glance.finish_reason, glance.model
            return Answer(received.body, glance.usage, finish, call.dropped, received.headers, model=model)
        return self.told(self.decoded(dialect, call, received.body), call, received.headers, created)

    async def heard(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float
    ) -> tuple[ChatReply, Mapping[str, str]]:
        """Ask by one of several calls: its answer and headers. Raises a `Fault`."""
        received = await client.send(transport, deployment.endpoint, deployment.dialect, call, deadline=deadline)
        return self.decoded(deployment.dialect, call, received.body), received.headers

    def told(self, reply: ChatReply, call: Call, headers: Mapping[str, str], created: int) -> Answer:
        """A decoded answer in the caller's form."""
        reply.created = reply.created or created
        finish = reply.choices[0].finish_reason if reply.choices else None
        return Answer(self.form.render(reply), reply.usage, finish, call.dropped, headers, reply, model=reply.model)

    def decoded(self, dialect: Dialect, call: Call, body: bytes) -> ChatReply:
        """The answer to one call, as it was asked for. Raises a `Fault`."""
        reply = dialect.decode(body)
        if call.first_call_only:
            first_call(reply)
        give_back(reply, call.names)
        if len(reply.choices) < call.choices:
            raise Garbled("The provider gave fewer choices than it was asked for.")
        if call.amends is None:
            return reply
        with paid(reply.usage):
            return amended(reply, call.amends, self.check(call))

    def amended(self, flow: client.Flow, call: Call) -> Amended:
        """The stream of this call, as it was asked for."""
        amending = Amending(call.amends or Amends(), self.check(call), choices=call.choices)
        return Amended(flow, amending, self.request.input_tokens)

    def check(self, call: Call) -> Check | None:
        """What judges the answer to this call."""
        return self._check if call.amends is not None and call.amends.schema is not None else None

    async def stream(self, transport: Transport, deployment: Deployment, call: Call, deadline: float) -> Opened:
        """Ask for a stream and wait for its first content. Raises a `Fault`."""
        dialect = deployment.dialect
        async with AsyncExitStack() as stack:
            flow = await stack.enter_async_context(
                client.stream(transport, deployment.endpoint, dialect, call, deadline=deadline)
            )
            if call.amends is None:
                untouched = self.form.name == dialect.name and call.answers_as_asked
                encoder = None if untouched else self.form.stream_encoder(self.request)
                return Opened(flow, encoder, call.dropped, stack.pop_all())
            return Opened(
                self.amended(flow, call), self.form.stream_encoder(self.request), call.dropped, stack.pop_all()
            )


@contextmanager
def paid(usage: Usage) -> Generator[None]:
    """An answer that is judged in here has cost these tokens, also when it is found wanting."""
    try:
        yield
    except Misshapen as fault:
        fault.spent = usage
        raise


class EmbeddingForm(Protocol):
    """How embeddings are written for the caller."""

    @property
    def name(self) -> str:
        """The dialect whose bytes it takes untouched."""
        ...

    def glance_embedding(self, body: bytes) -> Usage:
        """The tokens of an answer that is passed on untouched."""
        ...

    def render_embedding(self, reply: EmbeddingReply, encoding_format: str) -> bytes:
        """A complete answer."""
        ...


class Embedding(Struct):
    """An embedding request on its way."""

    request: EmbeddingRequest
    form: EmbeddingForm
    drop: bool

    def encode(self, deployment: Deployment) -> Call:
        """What the deployment would be sent. Raises `Inexpressible`."""
        return embedding_power(deployment).encode_embedding(self.request, deployment.target, drop=self.drop)

    async def whole(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float, *, created: int
    ) -> Answer:
        """Ask for the vectors, which bear no date. Raises a `Fault`."""
        dialect = deployment.dialect
        power = embedding_power(deployment)
        received = await client.send(transport, deployment.endpoint, dialect, call, deadline=deadline)
        # Some providers do not count what they embed; the estimate is better than a price of nothing.
        estimate = Usage(self.request.input_tokens)
        if self.form.name == dialect.name:
            usage = self.form.glance_embedding(received.body)
            counted = usage if usage.input_tokens else estimate
            return Answer(received.body, counted, None, call.dropped, received.headers)
        reply = power.decode_embedding(received.body)
        reply.model = reply.model or deployment.model
        if not reply.usage.input_tokens:
            reply.usage = estimate
        body = self.form.render_embedding(reply, self.request.encoding_format)
        return Answer(body, reply.usage, None, call.dropped, received.headers, model=reply.model)


class Passed(Struct):
    """A request on its way that is passed on as it is, but for the model's name, to servers of its own dialect.

    `kind` is called with the type of the answer, where that is not JSON.
    """

    path: str
    request: Passing
    content_type: str
    expects_json: bool
    kind: Callable[[str], None]
    drop: bool = False
    #: Tokens are told to whoever counts, and the caller sees what comes.
    include_usage: bool = True

    def encode(self, deployment: Deployment) -> Call:
        """What the deployment would be sent. Raises `Inexpressible`."""
        if deployment.dialect.name != OPENAI.name:
            raise Inexpressible((self.path.removeprefix("/"),), deployment.dialect.name)
        body = self.request.asking(deployment.target.upstream)
        return Call(self.path, body, content_type=self.content_type)

    async def whole(
        self, transport: Transport, deployment: Deployment, call: Call, deadline: float, *, created: int
    ) -> Answer:
        """Ask for the complete answer. Raises a `Fault`."""
        received = await client.send(transport, deployment.endpoint, deployment.dialect, call, deadline=deadline)
        kind = received.headers.get("content-type", "")
        is_json = kind.startswith("application/json")
        if self.expects_json and not is_json:
            raise Garbled("The provider's answer is not JSON.")
        usage = OPENAI.glance_passed(received.body) if is_json else Usage()
        if not is_json:
            self.kind(kind)
        return Answer(received.body, usage, None, call.dropped, received.headers)

    async def stream(self, transport: Transport, deployment: Deployment, call: Call, deadline: float) -> Opened:
        """Ask for an answer and wait for its first bytes. Raises a `Fault`."""
        async with AsyncExitStack() as stack:
            tell = OPENAI.glance_passed
            passage = await stack.enter_async_context(
                passing.opened(transport, deployment.endpoint, deployment.dialect, call, tell, deadline=deadline)
            )
            self.kind(passage.headers.get("content-type", "application/octet-stream"))
            return Opened(passage, None, call.dropped, stack.pop_all())


Work = Chat | Embedding | Passed


def embedding_power(deployment: Deployment) -> EmbeddingDialect:
    """The deployment's dialect, when it can embed. Raises `Inexpressible`."""
    dialect = deployment.dialect
    if not hasattr(dialect, "encode_embedding"):
        raise Inexpressible(("embeddings",), dialect.name)
    return dialect  # pyright: ignore[reportReturnType] - the attribute above is the protocol's mark
