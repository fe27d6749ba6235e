"""A compressed body, decoded in steps of bounded size: a bomb is noticed before it is large."""

from __future__ import annotations

import zlib

#: Bytes that one step may yield.
_STEP = 256 * 1024
#: zlib's word for "gzip or zlib, by its header".
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Decoder:
    """Undoes a Content-Encoding, a bounded step at a time."""

    def __init__(self, encoding: str) -> None:
        """Of that name; an unknown one is refused at the first step."""
        self._undo = zlib.decompressobj(_GZIP_OR_ZLIB) if encoding.lower() in ("gzip", "x-gzip", "deflate") else None
        self._coded = b""

    def feed(self, coded: bytes) -> None:
        """More of the encoded body."""
        self._coded += coded

    def step(self) -> bytes:
        """At most `_STEP` decoded bytes; empty when more must be fed. Raises zlib.error."""
        if not self._coded:
            return b""
        if self._undo is None:
            raise zlib.error("an encoding that was not asked for")
        data = self._undo.decompress(self._coded, _STEP)
        self._coded = self._undo.unconsumed_tail
        return data

    def finish(self) -> None:
        """Raises zlib.error when what was fed is not whole."""
        if self._undo is not None and not self._undo.eof:
            raise zlib.error("the encoded body broke off")
