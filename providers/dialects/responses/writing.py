"""What the two ways of writing a stream of responses have in common: composing it, and relaying a provider's own."""

from __future__ import annotations

from typing import Protocol

import msgspec

from providers.chat import Json
from providers.dialects.responses.compose import Events

_encoder = msgspec.json.Encoder()


class Stream(Protocol):
    """A stream that the caller reads. Its terminal event is not its own to write: see `form`."""

    def final(self) -> Json:
        """The response, with all that was said."""
        ...

    def cut(self) -> tuple[Events, Json]:
        """The last events of a stream that broke, and the response as far as it came."""
        ...

    def write(self, events: Events) -> bytes:
        """The events as bytes, numbered."""
        ...


class Writing:
    """Numbers events."""

    def __init__(self) -> None:
        """Nothing written yet."""
        self.number = 0

    def write(self, events: Events) -> bytes:
        """The events as bytes, numbered."""
        out: list[bytes] = []
        for event in events:
            kind: str = event["type"]
            numbered = {**event, "sequence_number": self.number}
            out.append(b"event: " + kind.encode() + b"\ndata: " + _encoder.encode(numbered) + b"\n\n")
            self.number += 1
        return b"".join(out)
