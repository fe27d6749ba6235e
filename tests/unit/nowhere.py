"""A fixture for tests of what tells of traces: each begins in none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.tracing.places import enter, here


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    """Whoever imports it has it."""
    before = here()
    enter(None)
    yield
    enter(before)
