"""Providers of language models: what they speak, how they are reached, and the list of those known by name.

A provider is a dialect (pure code), an endpoint (data) and a profile (documented quirks, data). Adding one that speaks
a known dialect takes its own file and a line here. Nothing registers itself.
"""

from __future__ import annotations

from providers.anthropic import ANTHROPIC
from providers.endpoint import DialectName, Provider
from providers.gemini import GEMINI
from providers.grok import GROK
from providers.ollama import OLLAMA
from providers.openai import OPENAI

PROVIDERS: tuple[Provider, ...] = (OPENAI, ANTHROPIC, GEMINI, GROK, OLLAMA)
#: By their names, what OpenTelemetry's conventions call those that they have another name for.
GEN_AI_NAMES = {one.name: one.gen_ai for one in PROVIDERS if one.gen_ai}

__all__ = ["GEN_AI_NAMES", "PROVIDERS", "DialectName", "Provider"]
