"""What a request can cost at most, so that it can be reserved before anybody is asked.

    (2 × estimated prompt tokens) × the dearest price of a prompt token + longest answer × price of an answer's token
    of the dearest candidate, and that as often as candidates may be asked side by side

The prompt's estimate is a quarter of its bytes. Doubled it covers text that takes one token for two bytes, which is
Base64 and the like; prose takes half of the estimate doubled. Media are not in the estimate: for a prompt that has any,
the model's window is the bound. The longest answer is the caller's `max_tokens`, else what the model can say at most;
whoever names it is reserved less, and so has more requests under way when a budget nears its end.

Limits: no bound on thinking that a provider bills beyond `max_tokens`, nor on answers of several attempts that are all
paid for; what is billed beyond the bound is counted all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.asking import Ask
from gateway.calls import Chat
from gateway.catalog import Deployment
from gateway.governance.budgets.ledger import units

#: How often a prompt's estimate may lie below its tokens; see above.
_ROUGHLY = 2
#: Tokens of an answer, and of a prompt with media, of a model of which nothing is known. Twice that doubles what such
#: models reserve; half of it is less than some of today's models say in one answer.
_LONGEST = 16_384
_WINDOW = 131_072
#: What a prompt may hold beside text.
_MEDIA = frozenset({"vision", "documents", "audio"})


def bound(ask: Ask, deployments: Sequence[Deployment], *, hedged: bool) -> int:
    """The most that this may cost at the dearest of these, in units."""
    side_by_side = ask.exchange.preferences.race or (2 if hedged else 1)
    return units(max((_most(ask, one) for one in deployments), default=0.0) * max(1, side_by_side))


def _most(ask: Ask, deployment: Deployment) -> float:
    """USD."""
    price, wanted = deployment.price, ask.wanted
    dearest = max(price.input, price.cached_input or 0.0, price.cache_write or 0.0, price.cache_write_hour or 0.0)
    prompt = _ROUGHLY * wanted.asked.input_tokens
    if wanted.asked.needs & _MEDIA:
        prompt = max(prompt, deployment.context or _WINDOW)
    longest = wanted.output_cap or deployment.target.max_output or _LONGEST
    choices = wanted.work.request.n if isinstance(wanted.work, Chat) else 1
    return prompt * dearest + longest * max(1, choices) * price.output
