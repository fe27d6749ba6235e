"""Server-sent events: bytes in whatever pieces → events.

The whole format (WHATWG HTML, 9.2.6), without I/O, so that one decoder serves both drivers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    """An event; `data` is JSON if it reads as such, and text otherwise. `id` is that of the last event that had one."""

    type: str
    data: Any
    id: str | None = None


class Decoder:
    """Bytes → events; one for each connection."""

    def __init__(self) -> None:
        """Nothing read yet."""
        self._rest = b""
        self._type, self._data, self._id = "", list[str](), None

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that a piece completes."""
        # A lone CR at the end may be the first half of CR LF.
        text = self._rest + piece
        held = text[-1:] == b"\r"
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + (b"\r" if held else b"")
        for line in lines:
            if line:
                self._field(line.decode(errors="replace"))
            elif event := self._complete():
                yield event

    def _field(self, line: str) -> None:
        name, _, value = line.removeprefix("\ufeff").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case _:
                pass  # comments (pings), `retry`, and what is not known

    def _complete(self) -> ServerEvent | None:
        kind, data = self._type or "message", "\n".join(self._data)
        said = bool(self._data)
        self._type, self._data = "", []
        return ServerEvent(kind, _json(data), self._id) if said else None


def _json(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data
