"""The clients that are tested, what each can do, and the exceptions that its users catch.

`does` names tests of `test_clients.py`; a scenario with a provider's limits stands in `only`. Not every client can do
everything: LiteLLM retries without a look at Retry-After, and LlamaIndex's Anthropic refuses unknown models by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PROVIDERS = ("sim-openai", "sim-anthropic", "sim-gemini")
#: OpenAI's chat completions keep thoughts to themselves, and Anthropic's API embeds nothing.
_ALOUD = ("sim-anthropic", "sim-gemini")
_EMBED = ("sim-openai", "sim-gemini")
_ALL = frozenset(
    {
        *("chat", "stream", "tools", "tools_streamed", "structured", "structured_streamed", "vision", "abort"),
        *("wrong_key", "unknown_model", "throttled", "retried", "broken"),
    }
)


@dataclass(frozen=True)
class Client:
    """One client through one of its ways to ask; `home` is the folder of its environment."""

    name: str
    home: str
    script: str
    through: str = ""
    does: frozenset[str] = _ALL
    #: Of a wrong key, an unknown model, and too many requests.
    raises: tuple[str, str, str] = ("AuthenticationError", "NotFoundError", "RateLimitError")
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    #: By test what it keeps to itself of what is told of all others.
    untold: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    #: Tokens it says beside the question, by the provider that counts them.
    beside: Mapping[str, int] = field(default_factory=dict[str, int])

    def providers(self, scenario: str) -> tuple[str, ...]:
        """Those that a scenario is tried with."""
        usual = {"embed": _EMBED, "thinking": _ALOUD}.get(scenario, PROVIDERS)
        return self.only.get(scenario, usual)


_VERCEL = ("APICallError", "APICallError", "APICallError")
_GOOGLE = ("ApiError", "ApiError", "ApiError")
_LANGCHAIN_OPENAI = ("OpenAIAuthenticationError", "OpenAIModelNotFoundError", "OpenAIRateLimitError")
_LANGCHAIN_ANTHROPIC = ("AnthropicAuthenticationError", "AnthropicModelNotFoundError", "AnthropicRateLimitError")
_LANGCHAIN_GOOGLE = ("GoogleAuthenticationError", "GoogleModelNotFoundError", "GoogleRateLimitError")
_PYDANTIC = ("ModelAuthenticationError", "ModelNotFoundError", "ModelRateLimitError")
_LLM = ("CommandFailed", "CommandFailed", "CommandFailed")
_STRUCTURED = frozenset({"structured", "structured_streamed"})
_LITELLM = _ALL - {"structured_streamed", "retried"}
#: Closing its generators leaves the stream beneath open.
_INDEX = _ALL - {"structured_streamed", "abort"}
_UNCOUNTED = {"stream": frozenset({"input", "output"})}

CLIENTS = (
    Client("npm-openai", "node", "openai_chat.mjs", does=_ALL | {"embed", "models"}),
    Client("npm-openai-responses", "node", "openai_responses.mjs", does=_ALL | {"kept"}),
    Client("npm-anthropic", "node", "anthropic_messages.mjs", does=_ALL | {"models", "count", "thinking"}),
    Client(
        "npm-google",
        "node",
        "google_genai.mjs",
        does=_ALL - {"structured_streamed"} | {"models", "count"},
        raises=_GOOGLE,
    ),
    Client("vercel-responses", "node", "vercel.mjs", "responses", does=_ALL | {"embed", "thinking"}, raises=_VERCEL),
    Client("vercel-chat", "node", "vercel.mjs", "chat", raises=_VERCEL),
    Client(
        "vercel-compatible",
        "node",
        "vercel.mjs",
        "compatible",
        does=_ALL | {"embed", "thinking"},
        raises=_VERCEL,
        only={"thinking": ("sim-anthropic",)},
    ),
    Client(
        "vercel-anthropic",
        "node",
        "vercel.mjs",
        "anthropic",
        does=_ALL | {"thinking"},
        raises=_VERCEL,
        # It asks for thoughts without saying that they be shown, which Gemini takes at its word.
        only={"thinking": ("sim-anthropic",)},
    ),
    Client("vercel-google", "node", "vercel.mjs", "google", does=_ALL | {"thinking"}, raises=_VERCEL),
    Client(
        "langchain-openai",
        "current",
        "with_langchain.py",
        "chat",
        does=_ALL | {"structured_by_tool", "embed"},
        raises=_LANGCHAIN_OPENAI,
    ),
    Client(
        "langchain-responses",
        "current",
        "with_langchain.py",
        "responses",
        does=_ALL | {"structured_by_tool", "thinking"},
        raises=_LANGCHAIN_OPENAI,
    ),
    Client(
        "langchain-anthropic",
        "current",
        "with_langchain.py",
        "anthropic",
        does=_ALL | {"structured_by_tool", "thinking"},
        raises=_LANGCHAIN_ANTHROPIC,
    ),
    Client(
        "langchain-google",
        "current",
        "with_langchain.py",
        "google",
        does=_ALL | {"structured_by_tool", "thinking"},
        raises=_LANGCHAIN_GOOGLE,
    ),
    Client(
        "pydantic-ai-chat",
        "current",
        "with_pydantic_ai.py",
        "chat",
        does=_ALL | {"structured_by_tool", "thinking"},
        raises=_PYDANTIC,
        only={"thinking": ("sim-anthropic",)},
    ),
    Client(
        "pydantic-ai-responses",
        "current",
        "with_pydantic_ai.py",
        "responses",
        does=_ALL | {"structured_by_tool", "thinking"},
        raises=_PYDANTIC,
    ),
    Client(
        "pydantic-ai-anthropic",
        "current",
        "with_pydantic_ai.py",
        "anthropic",
        # It knows which models of Anthropic's keep to a schema by themselves, and these are none.
        does=_ALL - _STRUCTURED | {"structured_by_tool", "thinking"},
        raises=_PYDANTIC,
    ),
    Client(
        "pydantic-ai-google",
        "current",
        "with_pydantic_ai.py",
        "google",
        # It neither tries again nor hangs up before the collector of garbage does.
        does=_ALL - {"retried", "abort"} | {"structured_by_tool", "thinking"},
        raises=_PYDANTIC,
    ),
    Client(
        "openai-agents-responses",
        "current",
        "with_agents.py",
        "responses",
        does=_ALL | {"one_tool", "kept", "thinking"},
    ),
    Client(
        "openai-agents-chat",
        "current",
        "with_agents.py",
        "chat",
        does=_ALL | {"one_tool", "thinking"},
        only={"thinking": ("sim-anthropic",)},
    ),
    Client(
        "llm",
        "current",
        "with_llm.py",
        does=_ALL - {"structured_streamed", "retried", "abort", "throttled"},
        raises=_LLM,
        # A command: its output is the answer, and nothing else.
        untold={
            "stream": frozenset({"pieces"}),
            "tools": frozenset({"called"}),
            "tools_streamed": frozenset({"called"}),
        },
    ),
    Client("llama-index-openai", "older", "with_llama_index.py", "chat", does=_INDEX | {"embed"}, untold=_UNCOUNTED),
    # It passes over the event by which a response fails.
    Client(
        "llama-index-responses",
        "older",
        "with_llama_index.py",
        "responses",
        does=_INDEX - {"broken"},
        untold=_UNCOUNTED,
    ),
    Client(
        "llama-index-anthropic",
        "older",
        "with_llama_index.py",
        "anthropic",
        does=_INDEX - {"unknown_model"},
        untold=_UNCOUNTED,
        # An empty system prompt, which it always sends.
        beside={"sim-anthropic": 1},
    ),
    Client("litellm-openai", "older", "with_litellm.py", "chat", does=_LITELLM | {"embed"}),
    Client("litellm-anthropic", "older", "with_litellm.py", "anthropic", does=_LITELLM),
    # Of a model whose name is not one of Google's it believes that it can follow no schema.
    Client("litellm-google", "older", "with_litellm.py", "google", does=_LITELLM - {"structured"}),
    Client("litellm-responses", "older", "with_litellm.py", "responses", does=frozenset({"chat", "stream"})),
    Client("instructor-tools", "older", "with_instructor.py", "tools", does=_STRUCTURED),
    Client("instructor-strict-tools", "older", "with_instructor.py", "strict", does=_STRUCTURED),
    Client("instructor-json-schema", "older", "with_instructor.py", "json_schema", does=_STRUCTURED),
    Client("instructor-responses", "older", "with_instructor.py", "responses", does=_STRUCTURED),
)
