"""Gemini's wire format: `generateContent`, appended to a base URL without a version."""

from providers.dialects.gemini.dialect import GEMINI, Gemini
from providers.dialects.gemini.parse import parse_call

__all__ = ["GEMINI", "Gemini", "parse_call"]
