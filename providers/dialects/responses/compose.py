"""Chunks → the items of a response, and the events that tell of their growth. Whole answers take the same way.

Law: items follow one another, each closed before the next is begun; indices count up from 0; an item has one id from
its first event to its place in the stored response. What a stream says at its end is what the whole answer says.

Order of an item's events, as the API has it: `output_item.added`, for each part `content_part.added` (of thoughts:
`reasoning_summary_part.added`), its deltas, its `done` and the part's, then `output_item.done`. Thoughts are told as a
summary, which is what the providers that show any call them; a proof ends its item. Tool calls follow one another: more
arguments for one after another began is `Garbled`; no provider is known to do so.

Statuses: `length` is incomplete for `max_output_tokens`; `content_filter`, and a refusal without words, for
`content_filter`; a provider's own further reasons (`pause_turn` …) are incomplete under their own name, since a finish
reason is never laundered. Everything else is completed, a refusal in words included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from providers.chat import (
    Begin,
    ChatChunk,
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
from providers.dialects.openai.reply import rendered_signature
from providers.dialects.responses import custom
from providers.dialects.responses.items import seal
from providers.errors import Garbled

Events = list[Json]
_object = msgspec.json.Decoder(dict[str, Any])


class _Kind(Struct, frozen=True):
    """A type of part: the field of its text, how its events are called, and which of an item's lists it stands in."""

    field: str
    events: str
    within: str = "content"


_KINDS = {
    "output_text": _Kind("text", "response.output_text"),
    "refusal": _Kind("refusal", "response.refusal"),
    "summary_text": _Kind("text", "response.reasoning_summary_text", "summary"),
    # Only ever begun by a provider that has this API.
    "reasoning_text": _Kind("text", "response.reasoning_text"),
}
#: Where a part stands → how its own events are called.
PARTS = {"content": "response.content_part", "summary": "response.reasoning_summary_part"}

_CUSTOM, _INPUT = "custom_tool_call", "response.custom_tool_call_input"
_COMPLETED = frozenset({None, "stop", "tool_calls"})
_INCOMPLETE = {"length": "max_output_tokens"}


class _Open(Struct):
    """The item being written: its place, the part being written, and the pieces of that part's text."""

    item: Json
    index: int
    part: Json | None = None
    pieces: list[str] = []
    #: Of a function call: which of the stream's calls it is.
    call: int = -1


class Composer:
    """Writes the items of one answer; only its first choice, since this API has no others."""

    def __init__(self, identity: str, customs: frozenset[str]) -> None:
        """Ids of items are made of `identity` and their place; tools of the names `customs` take free text."""
        self._customs = customs
        self.output: list[Json] = []
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self._identity = identity
        self.refused = False
        self._open: _Open | None = None
        #: The last part of text, and the place it has in the answer.
        self._text: tuple[Json, Json] | None = None
        self._calls = -1

    def resume(self, item: Json, part: Json | None, pieces: list[str]) -> None:
        """Go on with an item that somebody else began, behind those in `output`; the part's text is in `pieces`.

        Of a part that is none of ours no more is told.
        """
        writing = self._open = _Open(item, len(self.output), pieces=pieces)
        kind = part.get("type") if part else None
        if part is None or kind not in _KINDS:
            return
        if kind == "output_text":
            part = {**part, "annotations": part.get("annotations") or [], "logprobs": []}
            self._text = part, _place(writing, kind)
        writing.part = part

    def feed(self, chunk: ChatChunk) -> Events:
        """The events of one chunk, possibly none. Raises `Garbled`."""
        return _WRITERS[type(chunk)](self, chunk)

    def part(self, part: Part, number: int) -> None:
        """A part of a whole answer; `number` is its place."""
        if isinstance(part, Text):
            self.text(TextDelta(part.text))
        elif isinstance(part, RefusalText):
            self.refusal(RefusalDelta(part.text))
        elif isinstance(part, Reasoning):
            self.reasoning(ReasoningDelta(part.text, signature=part.signature, redacted=part.redacted))
        elif isinstance(part, ToolCall):
            self.call(ToolCallDelta(number, part.arguments, part.id, part.name, signature=part.signature))
        elif isinstance(part, Image):
            self.image(ImageDelta(part))

    def sure_of(self, logprobs: Raw) -> None:
        """How probable the text of a whole answer was: told with its first part."""
        rows = _rows(logprobs)
        messages = [*self.output, *([self._open.item] if self._open else [])]
        parts = [part for item in messages if item["type"] == "message" for part in item["content"]]
        if self._open is not None and self._open.part is not None:
            parts.append(self._open.part)
        for part in parts[:1]:
            part["logprobs"] = rows

    def begin(self, chunk: Begin) -> Events:
        """The answer's model, and the tier it is served in."""
        self.model = chunk.model or None
        self.service_tier = chunk.service_tier
        return []

    def text(self, chunk: TextDelta) -> Events:
        """A piece of text."""
        if chunk.choice or not (chunk.text or chunk.logprobs):
            return []
        events, writing = self._message("output_text")
        more: Json = {"logprobs": []}
        if chunk.logprobs is not None:
            rows = _rows(chunk.logprobs)
            more["logprobs"] = rows
            cast("Json", writing.part).setdefault("logprobs", []).extend(rows)
        return [*events, *_delta(writing, chunk.text, more)]

    def refusal(self, chunk: RefusalDelta) -> Events:
        """A piece of a refusal."""
        if chunk.choice or not chunk.text:
            return []
        self.refused = True
        events, writing = self._message("refusal")
        return [*events, *_delta(writing, chunk.text, {})]

    def reasoning(self, chunk: ReasoningDelta) -> Events:
        """A piece of thought, or what proves it."""
        sealed = seal(chunk.signature, chunk.redacted)
        if chunk.choice or not (chunk.text or sealed):
            return []
        events: Events = []
        writing = self._open
        if writing is None or writing.item.get("type") != "reasoning":
            item: Json = {"id": self._id("rs"), "type": "reasoning", "summary": []}
            events, writing = self._begun(item)
        if chunk.text:
            if writing.part is None:
                events += _part_added(writing, {"type": "summary_text", "text": ""})
            events += _delta(writing, chunk.text, {})
        if sealed is not None:
            writing.item["encrypted_content"] = sealed
            events += self.close(done=True)
        return events

    def call(self, chunk: ToolCallDelta) -> Events:
        """A piece of a function call; its first one says what it is."""
        if chunk.choice:
            return []
        events: Events = []
        writing = self._open
        if chunk.index > self._calls:
            self._calls = chunk.index
            takes_text = chunk.name in self._customs
            item: Json = {
                "id": self._id("ctc" if takes_text else "fc"),
                "type": _CUSTOM if takes_text else "function_call",
                "status": "in_progress",
                "call_id": chunk.id or "",
                "name": chunk.name or "",
                "input" if takes_text else "arguments": "",
                **rendered_signature(chunk.signature),
            }
            events, writing = self._begun(item)
            writing.call = chunk.index
        if writing is None or writing.call != chunk.index:
            raise Garbled("The provider's stream goes on with a tool call after it began another.")
        if chunk.arguments:
            writing.pieces.append(chunk.arguments)
            if writing.item["type"] == _CUSTOM:
                return events
            place = {"item_id": writing.item["id"], "output_index": writing.index}
            events.append({"type": "response.function_call_arguments.delta", **place, "delta": chunk.arguments})
        return events

    def image(self, chunk: ImageDelta) -> Events:
        """A picture, whole."""
        if chunk.choice:
            return []
        item: Json = {"id": self._id("ig"), "type": "image_generation_call", "status": "in_progress"}
        events, writing = self._begun(item)
        self._open = None
        place = {"item_id": item["id"], "output_index": writing.index}
        stages = ("in_progress", "generating", "completed")
        events += [{"type": f"response.image_generation_call.{stage}", **place} for stage in stages]
        picture = chunk.image
        item |= {"status": "completed", "result": picture.data if picture.data is not None else picture.url}
        if picture.media_type is not None:
            item["output_format"] = picture.media_type.removeprefix("image/")
        self.output.append(item)
        return [*events, {"type": "response.output_item.done", "output_index": writing.index, "item": item}]

    def cited(self, chunk: Cited) -> Events:
        """Sources of the last text, which may be told already."""
        if chunk.choice or self._text is None:
            return []
        events: Events = []
        part, place = self._text
        notes: list[Json] = part["annotations"]
        for one in chunk.citations:
            note: Json = {"type": "url_citation", "url": one.url, "title": one.title}
            note |= {"start_index": one.start, "end_index": one.end}
            told = {**place, "annotation_index": len(notes), "annotation": note}
            events.append({"type": "response.output_text.annotation.added", **told})
            notes.append(note)
        return events

    def finished(self, chunk: Finish) -> Events:
        """The answer is complete."""
        if chunk.choice == 0:
            self.finish = chunk.reason
        return []

    def report(self, chunk: UsageReport) -> Events:
        """The tokens so far; the last word counts."""
        self.usage = chunk.usage
        return []

    def close(self, *, done: bool) -> Events:
        """The last events of the item being written; one that is not `done` was cut off."""
        writing, self._open = self._open, None
        if writing is None:
            return []
        item = writing.item
        place = {"item_id": item["id"], "output_index": writing.index}
        events: Events = []
        if item.get("type") == "function_call":
            item["arguments"] = "".join(writing.pieces) or ("{}" if done else "")
            told = {"name": item.get("name"), "arguments": item["arguments"]}
            events.append({"type": "response.function_call_arguments.done", **place, **told})
        elif item.get("type") == _CUSTOM and writing.call >= 0:
            # Of one that was cut off, what was written is not known to be the tool's text.
            item["input"] = given = custom.text("".join(writing.pieces)) if done else ""
            events += [{"type": f"{_INPUT}.delta", **place, "delta": given}] if given else []
            events.append({"type": f"{_INPUT}.done", **place, "input": given})
        else:
            events += _part_done(writing)
        if "status" in item or not done:
            item["status"] = "completed" if done else "incomplete"
        self.output.append(item)
        return [*events, {"type": "response.output_item.done", "output_index": writing.index, "item": item}]

    def _message(self, kind: str) -> tuple[Events, _Open]:
        """The message being written, with a part of this type at its end."""
        events: Events = []
        writing = self._open
        if writing is None or writing.item.get("type") != "message":
            item: Json = {"id": self._id("msg"), "type": "message", "status": "in_progress"}
            item |= {"role": "assistant", "content": []}
            events, writing = self._begun(item)
        if writing.part is None or writing.part["type"] != kind:
            events += _part_done(writing)
            part: Json = {"type": kind, _KINDS[kind].field: ""}
            if kind == "output_text":
                part |= {"annotations": [], "logprobs": []}
                self._text = part, _place(writing, kind)
            events += _part_added(writing, part)
        return events, writing

    def _begun(self, item: Json) -> tuple[Events, _Open]:
        """Begin an item, which is shown as it is now."""
        events = self.close(done=True)
        writing = self._open = _Open(item, len(self.output), pieces=[])
        shown = {**item, "status": "in_progress"}
        return [*events, {"type": "response.output_item.added", "output_index": writing.index, "item": shown}], writing

    def _id(self, prefix: str) -> str:
        place = len(self.output) + (self._open is not None)
        return f"{prefix}_{self._identity}_{place}"


def status_of(composer: Composer) -> tuple[str, Json | None]:
    """The response's status, and why it is incomplete."""
    reason = composer.finish
    if reason in _COMPLETED or (reason == "refusal" and composer.refused):
        return "completed", None
    return "incomplete", {"reason": _INCOMPLETE.get(str(reason), "content_filter" if reason == "refusal" else reason)}


def told_usage(usage: Usage | None) -> Json | None:
    """The tokens as this API counts them; None when the provider never said."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _rows(logprobs: Raw) -> list[Json]:
    """The rows of a chat completion's logprobs object, which are those of this API."""
    rows: list[Json] | None = _object.decode(logprobs).get("content")
    return rows or []


def _place(writing: _Open, kind: str) -> Json:
    """Where a part of this type is that comes next."""
    within = _KINDS[kind].within
    index = {f"{within}_index": len(writing.item.get(within) or ())}
    return {"item_id": writing.item["id"], "output_index": writing.index, **index}


def _part_event(writing: _Open, what: str, part: Json) -> Json:
    kind = part["type"]
    return {"type": f"{PARTS[_KINDS[kind].within]}.{what}", **_place(writing, kind), "part": part}


def _part_added(writing: _Open, part: Json) -> Events:
    writing.part, writing.pieces = part, []
    # As it is now: what is added to its lists in the same breath is told by events of its own.
    shown: Json = {name: [] if isinstance(value, list) else value for name, value in part.items()}
    return [_part_event(writing, "added", shown)]


def _delta(writing: _Open, text: str, more: Json) -> Events:
    kind: str = cast("Json", writing.part)["type"]
    writing.pieces.append(text)
    return [{"type": f"{_KINDS[kind].events}.delta", **_place(writing, kind), "delta": text, **more}]


def _part_done(writing: _Open) -> Events:
    part = writing.part
    if part is None:
        return []
    writing.part = None
    name: str = part["type"]
    kind = _KINDS[name]
    part[kind.field] = text = "".join(writing.pieces)
    told: Json = {"type": f"{kind.events}.done", **_place(writing, name), kind.field: text}
    if name == "output_text":
        told["logprobs"] = part["logprobs"]
    events = [told, _part_event(writing, "done", part)]
    writing.item[kind.within] = [*(writing.item.get(kind.within) or ()), part]
    return events


_WRITERS: dict[type, Callable[[Composer, Any], Events]] = {
    Begin: Composer.begin,
    TextDelta: Composer.text,
    ReasoningDelta: Composer.reasoning,
    RefusalDelta: Composer.refusal,
    ToolCallDelta: Composer.call,
    ImageDelta: Composer.image,
    Cited: Composer.cited,
    Finish: Composer.finished,
    UsageReport: Composer.report,
}
