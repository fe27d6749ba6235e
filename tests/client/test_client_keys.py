"""Keys and the audit log by the client, on a running gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from steelyard_client import Forbidden, Unauthorized
from tests.acceptance.driving import ADMIN_KEY, World
from tests.client.either import Either, opened
from tests.serving import until


def test_the_life_of_a_key(world: World, steelyard: Either, kind: str) -> None:
    until(lambda: world.get("/api/audit", ADMIN_KEY).status == 200)
    soon = datetime.now(UTC) + timedelta(days=1)
    made = steelyard.call("create_key", f"of {kind}", tags=["a"], rates={"rpm": 60}, expires_at=soon)
    assert made.key.startswith("sk-sy-")
    assert (made.tags, made.rates.rpm, made.expires_at) == (["a"], 60, soon)
    with opened(kind, world.url, made.key) as theirs:
        assert theirs.call("list_schedules").items == []
        with pytest.raises(Forbidden):
            theirs.call("list_keys")
    changed = steelyard.call("update_key", made.id, tags=["b"], expires_at=None)
    assert (changed.tags, changed.expires_at, steelyard.call("get_key", made.id)) == (["b"], None, changed)
    turned = steelyard.call("rotate_key", made.id, overlap=60)
    assert turned.key != made.key
    assert steelyard.call("revoke_key", made.id).state == "revoked"
    for text in (made.key, turned.key):
        with opened(kind, world.url, text) as theirs, pytest.raises(Unauthorized):
            theirs.call("list_schedules")
    assert [one.id for one in steelyard.call("list_keys", tag="b").keys if one.name == made.name] == [made.id]
    acts = steelyard.call("list_acts", target=made.id, action="key.").acts
    assert [one.action for one in acts] == ["key.revoke", "key.rotate", "key.update", "key.create"]
    assert {one.actor for one in acts} == {"admin"}
