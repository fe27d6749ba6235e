"""A stream that is looked through as it comes: the caller's own events, whatever their format.

Law: however a text is cut into events, and these into bytes, what the caller is told is what the whole text would have
become. An event is held back while the end of a text of its may be the beginning of a match, and with it all that come
after it; so they keep their order and, but for what is redacted, their bytes. What is held back is bounded: by
`Pattern.longest` characters of each text, and `_MOST` events in all. A match that goes on for longer than its pattern's
bound ends the stream, because where it ends cannot be waited for.

A text has ended when its choice has, or another text of the same choice has begun: then nothing of it is held back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from gateway.guardrails.matching import Blocked, Match, Matcher, Redacted, blanked
from gateway.guardrails.said import channel, is_answer, is_fragment, is_piece, lane, lane_of
from gateway.guardrails.scripts import Languages
from gateway.guardrails.spots import Scanned, Spot, edited, scan, written
from providers.sse import Event, Parser

#: Events that wait at most: the longest key that is looked for, a token at a time. Of two choices that come side by
#: side, the words of one wait for those of the other.
_MOST = 4_096
#: Characters of a text that were let go of and are still looked at: what follows may make a match of them.
_CONTEXT = 64
#: Bytes: the parser's bound is against what comes from outside; these events are ours, or have been through it.
_ANY_LENGTH = 2**40


class _Held(Struct):
    """An event that waits until all its pieces are clear."""

    event: Event
    scanned: Scanned
    changes: list[tuple[int, int, bytes]]
    waiting: int = 0

    def bytes(self) -> bytes:
        """What is told of it."""
        if not self.changes:
            return self.event.raw
        data, raw = self.event.data, self.event.raw
        # An unlikely second change of one place: the last one counts.
        places = {(start, end): instead for start, end, instead in (*self.changes, *blanked(data, self.scanned))}
        clean = edited(data, [(*place, instead) for place, instead in places.items()])
        at = raw.find(data)
        if at >= 0:
            return raw[:at] + clean + raw[at + len(data) :]
        head = [line + b"\n" for line in raw.splitlines() if line and not line.startswith(b"data")]
        return b"".join([*head, *(b"data: " + line + b"\n" for line in clean.splitlines()), b"\n"])


class _Piece(Struct):
    """A piece of a text, in its event."""

    held: _Held
    spot: Spot


class _Quotes:
    """Where in a piece of JSON text one is."""

    def __init__(self) -> None:
        self.inside = False
        self._slash = False
        self._digits = 0

    def read(self, text: str) -> None:
        for character in text:
            if self._slash:
                self._slash = False
                self._digits = 4 if character == "u" else 0
            elif self._digits:
                self._digits -= 1
            elif character == "\\":
                self._slash = True
            elif character == '"':
                self.inside = not self.inside

    def owed(self, following: str) -> int:
        """Characters until an escape that has begun is whole."""
        return self._digits + self._slash * (5 if following[:1] == "u" else 1)


class _Channel(Struct):
    """One text that comes in pieces."""

    lane: str
    quotes: _Quotes | None
    context: str = ""
    pieces: list[_Piece] = []

    @property
    def tail(self) -> str:
        """What waits of it."""
        return "".join(piece.spot.text for piece in self.pieces)


class Flowing:
    """One stream."""

    def __init__(
        self, form: str, matcher: Matcher | None, redacted: Redacted, languages: Languages | None = None
    ) -> None:
        """In the caller's format `form`; nothing is told as long as the `languages` are undecided."""
        self._form = form
        self._matcher = matcher
        self._redacted = redacted
        self._languages = languages
        self._parser = Parser(_ANY_LENGTH)
        self._held: deque[_Held] = deque()
        self._channels: dict[tuple[object, ...], _Channel] = {}

    def feed(self, data: bytes) -> bytes:
        """What of these bytes, and those before them, may be told. Raises `Blocked`."""
        return b"".join([self._fed(event) for event in self._parser.feed(data)])

    def end(self) -> bytes:
        """The rest, now that no more comes. Raises `Blocked`."""
        last = self.feed(b"\n\n") if self._parser.waiting else b""
        if self._languages is not None:
            self._languages.end()
        self._finish(self._channels.values())
        return last + self._released()

    def _fed(self, event: Event) -> bytes:
        scanned = scan(event.data) if event.data[:1] in (b"{", b"[") else Scanned([], [], [])
        held = _Held(event, scanned, [])
        self._held.append(held)
        present: dict[int, _Channel] = {}
        for spot in scanned.spots:
            if self._languages is not None and is_answer(spot, self._form, streamed=True):
                self._languages.feed(lane(spot), spot.text)
            if not is_piece(spot, self._form):
                self._whole(held, spot)
            elif spot.text and self._matcher is not None:
                one = self._channel(spot)
                one.pieces.append(_Piece(held, spot))
                held.waiting += 1
                present[id(one)] = one
        for one in present.values():
            self._advance(one, final=False)
        begun = {one.lane for one in present.values()}
        # Some servers say that it has ended with every piece.
        ended = {lane_of(box) for box in scanned.ended} - begun
        others = (one for one in self._channels.values() if one.lane in begun and id(one) not in present)
        self._finish([*others, *(one for one in self._channels.values() if one.lane in ended)])
        if len(self._held) > _MOST:
            self._hurry()
        elif self._languages is not None and self._languages.undecided:
            return b""
        return self._released()

    def _whole(self, held: _Held, spot: Spot) -> None:
        if self._matcher is None:
            return
        said = self._matcher.spot(spot, self._redacted)
        if said != spot.text:
            held.changes.append((spot.start, spot.end, written(said)))

    def _channel(self, spot: Spot) -> _Channel:
        name = channel(spot)
        if (one := self._channels.get(name)) is None:
            quotes = _Quotes() if is_fragment(spot) else None
            one = self._channels[name] = _Channel(lane(spot), quotes)
        return one

    def _hurry(self) -> None:
        """Let go of the oldest: the texts it waits for are taken to have ended, unless it is amid a match."""
        oldest = self._held[0]
        waiting = [one for one in self._channels.values() if any(piece.held is oldest for piece in one.pieces)]
        for one in waiting:
            text = one.context + one.tail
            found = self._matcher.find(text)[-1:] if self._matcher is not None else []
            if found and found[0].end == len(text):
                raise Blocked(found[0].rule.guardrail)
        self._finish(waiting)

    def _finish(self, channels: Iterable[_Channel]) -> None:
        for one in channels:
            if one.pieces:
                self._advance(one, final=True)

    def _released(self) -> bytes:
        told: list[bytes] = []
        while self._held and not self._held[0].waiting:
            told.append(self._held.popleft().bytes())
        return b"".join(told)

    def _advance(self, one: _Channel, *, final: bool) -> None:
        """Let go of the pieces that are clear."""
        assert self._matcher is not None, "nothing waits where nothing is looked for"
        before, tail = len(one.context), one.tail
        text = one.context + tail
        clear = len(text) if final else max(before, self._matcher.may_begin(text))
        found = [match for match in self._matcher.find(text) if match.end > before]
        for match in reversed(found):
            settled = final or self._is_settled(match, text)
            if settled and not match.rule.redacts:
                raise Blocked(match.rule.guardrail)
            if match.end > clear or not settled:
                clear = max(before, min(clear, match.start))
        self._let_go(one, clear - before, [match for match in found if match.end <= clear], before)

    @staticmethod
    def _is_settled(match: Match, text: str) -> bool:
        """No text that follows makes more of it. Raises `Blocked` when that takes too long to tell."""
        pattern = match.rule.pattern
        if match.end <= max(pattern.may_begin(text), len(text) - pattern.longest):
            return True
        if len(text) - match.start <= pattern.longest:
            return False
        if match.end == len(text):
            raise Blocked(match.rule.guardrail)
        return True

    def _let_go(self, one: _Channel, clear: int, settled: list[Match], before: int) -> None:
        """Of the text that waits, so many characters are clear; whole pieces of them go."""
        count, end = 0, 0
        for piece in one.pieces:
            if end + len(piece.spot.text) > clear:
                break
            end += len(piece.spot.text)
            count += 1
        # A match is redacted at once, not in halves.
        while count and any(match.start - before < end < match.end - before for match in settled):
            count -= 1
            end -= len(one.pieces[count].spot.text)
        if not count:
            return
        done = one.pieces[:count]
        released = "".join(piece.spot.text for piece in done)
        _redact(one, done, released, [match for match in settled if match.end - before <= end], before, self._redacted)
        one.pieces = one.pieces[count:]
        one.context = (one.context + released)[-_CONTEXT:]
        for piece in done:
            piece.held.waiting -= 1


def _redact(
    one: _Channel, pieces: list[_Piece], released: str, matches: list[Match], before: int, redacted: Redacted
) -> None:
    """Write the pieces without the matches; what stands in the place of one is where it began."""
    cuts: list[tuple[int, int, str]] = []
    at = 0
    for match in matches:
        start, end, instead = max(0, match.start - before), match.end - before, match.instead
        if one.quotes is not None:
            one.quotes.read(released[at:start])
            start += min(one.quotes.owed(released[start:end]), end - start)
            instead = instead if one.quotes.inside else f'"{instead}"'
            one.quotes.read(released[max(at, match.start - before) : end])
        at = end
        cuts.append((start, end, instead))
        redacted(match.rule.guardrail)
    if one.quotes is not None:
        one.quotes.read(released[at:])
    begin = 0
    for piece in pieces if cuts else ():
        end = begin + len(piece.spot.text)
        said = _without(released, begin, end, cuts)
        if said != piece.spot.text:
            piece.held.changes.append((piece.spot.start, piece.spot.end, written(said)))
        begin = end


def _without(text: str, begin: int, end: int, cuts: list[tuple[int, int, str]]) -> str:
    """The text between two places, without what is cut out."""
    said: list[str] = []
    at = begin
    for start, stop, instead in cuts:
        if stop <= begin or start >= end:
            continue
        said.append(text[at : max(at, start)])
        if start >= begin:
            said.append(instead)
        at = min(stop, end)
    return "".join([*said, text[at:end]])
