"""What of a request a model does by itself: its dialect's documentation, corrected by the provider's profile."""

from __future__ import annotations

import re
from collections.abc import Callable

from providers.chat import Json
from providers.dialect import Limits, Target, every


def limits(
    target: Target,
    choices: int,
    stops: int | None,
    *,
    blank_stops: bool = True,
    shapes: bool = True,
    binds: Callable[[Json], bool] = every,
    own_shapes: bool = False,
    forces_thinking: bool = True,
) -> Limits:
    """The limits of a model whose dialect documents these."""
    profile = target.profile
    if profile.choices:
        choices = profile.choices
    if profile.stop_sequences >= 0:
        stops = profile.stop_sequences
    if _named(profile.single_choice, target.upstream):
        choices = 1
    if _named(profile.no_stop, target.upstream):
        stops = 0
    return Limits(choices, stops, blank_stops, shapes, binds, own_shapes, forces_thinking)


def _named(pattern: str, model: str) -> bool:
    return bool(pattern) and re.search(pattern, model) is not None
