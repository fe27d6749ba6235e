"""The gateway itself: for the administrator."""

from __future__ import annotations

from steelyard_client.answers.administration import ReloadAnswer
from steelyard_client.asking import Ask
from steelyard_client.operation import Operation


class Administration:
    """`/api/admin/…`."""

    @Operation
    @staticmethod
    def reload() -> Ask[ReloadAnswer]:
        """Have it read its settings again and serve with them; `Invalid` tells every problem, and the old ones stay."""
        return Ask(method="POST", address="/api/admin/reload", answer=ReloadAnswer)
