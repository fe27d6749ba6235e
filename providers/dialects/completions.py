"""OpenAI's older completions, towards callers: `POST /v1/completions` in terms of a `Conversation`.

A prompt is one user's turn, and what the model says is its completion: a model that chats answers the prompt rather
than writing on from it, which is the best that can be had of one. Models that do write on are marked in the
configuration (capability `completions`) and are sent the request as it is.

In a translation `max_tokens` is 16 when the caller names none, as the API has it. `echo` puts the prompt before each
text; `logprobs` are the provider's, in the older shape, with offsets that count from the beginning of the text that
comes back. What has no equivalent: prompts of token ids, `suffix`, `logit_bias`, a `best_of` beyond `n` (nobody tells
which answer its model thinks best), and probabilities of an echoed prompt. Thoughts are left out; a refusal is the text
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Raw, Struct

from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    ChatRequest,
    Choice,
    Conversation,
    Finish,
    Json,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    Turn,
    Usage,
    UsageReport,
    total,
)
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.openai.reply import rendered_finish, rendered_usage
from providers.dialects.openai.shapes import NULL, Bound, Penalty, StreamOptions

_DEFAULT_MAX_TOKENS = 16
_encoder = msgspec.json.Encoder()


class _Request(Struct, kw_only=True):
    model: Annotated[str, Meta(min_length=1)]
    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Bound | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    user: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0)] | None = None
    best_of: Annotated[int, Meta(ge=1)] | None = None


class _Likely(Struct):
    token: str
    logprob: float


class _Row(Struct):
    token: str
    logprob: float
    top_logprobs: list[_Likely] = []


class _Rows(Struct):
    content: list[_Row] | None = None


#: Values that ask for nothing.
_NEUTRAL: dict[str, bytes] = {"suffix": b'""', "logit_bias": b"{}"}
#: How this API calls what chat completions have two fields for.
_WORDS = {"top_logprobs": "logprobs"}
_rows = msgspec.json.Decoder(_Rows)
_request = msgspec.json.Decoder(_Request)


def read(body: bytes) -> tuple[list[ChatRequest], Form]:
    """One request per prompt, each with the whole body beside it, and how answers are written.

    Raises `InvalidRequest`.
    """
    request = wire.read_request(_request, body)
    prompts = _prompts(request.prompt)
    options = request.stream_options
    echoed = [one if request.echo and isinstance(one, str) else "" for one in prompts]
    requests = [
        ChatRequest(
            dialect="completions",
            body=body,
            model=request.model,
            unfold=partial(_unfold, request, prompt, body),
            stream=bool(request.stream),
            include_usage=options is not None and bool(options.include_usage),
            input_tokens=-(-len(prompt.encode()) // 4) if isinstance(prompt, str) else len(prompt),
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            n=request.n or 1,
            stop=[request.stop] if isinstance(request.stop, str) else request.stop or [],
            user=request.user,
            words=_WORDS,
        )
        for prompt in prompts
    ]
    return requests, Form(echoed)


def _prompts(prompt: str | list[str | int | list[int]]) -> list[str | list[int]]:
    """Each prompt, as text or as token ids; a bare list of numbers is one. Raises `InvalidRequest`."""
    if isinstance(prompt, str):
        return [prompt]
    kinds = {type(one) for one in prompt}
    if len(kinds) > 1:
        told = "Invalid request at 'prompt': send texts, or token ids, and not some of both."
        raise InvalidRequest(told, param="prompt", code="invalid_type")
    return [cast("list[int]", prompt)] if kinds == {int} else cast("list[str | list[int]]", prompt)


def _unfold(request: _Request, prompt: str | list[int], body: bytes) -> Conversation:
    known = request.__struct_fields__
    extra = {
        name: raw
        for name, raw in wire.fields(body).items()
        if name not in known and bytes(raw) not in (NULL, _NEUTRAL.get(name))
    }
    if not isinstance(prompt, str):
        extra["prompt (token ids)"] = Raw(_encoder.encode(prompt))
    if (request.best_of or 1) > (request.n or 1):
        extra["best_of"] = Raw(_encoder.encode(request.best_of))
    if request.echo and request.logprobs is not None:
        extra["logprobs (of the echoed prompt)"] = Raw(b"true")
    stop = request.stop
    return Conversation(
        turns=[Turn("user", [Text(prompt if isinstance(prompt, str) else "")])],
        max_tokens=request.max_tokens or _DEFAULT_MAX_TOKENS,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=[stop] if isinstance(stop, str) else stop or [],
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        n=request.n or 1,
        logprobs=request.logprobs is not None,
        top_logprobs=request.logprobs or None,
        user=request.user,
        extra=extra,
    )


def joined(replies: list[ChatReply]) -> ChatReply:
    """The answers to several prompts as one, in order."""
    first = replies[0]
    usage = total([one.usage for one in replies])
    choices = [choice for one in replies for choice in one.choices]
    return ChatReply(first.id, first.model, choices, usage, first.created)


class Form:
    """How answers are written; see `gateway.calls.Form`."""

    name = "completions"

    def __init__(self, echoed: list[str]) -> None:
        """Write before the answers to each prompt what of it is `echoed`."""
        self._echoed = echoed

    def render(self, reply: ChatReply) -> bytes:
        """A complete answer."""
        each = max(1, len(reply.choices) // len(self._echoed))
        before = [self._echoed[min(at // each, len(self._echoed) - 1)] for at in range(len(reply.choices))]
        return _encoder.encode(
            {
                **_head(Begin(reply.id, reply.model, reply.created)),
                "choices": [_option(choice, at, before[at]) for at, choice in enumerate(reply.choices)],
                "usage": rendered_usage(reply.usage),
            }
        )

    def stream_encoder(self, request: ChatRequest) -> StreamEncoder:
        """An encoder for one stream."""
        return StreamEncoder(request, self._echoed)


class StreamEncoder:
    """See `providers.dialect.StreamEncoder`."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self, request: ChatRequest, echoed: list[str]) -> None:
        """Ready for the first chunk; the choices of each prompt begin with what of it is `echoed`."""
        self._echoed = echoed
        self._each = request.n
        #: Characters of each choice so far.
        self._lengths: dict[int, int] = {}
        self._head = _head(Begin("", request.model))
        self._include_usage = request.include_usage
        self._usage: Usage | None = None
        self._refused: set[int] = set()

    def encode(self, chunk: ChatChunk) -> bytes:
        """The event one chunk stands for, if any."""
        write = _WRITERS.get(type(chunk))
        return write(self, chunk) if write else b""

    def end(self) -> bytes:
        """The usage, if it was asked for and told, and the terminal event."""
        if self._usage is None or not self._include_usage:
            return b"data: [DONE]\n\n"
        return self._event([], rendered_usage(self._usage)) + b"data: [DONE]\n\n"

    def begin(self, chunk: Begin) -> bytes:
        """The stream's name."""
        self._head = _head(chunk)
        return b""

    def text(self, chunk: TextDelta) -> bytes:
        """A piece of text."""
        if not chunk.text and chunk.logprobs is None:
            return b""
        text, offset = self._begun(chunk.text, chunk.choice)
        return self._event([_piece(text, chunk.choice, None, _likely(chunk.logprobs, offset))])

    def refusal(self, chunk: RefusalDelta) -> bytes:
        """A piece of a refusal, which is text as well."""
        self._refused.add(chunk.choice)
        return self._event([_piece(self._begun(chunk.text, chunk.choice)[0], chunk.choice, None)])

    def finish(self, chunk: Finish) -> bytes:
        """The end of a choice."""
        reason = rendered_finish(chunk.reason, refused=chunk.choice in self._refused)
        return self._event([_piece(self._begun("", chunk.choice)[0], chunk.choice, reason)])

    def report(self, chunk: UsageReport) -> bytes:
        """The tokens so far."""
        self._usage = chunk.usage
        return b""

    def _begun(self, text: str, choice: int) -> tuple[str, int]:
        """A piece of a choice, with what is before its first one, and where the piece is in the choice's text."""
        offset = self._lengths.get(choice)
        if offset is None:
            before = self._echoed[min(choice // self._each, len(self._echoed) - 1)]
            offset, text = len(before), before + text
            self._lengths[choice] = len(text)
        else:
            self._lengths[choice] += len(text)
        return text, offset

    def _event(self, choices: list[Json], usage: Json | None = None) -> bytes:
        told = {**self._head, "choices": choices, **({"usage": usage} if self._include_usage else {})}
        return b"data: " + _encoder.encode(told) + b"\n\n"


def _head(begin: Begin) -> Json:
    return {"id": begin.id, "object": "text_completion", "created": begin.created, "model": begin.model}


def _piece(text: str, index: int, reason: str | None, likely: Json | None = None) -> Json:
    return {"text": text, "index": index, "logprobs": likely, "finish_reason": reason}


def _likely(logprobs: Raw | None, offset: int) -> Json | None:
    """How probable the tokens were, in the older shape; the first of them is at `offset`. Raises `Garbled`."""
    if logprobs is None:
        return None
    rows = wire.read_answer(_rows, logprobs, "openai").content or []
    offsets: list[int] = []
    for row in rows:
        offsets.append(offset)
        offset += len(row.token)
    return {
        "tokens": [row.token for row in rows],
        "token_logprobs": [row.logprob for row in rows],
        "top_logprobs": [{one.token: one.logprob for one in row.top_logprobs} for row in rows],
        "text_offset": offsets,
    }


def _option(choice: Choice, at: int, before: str) -> Json:
    text = "".join(part.text for part in choice.parts if isinstance(part, Text | RefusalText))
    refused = any(isinstance(part, RefusalText) for part in choice.parts)
    reason = rendered_finish(choice.finish_reason, refused=refused)
    return _piece(before + text, at, reason, _likely(choice.logprobs, len(before)))


_WRITERS: dict[type, Callable[[StreamEncoder, Any], bytes]] = {
    Begin: StreamEncoder.begin,
    TextDelta: StreamEncoder.text,
    RefusalDelta: StreamEncoder.refusal,
    Finish: StreamEncoder.finish,
    UsageReport: StreamEncoder.report,
}
