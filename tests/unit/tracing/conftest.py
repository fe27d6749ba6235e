"""For the tests of traces: each begins in none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.tracing.places import enter, here


@pytest.fixture(autouse=True)
def _nowhere() -> Iterator[None]:
    before = here()
    enter(None)
    yield
    enter(before)
