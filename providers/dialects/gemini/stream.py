"""Events of a stream → chunks.

Every event is a whole answer with the parts that are new. There is no terminal event: a stream is complete when every
candidate that appeared has a finish reason. Usage comes with any event and may come after the last reason.
"""

from __future__ import annotations

import msgspec

from providers.chat import (
    Begin,
    ChatChunk,
    Cited,
    Finish,
    Image,
    ImageDelta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.dialects import wire
from providers.dialects.gemini import logprobs, sources
from providers.dialects.gemini.finish import canonical, usage_of
from providers.dialects.gemini.reply import arguments_of, check, id_of
from providers.dialects.gemini.signatures import mark
from providers.dialects.gemini.wire import Answer, ToldCall, ToldCandidate, ToldPart
from providers.sse import Event

_one = msgspec.json.Decoder(Answer)
#: An error in the middle of a stream may come wrapped in a list.
_several = msgspec.json.Decoder(list[Answer])


class StreamDecoder:
    """See `providers.dialect.StreamDecoder`."""

    __slots__ = ("_begun", "_calls", "_cited", "_finished", "_id", "_texts", "opaque")

    def __init__(self) -> None:
        """One for each stream."""
        self._begun = False
        self._id = ""
        #: The calls seen so far, for every candidate that appeared.
        self._calls: dict[int, int] = {}
        self._finished: set[int] = set()
        #: A part that has no chunk was there: a picture, code that the provider ran …
        self.opaque = False
        #: What every candidate said so far: sources are told by places in all of it.
        self._texts: dict[int, list[str]] = {}
        #: The sources told; an event may repeat those of an earlier one.
        self._cited: set[tuple[int, tuple[str, int, int]]] = set()

    @property
    def complete(self) -> bool:
        """True once every candidate that appeared has ended."""
        return bool(self._calls) and len(self._finished) == len(self._calls)

    def feed(self, event: Event) -> list[ChatChunk]:
        """The chunks of one event. Raises `Garbled`, `Refused`, or the fault an error stands for."""
        if event.data.lstrip()[:1] == b"[":
            answers = wire.read_answer(_several, event.data, "gemini")
        else:
            answers = [wire.read_answer(_one, event.data, "gemini")]
        chunks: list[ChatChunk] = []
        for answer in answers:
            check(answer, event.data)
            self._answer(answer, chunks)
        return chunks

    def usage_only(self, event: Event) -> bool:
        """False: usage is part of this dialect's streams, nobody has to ask for it."""
        return False

    def _answer(self, answer: Answer, chunks: list[ChatChunk]) -> None:
        if not self._begun:
            self._begun = True
            self._id = answer.response_id or ""
            chunks.append(Begin(self._id, answer.model_version or ""))
        for candidate in answer.candidates or ():
            self._candidate(candidate, chunks)
        if answer.usage_metadata is not None:
            chunks.append(UsageReport(usage_of(answer.usage_metadata)))

    def _candidate(self, candidate: ToldCandidate, chunks: list[ChatChunk]) -> None:
        choice = candidate.index or 0
        self._calls.setdefault(choice, 0)
        told = logprobs.to_openai(candidate.logprobs_result)
        for part in (candidate.content.parts if candidate.content else None) or ():
            if part.function_call is not None:
                chunks.append(self._call(part.function_call, part.thought_signature, choice))
                continue
            added = _deltas(part, choice)
            self.opaque = self.opaque or part.inline_data is not None or (not added and part.text is None)
            if told is not None and added and isinstance(added[0], TextDelta):
                # The tokens of the whole event stand with its first text.
                added[0].logprobs, told = told, None
            chunks += added
        if told is not None:
            chunks.append(TextDelta("", choice, told))
        self._cite(candidate, choice, chunks)
        if candidate.finish_reason and choice not in self._finished:
            self._finished.add(choice)
            reason = canonical(candidate.finish_reason, called=self._calls[choice] > 0)
            chunks.append(Finish(reason, choice))

    def _cite(self, candidate: ToldCandidate, choice: int, chunks: list[ChatChunk]) -> None:
        parts = (candidate.content.parts if candidate.content else None) or ()
        texts = self._texts.setdefault(choice, [])
        texts += [part.text for part in parts if part.text and not part.thought]
        if candidate.citation_metadata is None and candidate.grounding_metadata is None:
            return
        cited = sources.citations(candidate, "".join(texts))
        if new := [one for one in cited if (choice, sources.place_of(one)) not in self._cited]:
            self._cited.update((choice, sources.place_of(one)) for one in new)
            chunks.append(Cited(new, choice))

    def _call(self, call: ToldCall, signature: str | None, choice: int) -> ToolCallDelta:
        index = self._calls[choice]
        self._calls[choice] += 1
        name = id_of(call, index, choice, self._id)
        return ToolCallDelta(index, arguments_of(call), name, call.name, choice, signature)


def _deltas(part: ToldPart, choice: int) -> list[ChatChunk]:
    """What a part that is no call stands for."""
    signature = mark(part.thought_signature)
    if part.thought:
        return [ReasoningDelta(part.text or "", choice, signature)]
    deltas: list[ChatChunk] = []
    if part.text:
        deltas.append(TextDelta(part.text, choice))
    elif part.inline_data is not None:
        image = Image(data=part.inline_data.data, media_type=part.inline_data.mime_type)
        deltas.append(ImageDelta(image, choice))
    if signature:
        deltas.append(ReasoningDelta("", choice, signature))
    return deltas
