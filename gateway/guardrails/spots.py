"""The texts within a JSON body, each with its place in the bytes, so that one can be changed and no other byte.

Every text is found, those behind a key that is there twice included: what a provider reads of such a body is its own
business. Left out are names (`model`, `type`, ids …), which are no text and must stay what they are, proofs, and long
base64 where no words stand. Within what a tool is given or gives (`input`, `args` …) nothing is a name.

The body is JSON: whoever handed it on has parsed it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Any

import msgspec
from msgspec import Struct

#: Short numbers in a list are one token: a prompt may be a list of a million token ids.
_NUMBERS = rb"(?:,\s*-?\d{1,7}(?:\.\d+)?(?:[eE][+-]?\d+)?(?=\s*[,\]]))+"
#: A text that is no longer than most, or where another begins, whose end `bytes.find` finds sooner than the engine.
_STRING = rb'"[^"]{0,256}+"|"'
_LONG_NUMBER = rb"(?<![\w.+-])-?\d{8,}(?![\w.])"
_TOKEN = re.compile(rb"|".join((_NUMBERS, _STRING, rb"[{}\[\]:,]", _LONG_NUMBER)))
#: Tokens of one body, each a text, a bracket, a colon or a comma; a thousand messages have some thirty thousand. All
#: are looked at on the loop that serves everybody, for a quarter of a second as measured; doubled, for half a second.
_MOST = 200_000
_SCALAR = re.compile(rb"\s*(\d+|true)")
#: What is a name, or the gateway's and the providers' own words.
_NAMES = frozenset(
    [
        "model",
        "type",
        "role",
        "id",
        "object",
        "name",
        "call_id",
        "tool_call_id",
        "tool_use_id",
        "item_id",
        "response_id",
        "responseId",
        "modelVersion",
        "previous_response_id",
        "finish_reason",
        "finishReason",
        "stop_reason",
        "status",
        "media_type",
        "mimeType",
        "mime_type",
        "detail",
        "format",
        "system_fingerprint",
        "service_tier",
        "event_id",
        "obfuscation",
        "seed",
        "created",
        "created_at",
        "completed_at",
        "expires_at",
    ]
)
#: Opaque tokens that their provider wants back as they are.
_PROOFS = frozenset(["signature", "thoughtSignature", "thought_signature", "encrypted_content", "redacted"])
#: Objects in which a key is anybody's.
_FREE = frozenset(["input", "args", "arguments", "response", "metadata", "variables"])
#: Where words stand, whatever they look like: whoever writes them without a space means to be read all the same.
_WORDS = frozenset(
    ["content", "text", "input", "prompt", "instructions", "system", "output", "thinking", "description"]
)
#: What tells the pieces of several texts in one stream apart.
_FACTS = frozenset(["index", "output_index", "content_index", "summary_index", "thought"])
_PROBABILITIES = frozenset(["logprobs", "logprobsResult"])
_ENDS = frozenset(["finish_reason", "finishReason"])
#: A picture, a file, a sound: no sign but base64's, and longer than any key that is looked for, of which the longest
#: have 200 characters. What stands before it may say of which kind it is; what only begins so is a text.
_KIND = rb"(?:[a-z]{1,20}/[A-Za-z0-9.+-]{1,100})?(?:;[a-z]{1,20}=[A-Za-z0-9.+-]{1,40}){0,3}"
_HEAD = re.compile(rb"data:%b;base64," % _KIND)
_BASE64 = (ascii_letters + digits + "+/_=-").encode()
_LEAST = 257
_HALF = re.compile("[\ud800-\udfff]")
_text = msgspec.json.Decoder(str)


class TooMany(Exception):
    """The body has more parts than are looked through."""


class Box(Struct):
    """An object or a list on the way to a text."""

    parent: Box | None
    #: The key by which it stands in its object; that of its list, within one.
    key: str
    is_list: bool
    free: bool
    facts: dict[str, str]
    #: Within what tells the tokens of a text once more.
    again: bool = False
    #: Where it stands in its list.
    place: int = 0
    count: int = 0
    #: What is said by the key that is read now.
    reading: str | None = None


class Spot(Struct):
    """A text: where its token is, the keys that lead to it, what it says. `is_number`: it was no string."""

    start: int
    end: int
    keys: tuple[str, ...]
    box: Box
    text: str
    is_number: bool = False

    def boxes(self) -> Iterator[Box]:
        """Those around it, from the inside."""
        box: Box | None = self.box
        while box is not None:
            yield box
            box = box.parent


class Scanned(Struct):
    """What was found in a body. `again` are the places of what tells the tokens of a text once more.

    `ended` are the choices that say why they ended.
    """

    spots: list[Spot]
    again: list[tuple[int, int]]
    ended: list[Box]


def scan(body: bytes, *, free: bool = False) -> Scanned:
    """Every text in a JSON body; with `free` it is what a tool is given. Raises `TooMany`."""
    return _Scan(body, free=free).run()


class _Scan:
    def __init__(self, body: bytes, *, free: bool) -> None:
        self._body = body
        self._free = free
        self._spots: list[Spot] = []
        self._again: list[tuple[int, int]] = []
        self._ended: list[Box] = []
        self._begun = 0
        self._box: Box | None = None

    def run(self) -> Scanned:
        body = self._body
        for number, (start, end) in enumerate(_tokens(body)):
            if number > _MOST:
                raise TooMany
            mark = body[start]
            if mark == 0x22:
                self._string(start, end)
            elif mark in b"{[":
                self._open(start, is_list=mark == 0x5B)
            elif mark in b"}]":
                self._close(end)
            elif mark == 0x2C:
                if self._box is not None:
                    self._box.count += 1
                    self._box.reading = None
            elif mark != 0x3A:
                self._number(start, end)
            elif (box := self._box) is not None and box.reading in _FACTS and (said := _SCALAR.match(body, end)):
                box.facts[box.reading] = said[1].decode()
        return Scanned(self._spots, self._again, self._ended)

    def _string(self, start: int, end: int) -> None:
        box = self._box
        if box is not None and not box.is_list and box.reading is None:
            box.reading = _said(self._body[start:end])
            if box.free:
                self._add(start, end, box.reading, is_key=True)
            return
        key = self._key()
        if box is not None and (box.again or (not box.free and (key in _NAMES or key in _PROOFS))):
            if key == "type":
                box.facts[key] = _said(self._body[start:end])
            elif key in _ENDS and end - start > 2:
                self._ended.append(box)
            return
        token = self._body[start:end]
        words = key in _WORDS and not (box is not None and box.free)
        if words or not _is_encoded(token):
            self._add(start, end, _said(token))

    def _add(self, start: int, end: int, text: str, *, is_key: bool = False, is_number: bool = False) -> None:
        box = self._box or Box(None, "", True, False, {})
        self._spots.append(Spot(start, end, _keys(box, is_key=is_key), box, text, is_number))

    def _number(self, start: int, end: int) -> None:
        box = self._box
        if box is None or box.again or (not box.free and self._key() in _NAMES):
            return
        self._add(start, end, self._body[start:end].decode(), is_number=True)

    def _key(self) -> str:
        box = self._box
        return "" if box is None else (box.key if box.is_list else box.reading or "")

    def _open(self, start: int, *, is_list: bool) -> None:
        parent, key = self._box, self._key()
        within_tool = key in _FREE and not is_list and parent is not None and not parent.is_list
        free = within_tool or (self._free if parent is None else parent.free)
        within = parent is not None and parent.again
        again = within or (key in _PROBABILITIES and not free)
        if again and not within:
            self._begun = start
        place = parent.count if parent is not None and parent.is_list else 0
        self._box = Box(parent, key, is_list, free, {}, again, place)

    def _close(self, end: int) -> None:
        box = self._box
        if box is None:
            return
        self._box = box.parent
        if box.again and not (box.parent is not None and box.parent.again):
            self._again.append((self._begun, end))


def _tokens(body: bytes) -> Iterator[tuple[int, int]]:
    """Where each begins and ends."""
    if b"\\" in body:
        # Of the same length, and every quote that is left begins or ends a text.
        body = body.replace(rb"\\", b"__").replace(rb"\"", b"__")
    at = -1
    while at:
        begin, at = max(at, 0), 0
        for found in _TOKEN.finditer(body, begin):
            start, end = found.span()
            if end - start == 1 and body[start] == 0x22:
                at = body.find(b'"', end) + 1
                if at:
                    yield start, at
                    break
            else:
                yield start, end


def _is_encoded(token: bytes) -> bool:
    if len(token) < _LEAST + 2:
        return False
    token = token.replace(rb"\/", b"/")  # which some writers escape
    head = _HEAD.match(token, 1)
    begin = 1 if head is None else head.end()
    # Of what is none, the beginning will do.
    if token[begin : min(begin + _LEAST, len(token) - 1)].translate(None, _BASE64):
        return False
    return len(token) - 1 - begin >= _LEAST and not token[begin:-1].translate(None, _BASE64)


def _keys(box: Box, *, is_key: bool) -> tuple[str, ...]:
    """The keys from the top, lists left out."""
    keys: list[str] = [] if box.is_list or is_key else [box.reading or ""]
    here: Box | None = box
    while here is not None:
        if here.key and not (here.parent is not None and here.parent.is_list):
            keys.append(here.key)
        here = here.parent
    return tuple(reversed(keys))


def _said(token: bytes) -> str:
    try:
        return _text.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = token[1:-1].decode("utf-8", "replace")
    try:
        said: Any = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text
    # Half a pair has no UTF-8; another character stands for it while it is looked at.
    return _HALF.sub("\ufffd", said)


def written(text: str) -> bytes:
    """A text's token."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")


def edited(body: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The body with other bytes in these places."""
    pieces: list[bytes] = []
    at = 0
    for start, end, instead in sorted(changes):
        pieces += [body[at:start], instead]
        at = end
    return b"".join([*pieces, body[at:]])
