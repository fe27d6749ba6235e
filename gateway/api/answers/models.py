"""What `/v1/models` answers: OpenAI's shape, Anthropic's and Gemini's."""

from typing import Literal

from msgspec import Struct


class OpenAIModel(Struct):
    """A name in OpenAI's shape; `created` is in Unix seconds, and 0 because nobody knows it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class OpenAIModels(Struct):
    """Every name in OpenAI's shape."""

    object: Literal["list"]
    data: list[OpenAIModel]


class AnthropicModel(Struct):
    """A name in Anthropic's shape; `created_at` is the epoch because nobody knows it."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str


class AnthropicModels(Struct):
    """Every name in Anthropic's shape, on one page."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


class GeminiModel(Struct, rename="camel"):
    """A name in Gemini's shape; `name` begins with `models/`."""

    name: str
    display_name: str
    supported_generation_methods: list[str]


class GeminiModels(Struct, rename="camel"):
    """Every name in Gemini's shape, on one page."""

    models: list[GeminiModel]
