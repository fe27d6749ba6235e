"""`logprobsResult` ↔ OpenAI's logprobs object.

Both list, per step, the chosen token and the likeliest ones with natural logarithms, so the translation is honest.
OpenAI's `bytes` is null, which it documents for tokens without them: Gemini tells a token's text only, and a text may
be a part of a character. Gemini's token ids and the sum have no place there and are left out.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from providers.chat import Json
from providers.dialects.gemini.wire import ToldLogprobs, ToldToken


class _Token(Struct):
    token: str = ""
    logprob: float | None = None
    top_logprobs: list[_Token] | None = None


class _Object(Struct):
    content: list[_Token] | None = None


_encoder = msgspec.json.Encoder()
_object = msgspec.json.Decoder(_Object)


def to_openai(result: ToldLogprobs | None) -> Raw | None:
    """OpenAI's object; None when there are no tokens."""
    chosen = result.chosen_candidates if result else None
    if result is None or not chosen:
        return None
    tops = result.top_candidates or []
    content = [
        {**_openai(token), "top_logprobs": [_openai(top) for top in (step.candidates if step else None) or ()]}
        for token, step in zip(chosen, [*tops, *[None] * (len(chosen) - len(tops))], strict=False)
    ]
    return Raw(_encoder.encode({"content": content, "refusal": None}))


def to_gemini(raw: Raw | None) -> Json | None:
    """Gemini's object; None when there are no tokens, or it is not OpenAI's object."""
    if raw is None:
        return None
    try:
        content = _object.decode(raw).content
    except msgspec.DecodeError:
        return None
    if not content:
        return None
    return {
        "chosenCandidates": [_gemini(token) for token in content],
        "topCandidates": [{"candidates": [_gemini(top) for top in token.top_logprobs or ()]} for token in content],
    }


def _openai(token: ToldToken) -> Json:
    # A probability of one has the logarithm 0, which the API may leave out.
    return {"token": token.token, "logprob": token.log_probability or 0.0, "bytes": None}


def _gemini(token: _Token) -> Json:
    return {"token": token.token, "logProbability": token.logprob or 0.0}
