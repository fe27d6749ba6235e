"""What the first process hands to its workers through the environment, since that is all some libraries read."""

from __future__ import annotations

import os


def share_with_workers(name: str, value: str) -> None:
    """Set a variable for every process started from here on."""
    os.environ[name] = value
