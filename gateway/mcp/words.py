"""What is said of a server, its tools and their answers: a leaf, which knows no SDK."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, cast, get_args

from msgspec import Struct

from gateway.settings.secrets import MASK

#: `stopped`: not needed yet, or no more. `failed`: its last start or life ended badly; `reason` says how.
Condition = Literal["disabled", "stopped", "starting", "running", "failed"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
#: A shorter text is no secret worth the name, and masking it everywhere would make nonsense of what is said.
_SHORTEST_SECRET = 4
#: Characters of what a server says that are passed on as the reason of a failure.
_LONGEST_REASON = 500


class Tool(Struct, frozen=True):
    """A tool as its server describes it. Schemas are JSON Schema."""

    name: str
    title: str | None
    description: str | None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any] | None


class Outcome(Struct, frozen=True):
    """What a tool answered: its blocks as they came, their text, and the structured content, if any.

    `is_error`: the tool itself says that it failed; the text says why.
    """

    text: str
    content: list[dict[str, Any]]
    structured: Any
    is_error: bool


class Status(Struct, frozen=True):
    """How a server does. Times are Unix seconds; `restarts` counts from the start of the gateway."""

    status: Condition
    reason: str | None
    since: float | None
    retry_at: float | None
    restarts: int
    tools: int | None
    server: str | None
    protocol: str | None


class Lost(Exception):
    """There is no connection to the server any more; nobody knows whether the tool has run."""


class Refused(Exception):
    """The server did not run the tool, and says why."""


def masked(text: str, secrets: Iterable[str]) -> str:
    """Text without these secrets, cut to the length of a reason."""
    return _without(text, _longest_first(secrets))[:_LONGEST_REASON]


def masked_tree(tree: Any, secrets: Iterable[str]) -> Any:
    """A JSON tree without these secrets in its texts."""
    known = _longest_first(secrets)
    return _cleaned(tree, known) if known else tree


def _longest_first(secrets: Iterable[str]) -> list[str]:
    return sorted({one for one in secrets if len(one) >= _SHORTEST_SECRET}, key=len, reverse=True)


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _cleaned(tree: Any, secrets: list[str]) -> Any:
    if isinstance(tree, str):
        return _without(tree, secrets)
    if isinstance(tree, list):
        return [_cleaned(one, secrets) for one in cast("list[Any]", tree)]
    if isinstance(tree, dict):
        return {key: _cleaned(one, secrets) for key, one in cast("dict[str, Any]", tree).items()}
    return tree
