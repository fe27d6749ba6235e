"""Whom LiteLLM means by what stands before a model's name: data, in `prefixes.json`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from msgspec import Struct, field
from msgspec.json import Decoder

from gateway.catalogue import Capability


class Prefix(Struct, frozen=True, forbid_unknown_fields=True):
    """One of LiteLLM's providers.

    `provider` is one that Steelyard knows by name; else it speaks OpenAI's format at `url`, or where `api_base` says,
    with `path` behind it. `key` and `base` are the variables that LiteLLM reads. `refused` says why it cannot be
    taken over, `instead` what can.
    """

    provider: str | None = None
    url: str | None = None
    path: str = ""
    key: str | None = None
    base: str | None = None
    capability: Capability | None = None
    note: str | None = None
    refused: str | None = field(name="not", default=None)
    instead: str | None = None


PREFIXES: Mapping[str, Prefix] = Decoder(dict[str, Prefix]).decode(
    (files(__name__.rpartition(".")[0]) / "prefixes.json").read_bytes()
)
#: How names begin of which LiteLLM knows without a prefix whose they are.
_BARE = (("gpt-", "openai"), ("chatgpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
         ("text-embedding-", "openai"), ("dall-e", "openai"), ("whisper-", "openai"), ("tts-", "openai"),
         ("omni-moderation", "openai"), ("claude-", "anthropic"), ("gemini-", "vertex_ai"))  # fmt: skip


def split(model: str, named: str | None) -> tuple[str | None, str]:
    """Whose a model is, and its name there; `named` is `custom_llm_provider`. None: nobody knows."""
    if named:
        return named, model.removeprefix(f"{named}/")
    prefix, slash, rest = model.partition("/")
    if slash and prefix in PREFIXES:
        return prefix, rest
    return next((whose for start, whose in _BARE if model.startswith(start)), prefix if slash else None), model
