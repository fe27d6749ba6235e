"""The wire formats, by name."""

from __future__ import annotations

from collections.abc import Mapping

from providers.dialect import Dialect
from providers.dialects.anthropic import ANTHROPIC
from providers.dialects.gemini import GEMINI
from providers.dialects.openai import OPENAI

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI, ANTHROPIC, GEMINI)}

__all__ = ["ANTHROPIC", "DIALECTS", "GEMINI", "OPENAI"]
