"""A stream's decoder whose chunks are changed, or left out, on their way."""

from __future__ import annotations

from providers.chat import ChatChunk
from providers.dialect import StreamDecoder
from providers.sse import Event


class Between:
    """Like the decoder behind it; `changed` says what becomes of each chunk."""

    def __init__(self, decoder: StreamDecoder) -> None:
        """Decode with this one."""
        self._decoder = decoder

    @property
    def complete(self) -> bool:
        """See `StreamDecoder`."""
        return self._decoder.complete

    @property
    def opaque(self) -> bool:
        """Something came for which there is no chunk."""
        return self._decoder.opaque

    def feed(self, event: Event) -> list[ChatChunk]:
        """See `StreamDecoder`."""
        return [made for chunk in self._decoder.feed(event) if (made := self.changed(chunk)) is not None]

    def usage_only(self, event: Event) -> bool:
        """See `StreamDecoder`."""
        return self._decoder.usage_only(event)

    def changed(self, chunk: ChatChunk) -> ChatChunk | None:
        """The chunk that goes on in the place of this one, if any."""
        return chunk
