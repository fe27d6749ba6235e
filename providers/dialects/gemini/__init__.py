"""Gemini's wire format: `generateContent`, appended to a base URL without a version."""

from providers.dialects.gemini.dialect import GEMINI, Gemini
from providers.dialects.gemini.embed_callers import EmbeddingForm, parse_embedding
from providers.dialects.gemini.parse import parse_call

__all__ = ["GEMINI", "EmbeddingForm", "Gemini", "parse_call", "parse_embedding"]
