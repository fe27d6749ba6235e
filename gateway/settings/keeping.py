"""How long conversations are kept."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from gateway.settings.sections import Count, option


class Sessions(Struct, frozen=True, kw_only=True):
    """Conversations that are kept for callers who name them."""

    retention_days: Annotated[
        Count | None,
        option(
            "STEELYARD_SESSIONS_RETENTION_DAYS",
            "Days for which they are kept after their last turn. Unset: until they are deleted.",
        ),
    ] = None
