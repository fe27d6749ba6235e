"""What a Claude knows, by its name here and at resellers. A model with any other name is taken for a new one."""

from __future__ import annotations

import re

_BEFORE = r"claude-(?:v?[23]\b|instant|"
#: Claude 2 to 4.5.
_OLD = re.compile(_BEFORE + r"(?:opus|sonnet|haiku)-4(?:-[015]\b|-\d{8}|@|$))")
#: Claude 2 to 4.
_SHAPELESS = re.compile(_BEFORE + r"(?:opus|sonnet)-4(?:-0\b|-\d{8}|@|$))")
#: Claude 2 to Opus 4.7.
_SYSTEM_FIRST = re.compile(_BEFORE + r"(?:sonnet|haiku)-4|opus-4(?:-[0-7]\b|-\d{8}|@|$))")

#: Claude 2 to 4.6.
_SAMPLED = re.compile(_BEFORE + r"(?:opus|sonnet|haiku)-4(?:-[0-6]\b|-\d{8}|@|$))")
#: A name of Anthropic's own, with a generation; any other may be another's model behind the same API.
_NAMED = re.compile(r"claude-(?:[a-z]+-)?\d")


def prefills(model: str) -> bool:
    """Whether it goes on from a last message that is its own ("What's new in Claude 4.6": a 400 from there on)."""
    return _OLD.search(model) is not None


def adapts(model: str) -> bool:
    """Whether it decides how long to think, by an effort in words; older ones are given a budget of tokens."""
    return _OLD.search(model) is None


def shapes(model: str) -> bool:
    """Whether it binds an answer to a schema ("Structured outputs": from Sonnet 4.5 and Opus 4.1 on)."""
    return _SHAPELESS.search(model) is None


def instructs(model: str) -> bool:
    """Whether it takes instructions amid a conversation ("What's new in Claude Opus 4.8").

    Older ones refuse them with a 400: `role 'system' is not supported on this model`.
    """
    return _SYSTEM_FIRST.search(model) is None


def samples(model: str) -> bool:
    """Whether it takes `temperature`, `top_p` and `top_k` ("Migrating to Claude Opus 4.7": a 400 from there on).

    The API says `temperature` is deprecated for this model; what is set to its default asks for nothing and may stay.
    """
    return _NAMED.search(model) is None or _SAMPLED.search(model) is not None


def samples_doubly(model: str) -> bool:
    """Whether it takes `temperature` and `top_p` at once ("What's new in Claude 4.5": one of them from Opus 4.1 on).

    Newer ones refuse both with a 400: `temperature` and `top_p` cannot both be specified for this model.
    """
    return _NAMED.search(model) is None or _SHAPELESS.search(model) is not None


def samples_thinking(model: str) -> bool:
    """Whether it takes any `temperature`, `top_p` and `top_k` while it thinks ("Extended thinking": no Claude does).

    They refuse with a 400 a temperature but 1, a `top_p` below 0.95 and any `top_k`.
    """
    return _NAMED.search(model) is None


def budgets(model: str) -> bool:
    """Whether it can be given a budget of tokens to think ("Migrating to Claude Opus 4.7": a 400 from there on)."""
    return _NAMED.search(model) is None or _SAMPLED.search(model) is not None
