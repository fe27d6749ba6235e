"""`ChatReply` → an answer in this dialect.

- Reasoning is a thought; its signature is Gemini's own, or the base64 of another's (`signatures`).
- The first call of another provider's answer is signed with the documented stand-in (`signatures`), so that the
  caller's next request can go to Gemini.
- Arguments that are no JSON object cannot be told as a call: the answer then ends with `MALFORMED_FUNCTION_CALL` and
  holds what the model wrote in `finishMessage`, as Gemini's own do; a cut answer keeps its own reason.
- The sequence that stopped an answer has no place here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from providers.chat import ChatReply, Choice, Image, Json, Part, Reasoning, RefusalText, Text, ToolCall
from providers.dialects.gemini import logprobs, sources
from providers.dialects.gemini.finish import gemini, usage_metadata
from providers.dialects.gemini.signatures import sign_first_call, signature_of, unmark
from providers.dialects.gemini.turns import arguments

_encoder = msgspec.json.Encoder()


def render(reply: ChatReply) -> bytes:
    """A complete answer."""
    return _encoder.encode(
        {
            "candidates": [_candidate(choice, index) for index, choice in enumerate(reply.choices)],
            "usageMetadata": usage_metadata(reply.usage),
            "modelVersion": reply.model,
            "responseId": reply.id,
        }
    )


def thought(part: Reasoning) -> Json | None:
    """A thought, or the signature that stands alone; None when nothing is to be told.

    Gemini's own stands alone behind a text, which is no thought; Claude's is always one of a thought.
    """
    signature = signature_of(part)
    if not part.text and signature is None:
        return None
    is_thought = bool(part.text) or unmark(part.signature) is None
    written: Json = {"text": part.text, "thought": True} if is_thought else {"text": ""}
    return {**written, "thoughtSignature": signature} if signature else written


def call(made: ToolCall) -> Json | None:
    """A call; None when its arguments are no object."""
    args = arguments(made.arguments)
    if args is None:
        return None
    part: Json = {"functionCall": {"id": made.id, "name": made.name, "args": args}}
    return {**part, "thoughtSignature": made.signature} if made.signature else part


def malformed(made: ToolCall) -> str:
    """What to say of a call that cannot be told."""
    return f"Malformed function call: {made.name}({made.arguments})"


def _candidate(choice: Choice, index: int) -> Json:
    written = [part for part in map(_part, choice.parts) if part is not None]
    sign_first_call(written)
    candidate: Json = {"content": {"parts": written, "role": "model"}, "index": index}
    if choice.finish_reason is not None:
        candidate["finishReason"] = gemini(choice.finish_reason)
    broken = [part for part in choice.parts if isinstance(part, ToolCall) and arguments(part.arguments) is None]
    if broken:
        candidate["finishMessage"] = "\n".join(map(malformed, broken))
        if candidate.get("finishReason") == "STOP":
            candidate["finishReason"] = "MALFORMED_FUNCTION_CALL"
    if choice.citations:
        text = "".join(part.text for part in choice.parts if isinstance(part, Text))
        candidate["citationMetadata"] = sources.metadata(choice.citations, text)
        candidate["groundingMetadata"] = sources.grounding(choice.citations, text)
    if told := logprobs.to_gemini(choice.logprobs):
        candidate["logprobsResult"] = told
    return candidate


def _part(part: Part) -> Json | None:
    writer = _WRITERS.get(type(part))
    return writer(part) if writer else None


def _text(part: Text | RefusalText) -> Json:
    return {"text": part.text}


def picture(part: Image) -> Json:
    """A picture."""
    if part.data is not None:
        return {"inlineData": {"mimeType": part.media_type or "image/png", "data": part.data}}
    return {"fileData": {"fileUri": part.url or "", "mimeType": part.media_type or "image/png"}}


#: What an answer can hold; models do not answer with sound, documents or results of tools.
_WRITERS: dict[type, Callable[[Any], Json | None]] = {
    Text: _text,
    RefusalText: _text,
    Reasoning: thought,
    ToolCall: call,
    Image: picture,
}
