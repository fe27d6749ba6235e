"""OpenAI's Responses API, towards callers only: `POST /v1/responses` in terms of a `Conversation`.

Every request is translated, also for providers that have this API themselves: what was said before lives in the
gateway (`previous_response_id`, `item_reference`), so that the next turn may go to anybody and no failover loses it.
The price is what only OpenAI's own servers have: built-in tools, stored prompts, background runs. They are refused by
name, or dropped aloud on `X-Steelyard-Drop-Params: true`.
"""

from providers.dialects.responses.form import Form
from providers.dialects.responses.items import kept, response_of
from providers.dialects.responses.parse import Asked, parse

__all__ = ["Asked", "Form", "kept", "parse", "response_of"]
