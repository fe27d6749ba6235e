"""The native form of answers: what `/api/llm/orchestrate` makes of a reply, whole or streamed.

A whole answer is kept in the neutral shape and dressed anew each time, because its metadata (request id, times, cached
or not) belongs to the exchange and not to the answer. A stream has the events `result.delta`, `result.done`,
`metadata`, and `error` in place of the last two when it breaks. Of a comparison every event says whose it is, an
`error` ends the stream of one, and `metadata` sums up all of them.
"""

from typing import Any

import msgspec
from msgspec import Raw, field
from msgspec.structs import replace

from gateway.api.faults import openai_body
from gateway.caching import Kept
from gateway.errors import GatewayError
from gateway.exchange import Entrant, Exchange, told
from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    ChatRequest,
    Choice,
    Citation,
    Cited,
    Finish,
    Image,
    ImageDelta,
    Json,
    Part,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialects.openai.reply import rendered_image, rendered_proof, rendered_signature
from providers.dialects.openai.thinking import Thinking

_ENCODER = msgspec.json.Encoder()
_NULL = Raw(b"null")
#: Places after the point to which costs are told, USD: a hundredth of the cheapest token.
_COST_PLACES = 12


class _Stored(ChatReply):
    """A neutral reply as it is kept: raw JSON that may be missing has no decoder, so each choice's stands apart."""

    logprobs: list[Raw] = field(default_factory=list[Raw])


_STORED = msgspec.json.Decoder(_Stored)


class Native:
    """A form that no provider speaks: every answer is decoded, and kept as the neutral reply."""

    name = "native"

    def render(self, reply: ChatReply) -> bytes:
        """The reply itself."""
        apart = [choice.logprobs or _NULL for choice in reply.choices]
        plain = [replace(choice, logprobs=None) for choice in reply.choices]
        stored = _Stored(reply.id, reply.model, plain, reply.usage, reply.created, reply.service_tier, apart)
        return _ENCODER.encode(stored)

    def stream_encoder(self, request: ChatRequest) -> "NativeEncoder":
        """An encoder for one stream."""
        return NativeEncoder()


class NativeEncoder:
    """Chunks → `result.delta` events and one `result.done`."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self) -> None:
        """Nothing said yet."""
        self._usage = Usage()
        self._end = Finish("")
        self._tier: str | None = None
        self._thinking = Thinking()

    def encode(self, chunk: ChatChunk) -> bytes:
        """The event one chunk stands for, if any."""
        match chunk:
            case Begin():
                self._tier = chunk.service_tier
            case Finish():
                self._end = chunk
            case UsageReport():
                self._usage = chunk.usage
            case _:
                if delta := self._delta(chunk):
                    return event("result.delta", delta)
        return b""

    def _delta(self, chunk: ChatChunk) -> Json:
        match chunk:
            case TextDelta():
                return {"text": chunk.text} | _said(logprobs=chunk.logprobs)
            case ReasoningDelta():
                proof = self._thinking.proof(chunk)
                return _said(reasoning=chunk.text, reasoning_details=[proof] if proof else None)
            case RefusalDelta():
                return {"refusal": chunk.text}
            case ToolCallDelta():
                call = {"index": chunk.index, "id": chunk.id, "name": chunk.name, "arguments": chunk.arguments}
                told = {name: value for name, value in call.items() if value is not None}
                return {"tool_call": told | rendered_signature(chunk.signature)}
            case ImageDelta():
                return {"images": [_picture(chunk.image)]}
            case Cited():
                return {"citations": [_source(one) for one in chunk.citations]}
            case _:
                return {}

    def continued(self, told: dict[str, Any]) -> bytes:
        """`continued`."""
        return event("continued", told)

    def end(self) -> bytes:
        """`result.done`."""
        told = _said(stop_sequence=self._end.stop_sequence, service_tier=self._tier)
        return event("result.done", {"finish_reason": self._end.reason or None, "usage": usage_of(self._usage), **told})


def _said(**told: Any) -> Json:
    """What is not empty: the rest is left out."""
    return {name: value for name, value in told.items() if value}


def _picture(image: Image) -> str:
    return rendered_image(image)["image_url"]["url"]


def _source(source: Citation) -> Json:
    return {"url": source.url, "title": source.title, "start": source.start, "end": source.end}


def _read(stored: bytes) -> ChatReply:
    """The reply that `Native.render` wrote."""
    reply = _STORED.decode(stored)
    for choice, logprobs in zip(reply.choices, reply.logprobs, strict=False):
        choice.logprobs = logprobs if bytes(logprobs) != bytes(_NULL) else None
    return reply


def event(name: str, data: object) -> bytes:
    """One server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + _ENCODER.encode(data) + b"\n\n"


def dress(exchange: Exchange, kept: Kept) -> bytes:
    """Orchestrate's answer: results and metadata."""
    if exchange.compared is not None:
        results = [result for entrant in exchange.compared for result in _compared(exchange, entrant)]
    else:
        reply = _read(kept.pieces[0])
        results = [_result(exchange, reply, choice) for choice in reply.choices]
    return _ENCODER.encode({"request_id": exchange.id, "results": results, "metadata": metadata(exchange)})


def said(exchange: Exchange, kept: Kept | None) -> Json:
    """The answer as the message that a session keeps; what a stream said was collected as it passed.

    Proofs of thought go along: some providers want them back with the calls that followed from them.
    """
    parts = _spoken(exchange.said or []) if kept is None else _read(kept.pieces[0]).choices[0].parts
    message: Json = {"role": "assistant", "content": _text_of(parts, Text)}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
            **rendered_signature(call.signature),
        }
        for call in parts
        if isinstance(call, ToolCall)
    ]
    return message | _said(refusal=_text_of(parts, RefusalText), reasoning_details=_proofs(parts), tool_calls=calls)


def _text_of(parts: list[Part], kind: type[Text | RefusalText | Reasoning]) -> str:
    return "".join(part.text for part in parts if isinstance(part, kind))


def _proofs(parts: list[Part]) -> list[Json]:
    return [detail for part in parts if isinstance(part, Reasoning) and (detail := rendered_proof(part))]


def _spoken(chunks: list[ChatChunk]) -> list[Part]:
    """The words, the calls and the proven thoughts of a stream's first choice."""
    thinking, proven = Thinking(), list[Part]()
    text: list[str] = []
    refusal: list[str] = []
    calls: dict[int, ToolCall] = {}
    for chunk in chunks:
        if isinstance(chunk, TextDelta) and chunk.choice == 0:
            text.append(chunk.text)
        elif isinstance(chunk, RefusalDelta) and chunk.choice == 0:
            refusal.append(chunk.text)
        elif isinstance(chunk, ReasoningDelta) and chunk.choice == 0:
            if detail := thinking.proof(chunk):
                proven.append(Reasoning(detail.get("text", ""), chunk.signature, chunk.redacted))
        elif isinstance(chunk, ToolCallDelta) and chunk.choice == 0:
            call = calls.setdefault(chunk.index, ToolCall("", "", ""))
            call.id, call.name = call.id or chunk.id or "", call.name or chunk.name or ""
            call.arguments += chunk.arguments
            call.signature = call.signature or chunk.signature
    return [*proven, Text("".join(text)), RefusalText("".join(refusal)), *calls.values()]


def closing(exchange: Exchange) -> bytes:
    """The last event of a stream."""
    told = {"request_id": exchange.id, **metadata(exchange)}
    if exchange.compared is not None:
        told["results"] = [_summary(exchange, entrant) for entrant in exchange.compared]
    return event("metadata", told)


def tagged(entrant: Entrant, piece: bytes) -> bytes:
    """Events of one of several streams, each with whose it is.

    JSON text has no line breaks in it, so what looks like the beginning of an event's data is one.
    """
    return piece.replace(b"\ndata: {", b"\ndata: " + _ENCODER.encode(_whose(entrant))[:-1] + b",")


def failed(entrant: Entrant) -> bytes:
    """The event that ends one of several streams; the others go on."""
    assert entrant.error is not None, "it failed"
    return event("error", {**_whose(entrant), "error": _error(entrant.error)})


def _whose(entrant: Entrant) -> dict[str, Any]:
    """Which stream of several; one that serves no such model has none to name."""
    return {"provider": entrant.provider, "model": entrant.model or None, "request_id": entrant.exchange.id}


def metadata(exchange: Exchange) -> dict[str, Any]:
    """What befell the exchange, for people."""
    return {
        "total_response_time": round(exchange.seconds, 6),
        "overhead_ms": round(exchange.overhead * 1000, 3),
        "cached_response": exchange.cache in {"hit", "coalesced"},
        "dwa_selection_reason": exchange.reason or None,
        "strategy": exchange.strategy,
        "objective": exchange.objective,
        "provider": exchange.provider,
        "model": exchange.model,
        "cost_usd": round(exchange.cost, _COST_PLACES),
        "attempts": told(exchange),
        "session_id": exchange.preferences.session_id,
        **({} if exchange.session_saved is None else {"session_saved": exchange.session_saved}),
        **({"not_started": unstarted} if (unstarted := _unstarted(exchange)) else {}),
        **({"continued": exchange.continued} if exchange.continued else {}),
        "database_logged": exchange.logged,
    }


def usage_of(usage: Usage) -> dict[str, int]:
    """Token counts under the names of OpenTelemetry's GenAI conventions."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _result(exchange: Exchange, reply: ChatReply, choice: Choice) -> dict[str, Any]:
    parts = choice.parts
    result: dict[str, Any] = {
        "provider": exchange.provider,
        "model": exchange.model,
        "response": _text_of(parts, Text),
        "response_time": round(exchange.seconds, 6),
        "tokens_used": reply.usage.input_tokens + reply.usage.output_tokens,
        "usage": usage_of(reply.usage),
        "cost_usd": round(exchange.cost, _COST_PLACES),
        "cached": exchange.cache in {"hit", "coalesced"},
        "dwa_score": _score(exchange),
        "finish_reason": choice.finish_reason,
    }
    return result | _said(
        tool_calls=[_call(part) for part in parts if isinstance(part, ToolCall)],
        refusal=_text_of(parts, RefusalText),
        reasoning=_text_of(parts, Reasoning),
        reasoning_details=_proofs(parts),
        logprobs=choice.logprobs,
        citations=[_source(one) for one in choice.citations],
        images=[_picture(part) for part in parts if isinstance(part, Image)],
        stop_sequence=choice.stop_sequence,
        service_tier=reply.service_tier,
        simulated=exchange.simulated,
    )


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "name": call.name, "arguments": call.arguments, **rendered_signature(call.signature)}


def _compared(exchange: Exchange, entrant: Entrant) -> list[dict[str, Any]]:
    """One deployment's part in a comparison; its score is its place among all of them."""
    own = entrant.exchange
    more: dict[str, Any] = {
        "request_id": own.id,
        "dwa_score": _score_of(exchange, f"{entrant.provider}/{entrant.model}"),
    }
    if entrant.answer is not None:
        reply = _read(entrant.answer)
        return [_result(own, reply, choice) | more for choice in reply.choices]
    result = _result(own, ChatReply("", "", [], Usage()), Choice([])) | more
    result |= _whose(entrant)
    return [result | ({"error": _error(entrant.error)} if entrant.error is not None else {})]


def _summary(exchange: Exchange, entrant: Entrant) -> dict[str, Any]:
    """What the end of several streams tells of one of them."""
    (result, *_) = _compared(exchange, entrant)
    own = entrant.exchange
    result |= {"usage": usage_of(own.usage), "tokens_used": own.usage.input_tokens + own.usage.output_tokens}
    return {name: value for name, value in result.items() if name != "response"} | {"finish_reason": own.finish_reason}


def _error(error: GatewayError) -> Any:
    return openai_body(error, "")["error"]


def _unstarted(exchange: Exchange) -> list[dict[str, Any]]:
    capped = exchange.cap.unstarted() if exchange.cap is not None else []
    return [
        {"provider": one.provider, "model": one.model, "reason": one.why, "expected_cost_usd": one.expected}
        for one in (*exchange.unstarted, *capped)
    ]


def _score(exchange: Exchange) -> object:
    """How the answering deployment compared with the best when it was chosen, 0..1."""
    return _score_of(exchange, f"{exchange.provider}/{exchange.model}")


def _score_of(exchange: Exchange, key: str) -> object:
    return exchange.ranking.decision().score(key) if exchange.ranking else None
