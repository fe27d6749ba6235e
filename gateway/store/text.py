"""Text that any engine takes: no NUL, no lone surrogate, and JSON without objects it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec


def encoded(value: Any) -> str:
    """JSON text. A float that is no number becomes null, and of an object JSON does not know its type remains.

    Raises:
        RecursionError: nested beyond all reason.
    """
    try:
        return ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        return ENCODER.encode(scrubbed_tree(value)).decode()


def scrubbed(text: str) -> str:
    """The text with what PostgreSQL refuses replaced."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def scrubbed_tree(value: Any) -> Any:
    """The same for every string in a tree of dicts, lists and tuples."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {scrubbed(str(key)): scrubbed_tree(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed_tree(item) for item in cast("Sequence[Any]", value)]
    return value


def foreign(value: object) -> str:
    """What stands for a value that JSON does not know: its type, and never its repr, which could hold a secret."""
    return f"<{type(value).__name__}>"


ENCODER = msgspec.json.Encoder(enc_hook=foreign)
