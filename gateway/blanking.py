"""Bodies as they are kept in the records, where they are kept at all: without keys and e-mail addresses.

Law: what looks like a key, or stands under the name of one, and what looks like an e-mail address, is masked wherever a
body says it: in texts of JSON however they are escaped, in names, in forms, and in a stream even where its events cut
it in pieces. What is masked stays JSON. Nothing here is timed by what a caller writes: every pattern is linear.

Limit: a text is known by its look. What must never be kept is not to be logged: `STEELYARD_LOG_BODIES` is off unless
somebody turns it on, for all or for a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgspec

from gateway.logs import SECRETS

MASK = "********"
#: What a text must hold, in small letters, to be worth the slower look for keys; ordinary prose has none of them.
_HINTS = (
    *("sk-", "sk_", "xai", "gsk", "aiza", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "xox", "eyj", "://"),
    *("apikey", "api_key", "api-key", "password", "authorization", "bearer", "private key"),
)
_KEYS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,255}\b|\bxox[abprs]-[A-Za-z0-9-]{10,255}\b"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,16384}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
)
#: From its sign on; what stands before is looked at from there, so that a long word is not begun anew at each letter.
_DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}")
_LOCAL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}$")
_NAMES = re.compile(
    r"(?i)(?:x-)?(?:[a-z]+[-_])?(?:api[-_]?key|authorization|password|passwd|secret|(?:access|auth|refresh|id)[-_]?token)"
)
_BRACKETS = (b"{", b"[")
#: Of events: others that Unicode has for the end of a line may stand in a text.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def blanked(body: bytes | None) -> bytes | None:
    """The body without them; the same bytes where there were none."""
    if not body:
        return body
    try:
        text = body.decode()
    except UnicodeDecodeError:
        # Sound, a picture or a form with one: what is looked for is ASCII.
        return _masked(body.decode("ascii", "surrogateescape")).encode("ascii", "surrogateescape")
    if body.lstrip()[:1] in _BRACKETS:
        try:
            tree = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return _masked(text).encode()
        made = _tree(tree)
        return body if made is tree else msgspec.json.encode(made)
    return _stream(text).encode() if text.startswith(("data:", "event:", "id:", ":")) else _masked(text).encode()


def _masked(text: str) -> str:
    spans = _spans(text)
    if not spans:
        return text
    made, end = list[str](), 0
    for start, stop in spans:
        made += (text[end:start], MASK)
        end = stop
    return "".join([*made, text[end:]])


def _spans(text: str) -> list[tuple[int, int]]:
    """Where it is to be masked, in order and apart."""
    found = list(_addresses(text)) if "@" in text else []
    folded = text.casefold()
    if any(hint in folded for hint in _HINTS):
        found += [one.span() for one in _KEYS.finditer(text)]
        found += [(one.end(1) if one[1] else one.start(), one.end()) for one in SECRETS.finditer(text)]
    apart = list[tuple[int, int]]()
    for start, stop in sorted(found):
        if apart and start <= apart[-1][1]:
            apart[-1] = apart[-1][0], max(stop, apart[-1][1])
        else:
            apart.append((start, stop))
    return apart


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for domain in _DOMAIN.finditer(text):
        local = _LOCAL.search(text, max(0, domain.start() - 64), domain.start())
        if local is not None:
            yield local.start(), domain.end()


def _tree(value: Any) -> Any:
    """JSON with its texts masked; the very same where nothing was."""
    if isinstance(value, str):
        return _masked(value)
    if isinstance(value, list):
        ones = cast("list[Any]", value)
        made = [_tree(one) for one in ones]
        return made if any(one is not other for one, other in zip(made, ones, strict=True)) else ones
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        told = {_masked(name): _named(name, one) for name, one in known.items()}
        same = len(told) == len(known) and all(name in told and told[name] is one for name, one in known.items())
        return known if same else told
    return value


def _named(name: str, value: Any) -> Any:
    if value and isinstance(value, str | list) and _NAMES.fullmatch(name):
        ones = cast("list[Any]", value)
        return MASK if isinstance(value, str) else [MASK if isinstance(one, str) else _tree(one) for one in ones]
    return _tree(value)


def _stream(text: str) -> str:
    """Server-sent events: texts that one place of theirs says piece by piece are looked at as one."""
    lines = _LINE.findall(text)
    trees = {number: tree for number, line in enumerate(lines) if (tree := _event(line)) is not None}
    said: dict[tuple[Any, ...], list[_Piece]] = {}
    for number, tree in trees.items():
        for piece in _pieces(tree, ()):
            said.setdefault(piece.path, []).append(piece._replace(line=number))
    touched = {number for pieces in said.values() for number in _mask_together(pieces)}
    for number, line in enumerate(lines):
        if number in touched:
            lines[number] = f"data: {msgspec.json.encode(trees[number]).decode()}{line[len(line.rstrip()) :]}"
        elif number not in trees:
            lines[number] = _masked(line)
    return "".join(lines)


class _Piece(NamedTuple):
    """A text in an event, and where: its path there, the list or object that holds it, and its place in that."""

    path: tuple[Any, ...]
    holder: Any
    place: Any
    line: int = 0


def _event(line: str) -> Any:
    if not line.startswith("data:"):
        return None
    try:
        return msgspec.json.decode(line[5:])
    except (msgspec.DecodeError, RecursionError):
        return None


def _pieces(value: Any, path: tuple[Any, ...]) -> Iterator[_Piece]:
    if isinstance(value, dict):
        known = cast("dict[str, Any]", value)
        # Choices, blocks and calls of tools come in turns, each with its number.
        here = (*path, known.get("index"))
        for name, one in known.items():
            yield from _within(known, name, one, (*here, name))
    elif isinstance(value, list):
        for number, one in enumerate(cast("list[Any]", value)):
            yield from _within(cast("list[Any]", value), number, one, (*path, number))


def _within(holder: Any, place: Any, one: Any, path: tuple[Any, ...]) -> Iterator[_Piece]:
    if isinstance(one, str):
        yield _Piece(path, holder, place)
    else:
        yield from _pieces(one, path)


def _mask_together(pieces: list[_Piece]) -> Iterator[int]:
    """Mask what the pieces say together; the lines that are others then. The mask stands where a span begins."""
    texts = [piece.holder[piece.place] for piece in pieces]
    spans = _spans("".join(texts))
    end = 0
    for piece, text in zip(pieces, texts, strict=True):
        begin, end = end, end + len(text)
        kept, place = "", begin
        hit = [span for span in spans if span[0] < end and span[1] > begin]
        for start, stop in hit:
            kept += text[place - begin : max(start, begin) - begin] + (MASK if start >= begin else "")
            place = min(stop, end)
        if hit:
            piece.holder[piece.place] = kept + text[place - begin :]
            yield piece.line
