"""The pinned catalogue: current models with prices and limits, so that a key is all a known provider needs.

Source: litellm 1.109.1 on PyPI (`model_prices_and_context_window_backup.json`), taken in November 2026; MIT licence,
copyright Berri AI. Prices are USD per million tokens at the provider's ordinary rate: surcharges for very long prompts,
priority tiers and tools are not in it; those for writing to the prompt cache are. `context` is the longest prompt the
source states; `max_output` is left out where the source only repeats the window.

Capabilities are not in the source. They come from the providers' model pages and err on the side of leaving out:
`reasoning` means that the model takes an effort setting, not merely that it thinks. Models that only answer on
OpenAI's Responses API are left out, and so are embedding models, whose prices the source's excerpt lacks.

The first model of each provider is its default. A newer price belongs in `models.json`, or in the operator's YAML.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder

#: What a model can: of a conversation, or instead of one.
Capability = Literal[
    "tools",
    "vision",
    "audio",
    "documents",
    "json_schema",
    "reasoning",
    "embeddings",
    "completions",
    "moderation",
    "images",
    "speech",
    "transcription",
]


class CatalogueModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. Prices in USD per million tokens, limits in tokens; None where the source does not say."""

    provider: str
    name: str
    input: Annotated[float, Meta(ge=0)]
    output: Annotated[float, Meta(ge=0)]
    cached_input: Annotated[float, Meta(ge=0)] | None = None
    cache_write: Annotated[float, Meta(ge=0)] | None = None
    cache_write_hour: Annotated[float, Meta(ge=0)] | None = None
    context: Annotated[int, Meta(ge=1)] | None = None
    max_output: Annotated[int, Meta(ge=1)] | None = None
    capabilities: tuple[Capability, ...] = ()


class Catalogue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models, and where their figures come from."""

    source: str
    version: str
    taken_on: str
    licence: str
    unit: Literal["USD per 1M tokens"]
    models: tuple[CatalogueModel, ...]

    def of(self, provider: str) -> dict[str, CatalogueModel]:
        """A provider's models by name, its default first; empty for a provider the catalogue does not know."""
        return {model.name: model for model in self.models if model.provider == provider}


_DECODER = Decoder(Catalogue)


def load_catalogue() -> Catalogue:
    """The catalogue that ships with this version."""
    return _DECODER.decode((files(__name__) / "models.json").read_bytes())
