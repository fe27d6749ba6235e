"""Settings: environment, `.env` and YAML in, one frozen tree out.

Law: strict in, silent about secrets. An unknown key is refused with the nearest valid name, every problem is told at
once, and no secret appears in what is printed, logged or raised.
"""

from __future__ import annotations

from gateway.settings.load import Loaded, from_environment, load
from gateway.settings.problems import Problem, SettingsError
from gateway.settings.secrets import Secret, SecretUrl
from gateway.settings.shared import Key, Objective
from gateway.settings.tree import (
    ModelSettings,
    Price,
    ProviderSettings,
    RouteSettings,
    Settings,
)
from gateway.settings.workers import share_with_workers

__all__ = [
    "Key",
    "Loaded",
    "ModelSettings",
    "Objective",
    "Price",
    "Problem",
    "ProviderSettings",
    "RouteSettings",
    "Secret",
    "SecretUrl",
    "Settings",
    "SettingsError",
    "from_environment",
    "load",
    "share_with_workers",
]
