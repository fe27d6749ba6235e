"""Answers: administration. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class ReloadAnswer:
    """Names of settings such as `providers.openai`: what differs from before, and what waits for the next start.

    Values are not told: secrets are among them.
    """

    changed: list[str]
    restart: list[str]
