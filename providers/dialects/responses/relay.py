"""A provider's own stream of a response, passed on: every event in its own bytes but for what must change.

What changes is what `native` says of ids, seals and state, and the numbers of the events. The response as far as it
came is kept besides, so that a stream that breaks ends with it, or is gone on with by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from providers.amending import Check
from providers.chat import ChatChunk, Json
from providers.dialect import InvalidRequest
from providers.dialects.responses.compose import PARTS, Composer, Events, status_of, told_usage
from providers.dialects.responses.native import Adopting
from providers.dialects.responses.told import TERMINAL, judge
from providers.dialects.responses.writing import Stream, Writing
from providers.dialects.wire import fields
from providers.errors import Garbled
from providers.sse import Event

_string = msgspec.json.Decoder(str)
_count = msgspec.json.Decoder(int)
_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()
_NONE, _ZERO, _NULL = Raw(b'""'), Raw(b"0"), Raw(b"null")

_ITEMS = "response.output_item."
#: The events that begin a part, and those that end one → which of its item's lists it stands in.
_BEGINNING = frozenset(f"{events}.added" for events in PARTS.values())
_ENDING = {f"{events}.done": within for within, events in PARTS.items()}
_CITED = "response.output_text.annotation.added"


class _Shape(Struct):
    """What of items and parts is relied on."""

    type: str = ""
    content: list[Json] | None = None
    summary: list[Json] | None = None
    annotations: list[Json] | None = None


_shape = msgspec.json.Decoder(_Shape)


class Relay(Writing):
    """See `providers.dialect.StreamEncoder`, and `Stream`; `encode` is for who goes on after a break."""

    def __init__(self, adopting: Adopting, began: Callable[[Stream], None], check: Check | None) -> None:
        """Tell `began` when the first event is passed on; `check` judges the texts of the answer."""
        super().__init__()
        self._check = check
        self._adopting = adopting
        self._began = began
        self._response: Json = adopting.response({})
        self._final: Json | None = None
        #: Items by their places; one that is not done yet has no status, or is in progress.
        self._items: dict[int, Json] = {}
        self._done: set[int] = set()
        #: Of the part being written: itself, and its text.
        self._part: Json | None = None
        self._pieces: list[str] = []
        self._composer: Composer | None = None

    def rewrite(self, event: Event) -> bytes:
        """One event as the caller sees it; the terminal one is kept back. Raises `Garbled`."""
        if self._final is not None or event.data.strip() == b"[DONE]":
            return b""
        try:
            return self._rewritten(event)
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidRequest) as exc:
            raise Garbled(f"The provider's event is not in the responses format: {exc}.") from exc

    def _rewritten(self, event: Event) -> bytes:
        told: dict[str, Any] = dict(fields(event.data))
        kind = _string.decode(told.get("type", _NONE)) or event.type
        if self.number == 0:
            self._began(self)
        if "response" in told:
            told["response"] = self._response = self._adopting.response(_object.decode(told["response"]))
            if kind in TERMINAL:
                self._final = self._response
                return b""
        if "item_id" in told:
            told["item_id"] = self._adopting.name(_string.decode(told["item_id"]))
        if "item" in told or kind.startswith(_ITEMS):
            place = _count.decode(told.get("output_index", _ZERO))
            told["item"] = self._adopting.item(_shaped(told.get("item", _NULL)), place)
        self._note(kind, told)
        return self.write([{**told, "type": kind}])

    def _note(self, kind: str, told: dict[str, Any]) -> None:
        """Keep what was said."""
        if kind.startswith(_ITEMS):
            place = _count.decode(told.get("output_index", _ZERO))
            self._items[place] = told["item"]
            self._part, self._pieces = None, []
            if kind.endswith("done"):
                self._done.add(place)
        elif kind in _BEGINNING:
            self._part, self._pieces = _shaped(told.get("part", _NULL)), []
        elif kind in _ENDING:
            self._close_part(_shaped(told.get("part", _NULL)), _ENDING[kind])
        elif kind.endswith(".delta") and "delta" in told and bytes(told["delta"]).startswith(b'"'):
            self._pieces.append(_string.decode(told["delta"]))
        elif kind == _CITED and self._part is not None:
            note = _object.decode(told.get("annotation", _NULL))
            self._part["annotations"] = [*(self._part.get("annotations") or ()), note]

    def _close_part(self, part: Json, within: str) -> None:
        if item := self._open_item():
            item[within] = [*(item.get(within) or ()), part]
        self._part, self._pieces = None, []

    def _open_item(self) -> Json | None:
        """The newest item, unless it is done."""
        place = max(self._items, default=-1)
        return None if place in self._done else self._items.get(place)

    def final(self) -> Json:
        """The response, with all that was said."""
        if self._final is not None:
            return self._final
        return self._composed(self._go_on())

    def cut(self) -> tuple[Events, Json]:
        """The last events of a stream that broke, and the response as far as it came."""
        if self._final is not None:
            return [], {**self._final}
        composer = self._go_on()
        return composer.close(done=False), self._composed(composer)

    # Once the stream is broken

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events one chunk of another's stands for."""
        return self.write(self._go_on().feed(chunk))

    def continued(self, told: Json) -> bytes:
        """See `form`: the response is still in progress."""
        shown = {**self._response, "status": "in_progress"}
        return self.write([{"type": "response.in_progress", "response": shown, "steelyard": {"continued": told}}])

    def end(self) -> bytes:
        """The end of the last item, where somebody went on. Raises what `check` raises."""
        if self._check is not None and self._final is not None:
            judge(self._final, self._check)
        composer = self._composer
        return b"" if composer is None else self.write(composer.close(done=status_of(composer)[0] == "completed"))

    def _go_on(self) -> Composer:
        """What writes the rest."""
        if self._composer is None:
            composer = self._composer = Composer(self._adopting.identity, self._adopting.customs)
            item = self._open_item()
            composer.output = [self._items[place] for place in sorted(self._items) if self._items[place] is not item]
            if item is not None:
                composer.resume(item, self._part, self._pieces)
        return self._composer

    def _composed(self, composer: Composer) -> Json:
        status, details = status_of(composer)
        more = {"status": status, "incomplete_details": details, "output": composer.output}
        return {**self._response, **more, "usage": told_usage(composer.usage)}


def _shaped(raw: Raw) -> Json:
    """An item, or a part of one."""
    _shape.decode(raw)
    return _object.decode(raw)
