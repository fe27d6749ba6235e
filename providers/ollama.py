"""Ollama, over its OpenAI-compatible API: https://docs.ollama.com/api/openai-compatibility.

That page lists what it takes: `max_tokens`, `stream_options.include_usage`, `response_format` and `reasoning_effort`.
`parallel_tool_calls` is not on the list and would be ignored without a word: of several calls the first is told.
Nor is `n`, so that several answers are several calls. `stop` is on it, in any number.

A model that is not in memory is loaded first, which takes minutes for a large one: give it a long first-byte timeout.
"""

from __future__ import annotations

from providers.chat import MOST_STOPS
from providers.dialect import Profile
from providers.endpoint import Provider

OLLAMA = Provider(
    name="ollama",
    dialect="openai",
    base_url="http://localhost:11434/v1",
    base_url_variable="OLLAMA_BASE_URL",
    needs_key=False,
    home="https://ollama.com/download",
    default_path="/v1",
    free=True,
    profile=Profile(parallel_tool_calls=False, choices=1, stop_sequences=MOST_STOPS),
)
