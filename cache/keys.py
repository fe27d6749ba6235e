"""Which requests are the same question.

    key = model | blake2b(tenant, surface, pins, every field that can change the answer)

Law: a field is either known to change the answer (it is part of the key), known not to (it is left out), or unknown;
an unknown field makes the request uncacheable. Guessing "it will not matter" is how caches answer wrongly.

The tenant is part of the key, so one tenant's answers are never another's. Values count by their bytes: two spellings
of one JSON value miss each other, which costs a call and never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import msgspec

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: Fields that change what is answered, or the form it is answered in.
ASKED = frozenset(
    {
        # what is asked, and of whom
        *("model", "messages", "system", "prompt", "input", "providers"),
        # sampling: the distribution the answer is drawn from
        *("temperature", "top_p", "top_k", "seed", "n", "frequency_penalty", "presence_penalty", "logit_bias"),
        # where it ends
        *("max_tokens", "max_completion_tokens", "stop", "stop_sequences"),
        # tools and the shape of the answer
        *("tools", "tool_choice", "parallel_tool_calls", "response_format", "output_config", "verbosity"),
        *("reasoning_effort", "thinking", "logprobs", "top_logprobs"),
        # the form it is sent in: a stream is kept, and replayed, as a stream
        *("stream", "stream_options", "dimensions", "encoding_format"),
        # Gemini's words for all of these, in both spellings that Google takes
        *("contents", "systemInstruction", "system_instruction", "generationConfig", "generation_config"),
        *("toolConfig", "tool_config", "safetySettings", "safety_settings"),
        *("content", "requests", "title", "taskType", "task_type", "outputDimensionality", "output_dimensionality"),
        *("embedContentConfig", "embed_content_config"),
        # orchestrate: who may answer and how they are chosen
        *("mode", "strategy", "objective", "parallel", "max_cost_usd"),
    }
)
#: Fields that say who asks, how it is billed, kept or timed, and never what is answered.
UNASKED = frozenset(
    {
        *("user", "metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention"),
        *("safety_identifier", "cache", "timeout", "labels", "serviceTier"),
    }
)


class Verdict(msgspec.Struct, frozen=True):
    """The key, or None and why there is none."""

    key: str | None
    why: str = ""


def key_of(body: bytes, *, tenant: str, surface: str, model: str, pins: Sequence[str] = ()) -> Verdict:
    """The key of a request body (a JSON object).

    Args:
        body: the caller's bytes.
        tenant: whose question it is; never shared.
        surface: the endpoint, since the same fields mean other bytes elsewhere.
        model: the name asked for; the key begins with it, so that a model's answers can be cleared together.
        pins: what headers add to the question (providers, strategy …), in a fixed order.
    """
    found = _FIELDS.decode(body)
    parts = [_asked_by(tenant, surface, tuple(pins))]
    for name in sorted(found):
        framed = _FRAMED.get(name)
        if framed is not None:
            value = found[name]
            parts += (framed, len(value).to_bytes(8, "big"), value)
        elif name not in UNASKED:
            return Verdict(None, f"the field '{name}' is not known to leave the answer unchanged")
    return Verdict(prefix_of(model) + blake2b(b"".join(parts), digest_size=20).hexdigest())


def prefix_of(model: str) -> str:
    """How the keys of a model's answers begin; the bar ends the name, since `llama` is not `llama:8b`."""
    return model.replace("|", "_") + "|"


@lru_cache(maxsize=1024)
def _asked_by(tenant: str, surface: str, pins: tuple[str, ...]) -> bytes:
    """What stands before the fields. A caller asks again and again, and always so: made once."""
    return b"".join(_framed(text) for text in (tenant, surface, str(len(pins)), *pins))


def _framed(text: str) -> bytes:
    """Length first, so that no two lists of fields run together into the same bytes."""
    data = text.encode()
    return len(data).to_bytes(8, "big") + data


_FRAMED = {name: _framed(name) for name in ASKED}
