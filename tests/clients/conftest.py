"""Clients are not part of `make test`: `make test-clients` installs them, and from then on they run with it too."""

from __future__ import annotations

from tests.clients.clients_world import missing
from tests.clients.them import CLIENTS

LACKING = sorted({lacking for one in CLIENTS if (lacking := missing(one))})
collect_ignore = ["test_clients.py"] if all(missing(one) for one in CLIENTS) else []


def pytest_report_header() -> list[str]:
    """Say who is not tested."""
    return [f"clients that are not there ({', '.join(LACKING)}): run make test-clients"] if LACKING else []
