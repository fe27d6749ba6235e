"""A file as an answer: its headers, and which of its bytes were asked for (RFC 9110, sections 13 and 14). Pure.

Law: whatever a file holds, and whatever it is said to be, no browser runs it here: it is to be saved (`attachment`),
is taken for what it is said to be and nothing else (`nosniff`), and has no rights if it is shown all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from msgspec import Struct

#: `bytes=0-99`, `bytes=100-`, `bytes=-100`: one range. Of several, the whole is an answer, too.
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_PLAIN = re.compile(r"[^A-Za-z0-9 ._-]")


class Part(Struct, frozen=True):
    """Which bytes to send, and under which status: 200 all, 206 some, 304 and 416 none."""

    status: int
    start: int = 0
    length: int = 0


def part(asked: Mapping[str, str], size: int, sha256: str) -> Part:
    """What these headers of a request ask of a file."""
    tag = etag(sha256)
    if (known := asked.get("if-none-match")) is not None and _names(known, tag):
        return Part(304)
    whole = Part(200, 0, size)
    found = _RANGE.fullmatch(asked.get("range", "").strip())
    if found is None or asked.get("if-range", tag).strip() != tag:
        return whole
    first, last = found.groups()
    if not first and not last:
        return whole
    start, end = (int(first), min(int(last or size), size - 1)) if first else (max(size - int(last), 0), size - 1)
    if first and last and int(last) < int(first):
        return whole  # no range at all
    if start >= size:
        return Part(416)
    return Part(206, start, end - start + 1)


def etag(sha256: str) -> str:
    """What names the content: its checksum."""
    return f'"sha256-{sha256}"'


def headers(which: Part, *, name: str, size: int, sha256: str) -> dict[str, str]:
    """Those of the answer, but for its media type."""
    made = {
        "etag": etag(sha256),
        "accept-ranges": "bytes",
        "content-disposition": disposition(name),
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "private, no-cache",
        "vary": "authorization, x-api-key",
    }
    if which.status in {200, 206}:
        made["content-length"] = str(which.length)
    if which.status == 206:
        made["content-range"] = f"bytes {which.start}-{which.start + which.length - 1}/{size}"
    elif which.status == 416:
        made["content-range"] = f"bytes */{size}"
    return made


def disposition(name: str) -> str:
    """To be saved under that name (RFC 6266): in plain letters for old readers, and as it is."""
    plain = _PLAIN.sub("_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _names(known: str, tag: str) -> bool:
    return known.strip() == "*" or tag in (one.strip().removeprefix("W/") for one in known.split(","))
