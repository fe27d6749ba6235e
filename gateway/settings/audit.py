"""How long it is known what administrators did."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from gateway.settings.sections import Count, option


class Audit(Struct, frozen=True, kw_only=True):
    """The log of administrative acts."""

    retention_days: Annotated[
        Count | None,
        option("STEELYARD_AUDIT_RETENTION_DAYS", "Days for which administrative acts are kept. Unset: for ever."),
    ] = None
