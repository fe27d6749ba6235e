"""A gateway with keys, simulated providers behind it, and both clients in front."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from tests.acceptance.driving import ADMIN_KEY, World, with_keys, world_in
from tests.acceptance.tool_world import settings_of, stdio
from tests.client.either import Either, opened
from tests.serving import with_worker


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("client")
    tools = settings_of(folder, {"tools": stdio()}).mcp
    with world_in(folder, with_keys, with_worker, lambda settings: replace(settings, mcp=tools)) as made:
        yield made


@pytest.fixture(scope="package")
def document(world: World) -> dict[str, Any]:
    return world.get("/openapi.json").json


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def steelyard(world: World, kind: str) -> Iterator[Either]:
    """The administrator's client, of either kind."""
    with opened(kind, world.url, ADMIN_KEY) as made:
        yield made
