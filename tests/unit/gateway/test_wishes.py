"""A worker's wish for other settings, when its supervisor is gone."""

from __future__ import annotations

from multiprocessing import connection
from typing import cast

import pytest

from gateway.errors import Busy
from gateway.governance.audit import Act
from gateway.server import Wishes


async def test_who_wishes_where_nobody_hears_is_told_to_ask_again() -> None:
    ours, theirs = cast("tuple[connection.Connection, connection.Connection]", connection.Pipe())
    theirs.close()
    with ours, pytest.raises(Busy, match="ask again"):
        await Wishes(ours).reload(Act(id="act_1", at=0.0, actor="admin", action="settings.reload"))
