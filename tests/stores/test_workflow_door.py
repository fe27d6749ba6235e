"""The door: a gateway without workflows loads nothing of them, until there are some."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
from store_faults import Proxy

from gateway.store.engine import Database
from gateway.store.workflows import definitions
from gateway.workflows import door

HEAVY = ("dbos", "jinja2", "psycopg", "gateway.workflows.service", "gateway.workflows.templates")


def test_a_gateway_that_only_starts_loads_nothing_of_workflows() -> None:
    loaded = f"import sys, gateway.app, gateway.workflows.door; print([one for one in {HEAVY!r} if one in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", loaded], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Kept:
    """What the door needs of the records."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.migrated = asyncio.Event()
        self.migrated.set()


async def test_a_look_that_waits_for_a_silent_database_is_left_at_once(
    proxied_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    exist = definitions.exist

    async def counted(database: Database) -> bool:
        nonlocal looks
        looks += 1
        return await exist(database)

    monkeypatch.setattr(definitions, "exist", counted)
    monkeypatch.setattr(door, "_AGAIN", 0.01)
    kept = Kept(proxied_url)
    none: Any = None
    records: Any = kept
    ways = door.Workflows(none, records, wall=none, monotonic=none, rng=none)
    task = asyncio.create_task(ways.open_if_needed())
    async with asyncio.timeout(20):
        while looks < 3:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        proxy.hang()
        before = looks
        while looks == before:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert task.cancelled()  # it does not wait for what its look waits for
    await asyncio.wait_for(kept.database.dispose(), 20)
