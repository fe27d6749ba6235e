"""For the tests of traces: each begins in none."""

from __future__ import annotations

from tests.unit.nowhere import nowhere as nowhere
