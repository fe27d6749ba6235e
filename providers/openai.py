"""OpenAI.

`max_tokens` is deprecated there and refused by reasoning models: https://platform.openai.com/docs/api-reference/chat
`developer_role` is left off: reasoning models take a `system` message for a `developer` one, and older models know only
`system`.
Reasoning models up to GPT-5.2 refuse `stop` with a 400: the reference says so of o3 and o4-mini, and
https://github.com/huggingface/smolagents/pull/1868 of GPT-5.
`responses`: built-in tools, sealed thoughts and newer fields exist there alone:
https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from providers.dialect import Profile
from providers.endpoint import Provider

OPENAI = Provider(
    name="openai",
    dialect="openai",
    base_url="https://api.openai.com/v1",
    base_url_variable="OPENAI_BASE_URL",
    key_variables=("OPENAI_API_KEY",),
    home="https://platform.openai.com/api-keys",
    profile=Profile(
        max_tokens_field="max_completion_tokens",
        prompt_cache_key=True,
        responses=True,
        web_search=True,
        no_stop=r"^(?:o\d|gpt-5(?:\.[0-2])?(?:-(?!chat)|$))",
    ),
)
