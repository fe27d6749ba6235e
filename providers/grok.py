"""xAI Grok, over the OpenAI dialect.

`max_completion_tokens` is the field its reference names: https://docs.x.ai/docs/api-reference
`reasoning_effort` stays on: the current reasoning models (4.3 and later) take it. The 4.20 and code models refuse it
with a 400; the catalogue therefore does not list `reasoning` among their capabilities.
Reasoning models refuse `stop` with an error (https://docs.x.ai/docs/guides/reasoning); the others are named so, or old.
"""

from __future__ import annotations

from providers.dialect import Profile
from providers.endpoint import Provider

GROK = Provider(
    name="grok",
    dialect="openai",
    base_url="https://api.x.ai/v1",
    base_url_variable="GROK_BASE_URL",
    key_variables=("GROK_API_KEY", "XAI_API_KEY"),
    home="https://console.x.ai",
    gen_ai="x_ai",
    profile=Profile(
        max_tokens_field="max_completion_tokens", no_stop=r"^grok-(?:3-mini|[4-9]|code|build)(?!.*non-reasoning)"
    ),
)
