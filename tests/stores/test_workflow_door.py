"""The door: a gateway without workflows loads nothing of them, until there are some."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("dbos", "jinja2", "psycopg", "gateway.workflows.service", "gateway.workflows.templates")


def test_a_gateway_that_only_starts_loads_nothing_of_workflows() -> None:
    loaded = f"import sys, gateway.app, gateway.workflows.door; print([one for one in {HEAVY!r} if one in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", loaded], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
