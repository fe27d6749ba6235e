"""Anthropic's wire format: `POST /v1/messages`, appended to a base URL without `/v1`."""

from providers.dialects.anthropic.dialect import ANTHROPIC, Anthropic

__all__ = ["ANTHROPIC", "Anthropic"]
