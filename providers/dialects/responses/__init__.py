"""OpenAI's Responses API: `POST /v1/responses` in terms of a `Conversation`, and towards providers that have it.

Who has it (`Profile.responses`) is sent the caller's own request, and its answer goes back in its own bytes, so that
built-in tools, sealed thoughts and fields that nobody here knows survive (`native`, `told`, `relay`). For everybody
else the request is translated, and what only OpenAI's own servers have is refused by name, or dropped aloud on
`X-Steelyard-Drop-Params: true`.

In both cases what was said before lives in the gateway (`previous_response_id`, `item_reference`), so that the next
turn may go to anybody, no failover loses it, and no tenant reaches another's through a key that they share.
"""

from providers.dialects.responses import native
from providers.dialects.responses.form import Form
from providers.dialects.responses.items import kept, response_of
from providers.dialects.responses.parse import Asked, parse
from providers.dialects.responses.told import NATIVE, decode, judge

__all__ = ["NATIVE", "Asked", "Form", "decode", "judge", "kept", "native", "parse", "response_of"]
