"""What an answer lacks to be the one that was asked for, done to it as it comes (`fitting` says why).

    tool call named `answer` → text · of the text its JSON · that up to the first stop sequence · all of it follows the
    schema

Laws: of a text no more is held back than what may be the beginning of a stop sequence; whatever else comes (a call, the
end, a break) lets go of it. Nothing of a choice is told after its stop. Text beside the call of `answer` is left out,
for it is no part of the answer; to know that, it waits for the call. So do words before the JSON that is asked for wait
for its beginning. Thoughts are neither searched nor validated.

An answer that was cut short by its bound, refused, or that calls the caller's own tools is not validated: it says so
itself, and never was to follow the schema.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from providers.chat import (
    ChatChunk,
    ChatReply,
    Choice,
    Cited,
    Finish,
    Json,
    Part,
    Reasoning,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from providers.dialect import Amends
from providers.kernel import Kernel

#: Raises a fault when a text does not follow the schema.
Check = Callable[[str], None]
_encoder = msgspec.json.Encoder()
_object = msgspec.json.Decoder(Json)


class Stops:
    """Looks for stop sequences in one text that comes in pieces, however it is cut into them."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        """The first to be complete ends the text, as it does where a model writes one token after the other."""
        self._stops = stops
        self._longest = max(map(len, stops))
        self._starts = frozenset(one[:size] for one in stops for size in range(1, len(one)))
        self.held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """What may be told, and the sequence that ended it, if one did."""
        text = self.held + text
        found = min(((at + len(one), at, one) for one in self._stops if (at := text.find(one)) >= 0), default=None)
        if found is not None:
            self.held = ""
            return text[: found[1]], found[2]
        keep = self._begun(text)
        self.held = text[keep:]
        return text[:keep], None

    def last(self) -> str:
        """What was held back, now that no more comes."""
        text, self.held = self.held, ""
        return text

    def _begun(self, text: str) -> int:
        """Where at the end of the text a sequence may have begun."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-size:] in self._starts:
                return len(text) - size
        return len(text)


class _Told(Struct):
    """One choice of a stream so far."""

    stops: Stops | None
    #: Looks for the JSON in its text.
    kernel: Kernel | None = None
    #: Text that waits for the call of the answering tool, which makes it none.
    waiting: list[TextDelta] = field(default_factory=list[TextDelta])
    #: Everything told, for the schema.
    text: list[str] = field(default_factory=list[str])
    #: The index of the answering tool's call, and how many calls of others there were.
    answer: int | None = None
    calls: dict[int, int] = field(default_factory=dict[int, int])
    over: bool = False


class Amending:
    """One stream, in order."""

    def __init__(self, amends: Amends, check: Check | None, *, choices: int) -> None:
        """Of that many choices; `check` judges a complete text."""
        self._amends = amends
        self._check = check
        self._choices = choices
        self._told: dict[int, _Told] = {}
        #: A choice was ended here, before the provider ended it.
        self.stopped = False

    @property
    def over(self) -> bool:
        """Every choice has ended."""
        return len(self._told) >= self._choices and all(one.over for one in self._told.values())

    def feed(self, chunk: ChatChunk) -> list[ChatChunk]:
        """What the caller is told for one chunk. Raises what `check` raises."""
        number = getattr(chunk, "choice", None)
        if number is None:
            return [chunk]
        told = self._told.get(number)
        if told is None:
            stops = Stops(self._amends.stops) if self._amends.stops else None
            told = self._told[number] = _Told(stops, Kernel() if self._amends.bare else None)
        if told.over:
            return []
        if isinstance(chunk, TextDelta):
            return self._text(told, chunk)
        if isinstance(chunk, ToolCallDelta):
            return self._call(told, chunk)
        if isinstance(chunk, Finish):
            return self._finish(told, chunk)
        if isinstance(chunk, Cited):
            return [chunk if told.kernel is None else replace(chunk, citations=told.kernel.placed(chunk.citations))]
        # A thought between two texts ends what a sequence can span.
        return [*self._let_go(told, number), chunk]

    def broken(self) -> list[ChatChunk]:
        """What was held back of a stream that broke: it was said, after all."""
        found: list[ChatChunk] = []
        for number, told in self._told.items():
            if not told.over:
                found += self._released(told, number)
            if not told.over:
                found += self._let_go(told, number)
        return found

    def _text(self, told: _Told, chunk: TextDelta) -> list[ChatChunk]:
        if self._amends.answer is not None:
            if told.answer is None:
                told.waiting.append(chunk)
            return []
        if told.kernel is not None:
            # No token probabilities: models that have them have a JSON mode.
            text = told.kernel.feed(chunk.text)
            return self._said(told, TextDelta(text, chunk.choice)) if text else []
        return self._said(told, chunk)

    def _said(self, told: _Told, chunk: TextDelta) -> list[ChatChunk]:
        """Words of the answer."""
        if told.stops is None:
            told.text.append(chunk.text)
            return [chunk]
        text, stop = told.stops.feed(chunk.text)
        told.text.append(text)
        if stop is None:
            return [replace(chunk, text=text)] if text or chunk.logprobs is not None else []
        rows = chunk.logprobs if chunk.logprobs is None else _rows_within(chunk.logprobs, len(text))
        piece: list[ChatChunk] = [replace(chunk, text=text, logprobs=rows)] if text else []
        return [*piece, *self._stop(told, chunk.choice, stop)]

    def _stop(self, told: _Told, choice: int, stop: str) -> list[ChatChunk]:
        told.over = self.stopped = True
        self._judge(told)
        return [Finish("stop", choice, stop)]

    def _let_go(self, told: _Told, choice: int) -> list[ChatChunk]:
        if told.stops is None or not told.stops.held:
            return []
        text = told.stops.last()
        told.text.append(text)
        return [TextDelta(text, choice)]

    def _call(self, told: _Told, chunk: ToolCallDelta) -> list[ChatChunk]:
        if chunk.name is not None and chunk.name == self._amends.answer and told.answer is None:
            told.answer = chunk.index
            told.waiting.clear()
        if chunk.index == told.answer:
            return self._said(told, TextDelta(chunk.arguments, chunk.choice)) if chunk.arguments else []
        place = told.calls.setdefault(chunk.index, len(told.calls))
        before = self._released(told, chunk.choice)
        if not told.over:
            before += self._let_go(told, chunk.choice)
        return before if told.over else [*before, replace(chunk, index=place)]

    def _released(self, told: _Told, choice: int) -> list[ChatChunk]:
        """The text that waited, since no call, or no JSON, has made it superfluous."""
        waiting, told.waiting = told.waiting, []
        if told.kernel is not None and (words := told.kernel.last()):
            waiting.append(TextDelta(words, choice))
        found: list[ChatChunk] = []
        for chunk in waiting:
            if not told.over:
                found += self._said(told, chunk)
        return found

    def _finish(self, told: _Told, chunk: Finish) -> list[ChatChunk]:
        last = self._released(told, chunk.choice)
        if told.over:
            return last
        last += self._let_go(told, chunk.choice)
        told.over = True
        if chunk.reason == "tool_calls" and told.answer is not None and not told.calls:
            chunk = replace(chunk, reason="stop")
        if chunk.reason == "stop":
            self._judge(told)
        return [*last, chunk]

    def _judge(self, told: _Told) -> None:
        if self._check is not None and not told.calls:
            self._check("".join(told.text))


def amended(reply: ChatReply, amends: Amends, check: Check | None) -> ChatReply:
    """A complete answer as it was asked for. Raises what `check` raises."""
    choices = [_amended(choice, amends, check) for choice in reply.choices]
    return replace(reply, choices=choices)


def _amended(choice: Choice, amends: Amends, check: Check | None) -> Choice:
    if amends.answer is not None:
        choice = _answered(choice, amends.answer)
    if amends.bare:
        choice = _bare(choice)
    if amends.stops:
        choice = _stopped(choice, amends.stops)
    if check is not None and choice.finish_reason == "stop" and not _calls(choice):
        check("".join(part.text for part in choice.parts if isinstance(part, Text)))
    return choice


def _calls(choice: Choice) -> list[ToolCall]:
    return [part for part in choice.parts if isinstance(part, ToolCall)]


def _answered(choice: Choice, name: str) -> Choice:
    answers = [call for call in _calls(choice) if call.name == name]
    if not answers:
        return choice
    thoughts: list[Part] = [part for part in choice.parts if isinstance(part, Reasoning)]
    others: list[Part] = [call for call in _calls(choice) if call is not answers[0]]
    reason = "stop" if choice.finish_reason == "tool_calls" and not others else choice.finish_reason
    return replace(choice, parts=[*thoughts, Text(answers[0].arguments), *others], finish_reason=reason)


def _bare(choice: Choice) -> Choice:
    """The choice with nothing beside its JSON, or as it is when it holds none."""
    kernel = Kernel()
    parts = [Text(kernel.feed(part.text)) if isinstance(part, Text) else part for part in choice.parts]
    if kernel.last():
        return choice
    kept = [part for part in parts if not isinstance(part, Text) or part.text]
    return replace(choice, parts=kept, citations=kernel.placed(choice.citations))


def _stopped(choice: Choice, stops: tuple[str, ...]) -> Choice:
    """The choice up to its first stop sequence; one that spans two texts with nothing between them counts."""
    kept: list[Part] = []
    watch = Stops(stops)
    found: str | None = None
    for part in choice.parts:
        if not isinstance(part, Text):
            kept += [Text(watch.last()), part]
            continue
        text, found = watch.feed(part.text)
        kept.append(Text(text))
        if found is not None:
            break
    if found is None:
        return choice
    kept = [part for part in kept if not isinstance(part, Text) or part.text]
    length = sum(len(part.text) for part in kept if isinstance(part, Text))
    rows = choice.logprobs if choice.logprobs is None else _rows_within(choice.logprobs, length)
    cited = [one for one in choice.citations if one.end <= length]
    return Choice(kept, "stop", found, rows, cited)


def _rows_within(logprobs: Raw, length: int) -> Raw:
    """The rows of the tokens that are all within so many characters."""
    told: Json = _object.decode(logprobs)
    rows: list[Json] = told.get("content") or []
    kept: list[Json] = []
    for row in rows:
        length -= len(row["token"])
        if length < 0:
            break
        kept.append(row)
    return Raw(_encoder.encode({**told, "content": kept}))
