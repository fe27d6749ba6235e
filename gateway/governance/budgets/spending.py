"""What was spent, for those who may know it: the store stays behind this door."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import Forbidden
from gateway.governance.keys import Principal
from gateway.records import Records
from gateway.store.spending import Dimension, Spending, Spent, Wanted, spending

__all__ = ["DIMENSIONS", "Dimension", "Spending", "Spent", "Wanted", "spent_by"]

#: By what spending can be told apart.
DIMENSIONS: tuple[Dimension, ...] = ("day", "key", "tag", "provider", "model")


async def spent_by(
    records: Records, principal: Principal, by: Sequence[Dimension], wanted: Wanted, limit: int
) -> Spending:
    """What was spent: of everybody for administrators, else of one's own key.

    Raises:
        Forbidden: of another's key.
        StoreUnavailable: the database is away.
    """
    return await spending(records.database, by, wanted if principal.admin else _own(wanted, principal), limit)


def _own(wanted: Wanted, principal: Principal) -> Wanted:
    if wanted.key not in (None, principal.name):
        raise Forbidden(f"This key may look at its own spending only: leave 'key' out, or say '{principal.name}'.")
    return Wanted(
        since=wanted.since,
        until=wanted.until,
        key=principal.name,
        tag=wanted.tag,
        provider=wanted.provider,
        model=wanted.model,
    )
