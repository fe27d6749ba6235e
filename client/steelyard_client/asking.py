"""What is asked of the gateway, as data: a request, the type of its answer, and whether asking twice is harmless.

Each operation is a function that returns one of these and does nothing else; how it is sent is the drivers' business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

from steelyard_client.errors import Unreadable
from steelyard_client.events import ServerEvent
from steelyard_client.reading import read
from steelyard_client.saving import check

T = TypeVar("T")
#: Methods that HTTP itself promises can be repeated.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Request:
    """What goes out; `path` with its query, below the gateway's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    #: Where a good answer's body is to be saved, instead of being held.
    into: Path | None = None


@dataclass(frozen=True)
class Reply:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: `address` with `{names}` that `place` fills; what is None in `query` is left out.

    `repeatable`: asked twice, it does nothing more than asked once. `also` are statuses that are answers and no errors.
    `into` is the file that a good answer's body becomes.
    """

    method: str
    address: str
    place: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Any = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    repeatable: bool = False
    also: frozenset[int] = frozenset()
    into: Path | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether it can be sent again when nobody knows whether it was done."""
        return self.repeatable or self.method in _REPEATABLE

    def request(self, headers: Mapping[str, str] | None = None) -> Request:
        """As it goes out, with these headers besides."""
        path = self.address.format(**{name: quote(value, safe="") for name, value in self.place.items()})
        query = "&".join(f"{name}={quote(_text(one), safe='')}" for name, one in self.query.items() if one is not None)
        body = self.raw
        if body is None and self.body is not None:
            body = json.dumps(self.body, default=_plain, ensure_ascii=False).encode()
        sent = ({"content-type": JSON} if body is not None else {}) | dict(self.headers) | dict(headers or {})
        return Request(self.method, f"{path}?{query}" if query else path, sent, body, self.into)


@dataclass(frozen=True, kw_only=True)
class Ask(Asked, Generic[T]):
    """A request and the type of its answer; where that depends on the status, `answers` says so."""

    answer: type[T]
    answers: Mapping[int, Any] = field(default_factory=dict[int, Any])

    def read(self, reply: Reply) -> T:
        """The answer. Raises `Unreadable`."""
        kind: Any = self.answers.get(reply.status, self.answer)
        if kind is type(None):
            return cast("T", None)
        if kind is str:
            return cast("T", reply.body.decode(errors="replace"))
        if kind is Path:
            return cast("T", self.into)
        if kind is bytes:
            check(hashlib.sha256(reply.body).hexdigest(), reply.status, reply.headers, reply.body)
            return cast("T", reply.body)
        try:
            value = json.loads(reply.body)
        except ValueError as exc:
            raise Unreadable("The answer is not JSON.", status=reply.status, body=reply.body) from exc
        if not isinstance(value, dict):
            raise Unreadable("The answer is no JSON object.", status=reply.status, body=reply.body)
        return cast("T", read(kind, value))


@dataclass(frozen=True, kw_only=True)
class Follow(Asked, Generic[T]):
    """A request that a stream answers.

    `understand` makes an event something typed, `ends` says after which event nothing follows. A `resumable` stream
    goes on behind the last event when it is asked for again with `Last-Event-ID`.
    """

    understand: Callable[[ServerEvent], T]
    ends: Callable[[ServerEvent], bool]
    resumable: bool = False


def given(**fields: Any) -> dict[str, Any]:
    """The fields of a body that were given: what is None is left to the gateway."""
    return {name: value for name, value in fields.items() if value is not None}


def keyed(key: str | None) -> dict[str, str]:
    """The header that makes a request repeatable: the caller's key, or one of its own."""
    return {"idempotency-key": key or uuid4().hex}


def with_headers(asked: Any, headers: Mapping[str, str]) -> Any:
    """The same with these headers, which go before its own."""
    return replace(asked, headers={**asked.headers, **headers}) if headers else asked


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(_plain(value)) if isinstance(value, datetime) else str(value)


def _plain(value: Any) -> str:
    """What JSON has no form for. Raises `TypeError`."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("A time without a zone is no moment: give one with a zone, as datetime.now(UTC).")
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON.")
