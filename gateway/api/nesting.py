"""How deep a body of JSON is nested, told before anything is made of it.

Law: what is let in can be walked by any code of ours, and of a schema's or a template's, without running out of stack;
where that is must not depend on which of them comes first. The measure takes no recursion and little time: most bodies
have fewer brackets than the bound, and of the others everything but brackets is taken away before they are counted.
"""

from __future__ import annotations

from itertools import accumulate

from gateway.errors import BadRequest

_BRACKETS = b"[]{}"
_ALL_ELSE = bytes(byte for byte in range(256) if byte not in _BRACKETS)
#: As signed bytes: one deeper, or one less.
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")


def depth(body: bytes) -> int:
    """How many lists and objects stand within each other, in what is JSON."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Of what the quotes part, every other piece is a text.
    outside = b"".join(unescaped.split(b'"')[::2])
    steps = outside.translate(_STEPS, _ALL_ELSE)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def require_shallow(body: bytes, most: int) -> None:
    """Raise `BadRequest` for a body that is nested deeper."""
    if body.count(b"[") + body.count(b"{") > most and depth(body) > most:
        raise BadRequest(
            f"The body is nested deeper than {most} levels (STEELYARD_MAX_NESTING).", code="nested_too_deeply"
        )
