"""What differs between two settings is told by name, and never by value."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.changes import changed
from gateway.settings.secrets import Secret
from gateway.settings.sections import Auth, Server
from gateway.settings.shared import Key, Objective

BASE = Settings()
KEY = Key(name="ann", key=Secret("hunter2-hunter2"))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, []),
        ({"server": Server(max_body=7, port=9)}, ["server.port", "server.max_body"]),
        ({"auth": Auth(admin_key=Secret("hunter2-hunter2"))}, ["auth.admin_key"]),
        ({"keys": (KEY,)}, ["keys"]),
        ({"objectives": {"mine": Objective(cost=1)}}, ["objectives.mine"]),
    ],
)
def test_what_differs_is_named(other: dict[str, Any], told: list[str]) -> None:
    after = replace(BASE, **other)
    assert changed(BASE, after) == changed(after, BASE) == told
    assert changed(after, after) == []
