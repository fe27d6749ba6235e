"""A stream that broke after its beginning, continued by another: for callers who prefer a seam to an error.

    broken → may it be continued? → ask those who have not broken to go on from the text so far → a mark, their text

Law: only prose is continued. Not an answer whose tool calls had begun, whose shape was asked for, that has several
choices, a refusal or sound in it: half a JSON document and another model's half make none. Nor one that was all said
but for its terminal event. Nor anything that only the broken provider's format can say (server tools …): what a
translation would lose is not asked of anybody. The error that ends a stream is then what it always was.

The caller sees the seam: a mark in the stream that SDKs pass over, and both attempts in the record. Both are paid for,
and the tokens told at the end are the sum. A continued answer is not kept in the cache, and not graded.

What the second model thinks to find its place is no part of the answer, and is left out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace as resized

from msgspec import Struct
from msgspec.structs import replace

from dwa import Balancer
from gateway import settling
from gateway.asking import Ask, Prepared
from gateway.calls import Chat, Opened
from gateway.catalog import Deployment, Resolution
from gateway.errors import GatewayError, StreamBroken
from gateway.exchange import Attempt, Exchange
from gateway.failover import Failover, Won
from gateway.metering import Meter
from gateway.racing import Lane
from providers.chat import (
    Begin,
    ChatChunk,
    ChatRequest,
    Cited,
    Conversation,
    ReasoningDelta,
    Text,
    TextDelta,
    Turn,
    Usage,
    UsageReport,
)
from providers.client import Flow
from providers.dialect import Call, Follows, InvalidRequest, Marks, Prefills, StreamEncoder
from providers.errors import Fault
from providers.fitting import fitted
from providers.transport import Transport

#: Continuations of one request. Each is sent, and paid for, with the whole prompt; doubled, a caller waits through four
#: breakdowns in one answer, by which time something is wrong that another try does not mend.
MOST = 2
#: What a request may need and still be continued.
_PROSE = frozenset({"tools", "vision", "documents", "reasoning"})
_GO_ON = (
    "The connection broke while you were answering, and your message above was cut off. Go on with it exactly where it "
    "stops: begin with the very next character, be it a space, a line break or the rest of a word. Do not repeat "
    "anything, do not comment, and do not apologise."
)


def wanted(ask: Ask, prepared: Prepared) -> bool:
    """Whether a break of this stream is to be mended: the request's word before the route's."""
    wish, route = ask.exchange.preferences.continue_streams, prepared.resolution.route
    if wish is None:
        wish = route is not None and route.continue_streams
    work = ask.wanted.work
    return wish and isinstance(work, Chat) and work.request.n == 1 and work.request.needs <= _PROSE


class Story(Struct):
    """An answer so far: who broke last, what was said, how the caller is told more of it, and what was billed."""

    key: str
    said: list[ChatChunk]
    encoder: StreamEncoder
    usage: Usage
    #: Whose stream broke last.
    attempt: Attempt
    #: Those whose streams broke.
    spent: set[str]

    @property
    def text(self) -> str:
        """The words of the answer."""
        return "".join(chunk.text for chunk in self.said if isinstance(chunk, TextDelta))


class Mendable(StreamBroken):
    """The stream broke, and another may go on with it."""

    def __init__(self, told: Story, fault: Fault) -> None:
        """Keep what was told so far."""
        super().__init__(told.key, fault)
        self.story = told


def heard(ask: Ask, prepared: Prepared, said: list[ChatChunk] | None) -> list[ChatChunk] | None:
    """Where a stream's chunks are collected: in `said`, or, if nobody else needs them, for the case that it breaks."""
    return [] if said is None and wanted(ask, prepared) else said


def broken(
    ask: Ask, prepared: Prepared, won: Won[Opened], said: list[ChatChunk] | None, usage: Usage, fault: Fault
) -> StreamBroken:
    """What becomes of a break: a `Mendable` when somebody may go on, see the law above."""
    key, work, flow = won.deployment.key, ask.wanted.work, won.answer.flow
    if said is None or not isinstance(work, Chat) or not wanted(ask, prepared):
        return StreamBroken(key, fault)
    if not isinstance(flow, Flow) or flow.opaque:
        return StreamBroken(key, fault)
    prose = all(isinstance(one, (Begin, TextDelta, ReasoningDelta, UsageReport)) for one in said)
    told = Story(key, said, won.answer.encoder or _encoder(work, said, flow), usage, won.attempt, {key})
    if prose and told.text.strip() and _shapeless(work.request):
        return Mendable(told, fault)
    return StreamBroken(key, fault)


def _shapeless(request: ChatRequest) -> bool:
    try:
        shape = request.conversation().response_format
    except InvalidRequest:
        # Something in it that only its own dialect can judge.
        return False
    return shape is None or shape.kind == "text"


def _encoder(work: Chat, said: list[ChatChunk], flow: Flow) -> StreamEncoder:
    """The encoder that would have written what went through as bytes, to go on in the same form."""
    encoder = work.form.stream_encoder(work.request)
    for chunk in said:
        encoder.encode(chunk)
    if isinstance(encoder, Follows):
        encoder.follow(flow.decoder)
    return encoder


class Continuing:
    """Goes on with broken streams."""

    def __init__(
        self, failover: Failover, balancer: Balancer, transport: Transport, *, monotonic: Callable[[], float]
    ) -> None:
        """Ask others by `failover`."""
        self._failover = failover
        self._balancer = balancer
        self._transport = transport
        self._now = monotonic

    async def mended(
        self, source: AsyncGenerator[bytes], ask: Ask, prepared: Prepared, deadline: float
    ) -> AsyncGenerator[bytes]:
        """The stream, and what others add to it when it breaks. Raises the `StreamBroken` that nobody mends."""
        while True:
            try:
                async with aclosing(source):
                    async for data in source:
                        yield data
                return
            except Mendable as exc:
                won = await self._another(ask, prepared, exc.story, deadline)
                if won is None:
                    raise
                source = self._go_on(ask, prepared, exc.story, won, exc.message)

    async def _go_on(
        self, ask: Ask, prepared: Prepared, told: Story, won: Won[Opened], why: str
    ) -> AsyncGenerator[bytes]:
        """More of the answer, after a mark."""
        exchange, opened = ask.exchange, won.answer
        exchange.continued += 1
        exchange.simulated = exchange.simulated or won.deployment.simulated
        won.attempt.ttft, won.attempt.response_model = won.attempt.seconds, opened.model
        told.attempt.passed_on = True
        meter = Meter(prepared.choosing.shape.input_tokens, int(exchange.created), None)
        seam = _Seam(told, owed=_owed(told.text) if _prefilled(won.deployment, ask) else "")
        async with opened.closing:
            try:
                settling.learn_quota(self._balancer, won.deployment, opened.flow.headers)
                yield _kept(exchange, _mark(told, won, why))
                async for batch in opened.flow.batches():
                    for data in meter.read(batch, seam, include_usage=True):
                        yield _kept(exchange, data)
                yield _kept(exchange, seam.end())
            except Fault as fault:
                settling.broke(exchange, won, meter, fault, self._now())
                told.usage = exchange.usage = told.usage.plus(meter.usage())
                told.key, told.attempt = won.deployment.key, won.attempt
                told.spent.add(told.key)
                raise (Mendable(told, fault) if seam.prose else StreamBroken(told.key, fault)) from fault
            except BaseException:
                # The generator closed, the task cancelled, or a defect of ours: the provider is to be paid, and is
                # blamed for none of them.
                self._left(exchange, won, meter, told)
                raise
            settling.answered(exchange, won, meter.usage(), meter.finish_reason, self._now())
            exchange.usage = told.usage.plus(meter.usage())

    def _left(self, exchange: Exchange, won: Won[Opened], meter: Meter, told: Story) -> None:
        """The caller has gone, having heard all of it or not."""
        if won.answer.flow.complete:
            settling.answered(exchange, won, meter.usage(), meter.finish_reason, self._now())
        else:
            settling.abandoned(exchange, won, meter, self._now())
        exchange.usage = told.usage.plus(meter.usage())

    async def _another(self, ask: Ask, prepared: Prepared, told: Story, deadline: float) -> Won[Opened] | None:
        """Somebody who goes on, past the first words; None when nobody does."""
        exchange, work = ask.exchange, ask.wanted.work
        assert isinstance(work, Chat), "only chats are streamed"
        tiers = [tuple(one for one in tier if one.key not in told.spent) for tier in prepared.resolution.tiers]
        written = -(-len(told.text) // 4)
        said = work.request.conversation()
        if exchange.continued >= MOST or not any(tiers) or (said.max_tokens or written + 1) <= written:
            return None

        def encode(deployment: Deployment) -> Call:
            request = _request(work.request, said, told.text, prefill=_prefilled(deployment, ask))
            return fitted(request, deployment.dialect, deployment.target, drop=work.drop)

        async def dispatch(lane: Lane) -> Opened:
            opened = await work.stream(self._transport, lane.deployment, lane.call, deadline)
            lane.ticket.first_token()
            return opened

        choosing = prepared.choosing
        shape = resized(choosing.shape, input_tokens=choosing.shape.input_tokens + written)
        try:
            return await self._failover.first_good(
                exchange,
                Resolution(tuple(tier for tier in tiers if tier), prepared.resolution.route),
                replace(choosing, shape=shape),
                encode,
                dispatch,
                settling.unheard,
                deadline=deadline,
            )
        except GatewayError:
            return None


class _Seam:
    """Writes the continuation as more of the same answer: a `StreamEncoder` around the one of the first part."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self, told: Story, *, owed: str) -> None:
        """Of the white space `owed`, which the prefill had to leave out and the caller has, nothing is repeated."""
        self._told = told
        self._owed = owed
        #: Nothing but words so far.
        self.prose = True

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events of one chunk."""
        if isinstance(chunk, (Begin, ReasoningDelta, Cited)):
            # Sources are told by places in a text, which is only a part of what the caller has.
            return b""
        if isinstance(chunk, TextDelta):
            chunk = replace(chunk, text=self._due(chunk.text))
        elif isinstance(chunk, UsageReport):
            chunk = UsageReport(self._told.usage.plus(chunk.usage))
        else:
            self.prose = False
        self._told.said.append(chunk)
        return self._told.encoder.encode(chunk)

    def end(self) -> bytes:
        """The terminal events."""
        return self._told.encoder.end()

    def _due(self, text: str) -> str:
        """What of a piece of text the caller does not have yet."""
        while self._owed and text[:1] == self._owed[0]:
            self._owed, text = self._owed[1:], text[1:]
        if text:
            self._owed = ""
        return text


def _kept(exchange: Exchange, data: bytes) -> bytes:
    """The same, written down where bodies are."""
    if exchange.request_body is not None:
        exchange.response_body = (exchange.response_body or b"") + data
    return data


def _mark(told: Story, won: Won[Opened], why: str) -> bytes:
    """The seam, in formats that have a place for it."""
    if not isinstance(told.encoder, Marks):
        return b""
    return told.encoder.continued({"provider": won.deployment.provider, "model": won.deployment.model, "after": why})


def _prefilled(deployment: Deployment, ask: Ask) -> bool:
    """Whether it goes on from an answer's beginning by itself; models that think first do not."""
    work = ask.wanted.work
    assert isinstance(work, Chat), "only chats are streamed"
    effort = work.request.conversation().effort
    dialect = deployment.dialect
    return (
        (effort is None or not effort.enabled) and isinstance(dialect, Prefills) and dialect.prefills(deployment.target)
    )


def _owed(text: str) -> str:
    """The white space at the end, which no prefill may end with."""
    return text[len(text.rstrip()) :]


def _request(request: ChatRequest, said: Conversation, text: str, *, prefill: bool) -> ChatRequest:
    """The conversation with the answer so far, as nobody's own bytes: every dialect writes it anew."""
    turns = [*said.turns, Turn("assistant", [Text(text.rstrip() if prefill else text)])]
    if not prefill:
        turns.append(Turn("user", [Text(_GO_ON)]))
    left = None if said.max_tokens is None else max(1, said.max_tokens - -(-len(text) // 4))
    more = replace(said, turns=turns, max_tokens=left)
    return ChatRequest(
        "continued", b"", request.model, lambda: more, stream=True, stop=request.stop, needs=request.needs
    )
