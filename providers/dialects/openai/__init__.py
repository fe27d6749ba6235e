"""OpenAI's wire format: `POST /chat/completions` and `/embeddings`, appended to a base URL that ends with `/v1`."""

from providers.dialects.openai.dialect import OPENAI, OpenAI

__all__ = ["OPENAI", "OpenAI"]
