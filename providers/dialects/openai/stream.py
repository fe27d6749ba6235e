"""Events of an upstream stream → chunks.

Law: the stream is complete after `data: [DONE]` and nothing else; what follows it is not read. A chunk that says
nothing (the role, an empty text, Azure's report on its prompt filter) becomes no chunk, so that it commits nobody.

Compatible servers repeat themselves: the id and name of a call in each of its pieces, a finish reason in a last chunk
with usage. Each is passed on once. Some give every parallel call the index 0, or none: a new id is a new call.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from providers.chat import (
    Begin,
    ChatChunk,
    Cited,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.dialects.openai import answers
from providers.dialects.openai.answers import Answer, Called, CallPart, Option, Said, answer_decoder, garbled
from providers.dialects.openai.faults import fault_in
from providers.dialects.wire import read_answer
from providers.sse import Event

_NOTHING = Said()
_NAMELESS = Called()


class _Call(Struct):
    """A call under way: our index, the id the server gave it, and whether its name was passed on."""

    index: int
    id: str | None
    named: bool = False


class _Choice(Struct):
    """One choice so far: its calls by the server's index, and the last of them."""

    calls: dict[int, _Call]
    count: int = 0
    last: _Call | None = None
    refused: bool = False
    finished: bool = False


#: How events are named that must be a chunk or an error.
_NAMES = ("", "message", "error")


class StreamDecoder:
    """See `providers.dialect.StreamDecoder`."""

    #: All that an answer holds has its chunk.
    opaque = False

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._complete = False
        self._begun = False
        self._usage_only = False
        self._id = ""
        self._choices: dict[int, _Choice] = {}

    @property
    def complete(self) -> bool:
        """Whether `[DONE]` was seen."""
        return self._complete

    def feed(self, event: Event) -> list[ChatChunk]:
        """The chunks of one event. Raises `Garbled`, or the fault that an error event stands for."""
        self._usage_only = False
        if self._complete:
            return []
        if event.data.strip() == b"[DONE]":
            self._complete = True
            return []
        if event.type not in _NAMES and b'"choices"' not in event.data:
            # A server's own (`ping` …): the API's chunks have no name, and those that are given one have choices.
            return []
        answer = read_answer(answer_decoder, event.data, "openai")
        if answers.failed(answer) or event.type == "error":
            raise fault_in(event.data)
        options = answer.choices
        if not isinstance(options, list):
            raise garbled("a chunk has no choices")
        chunks: list[ChatChunk] = []
        if not self._begun and (options or answer.id):
            self._begin(answer, chunks)
        for at, option in enumerate(options):
            self._option(option, at if option.index is None else option.index, chunks)
        if answer.usage is not None:
            self._usage_only = not options
            chunks.append(UsageReport(answers.usage(answer.usage)))
        return chunks

    def usage_only(self, event: Event) -> bool:
        """Whether the event just fed holds usage and no choice; the caller's wish is the relay's to know."""
        return self._usage_only

    def _begin(self, answer: Answer, chunks: list[ChatChunk]) -> None:
        self._begun = True
        self._id = answer.id or ""
        chunks.append(Begin(self._id, answer.model or "", int(answer.created or 0), answer.service_tier))

    def _option(self, option: Option, at: int, chunks: list[ChatChunk]) -> None:
        choice = self._choices.get(at)
        if choice is None:
            choice = self._choices[at] = _Choice({})
        said = option.delta or _NOTHING
        if option.text:
            chunks.append(TextDelta(option.text, at))
        _words(said, answers.logprobs(option), at, choice, chunks)
        chunks.extend(self._call(part, at, choice) for part in said.tool_calls or ())
        if cited := answers.citations(said):
            chunks.append(Cited(cited, at))
        reason = answers.finish(option.finish_reason, refused=choice.refused)
        if reason and not choice.finished:
            choice.finished = True
            chunks.append(Finish(reason, at))

    def _call(self, part: CallPart, at: int, choice: _Choice) -> ToolCallDelta:
        call = choice.last if part.index is None else choice.calls.get(part.index)
        is_new = call is None or (bool(part.id) and part.id != call.id)
        if call is None or is_new:
            call = _Call(choice.count, part.id or f"{self._id or 'call'}-{at}-{choice.count}")
            choice.count += 1
            if part.index is not None:
                choice.calls[part.index] = call
        choice.last = call
        called = part.function or _NAMELESS
        name = None if call.named else called.name or None
        call.named = call.named or name is not None
        return ToolCallDelta(
            index=call.index,
            arguments=answers.arguments(called),
            id=call.id if is_new else None,
            name=name,
            choice=at,
            signature=answers.signature(part),
        )


def _words(said: Said, logprobs: Raw | None, at: int, choice: _Choice, chunks: list[ChatChunk]) -> None:
    """Thoughts, text and refusal of one piece, in the order in which a model writes them."""
    if thoughts := answers.thoughts(said):
        chunks.append(ReasoningDelta(thoughts, at))
    text = answers.text(said.content)
    if text or logprobs is not None:
        chunks.append(TextDelta(text, at, logprobs))
    if said.refusal:
        choice.refused = True
        chunks.append(RefusalDelta(said.refusal, at))
