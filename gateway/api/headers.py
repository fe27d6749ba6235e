"""The headers that every answer has, and that tell browsers to make no more of it than it is.

An answer is data: no browser is to guess another type for it, show it in a frame, run what is in it, keep it, or tell
others where it was. The one page (`/docs`) loosens of this what it needs (`docs`). Nothing here says HTTPS: the gateway
speaks HTTP, and whoever puts TLS before it adds `Strict-Transport-Security` there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Pairs = Sequence[tuple[bytes, bytes]]

CONTENT_POLICY = b"content-security-policy"
#: Streams have their own word on it.
UNKEPT = (b"cache-control", b"no-store")
#: Of every answer.
SECURITY: Pairs = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (CONTENT_POLICY, b"default-src 'none'; frame-ancestors 'none'"),
    UNKEPT,
)


def completed(headers: Iterable[tuple[bytes, bytes]], more: Pairs) -> Pairs:
    """An answer's headers, and of `more` those that it does not set itself."""
    set_ = list(headers)
    own = {name for name, _ in set_}
    return [*set_, *(pair for pair in more if pair[0] not in own)]
