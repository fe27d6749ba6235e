"""Answers → `ChatReply`, or a `Glance` at them.

- A prompt that was blocked is an answer with status 200, a `blockReason` and no candidates: `Refused`, also for callers
  of this dialect, so that it counts as what it is; the fault holds the answer, which those callers are given.
- A call without an id gets `call_<index>_<response id>`, the same in a stream and out of it.
- Executable code and its results come from tools that only a caller of this dialect can ask for; such an answer travels
  untouched, and they are not read here.
"""

from __future__ import annotations

import re

import msgspec

from providers.chat import ChatReply, Choice, Glance, Image, Part, Reasoning, Text, ToolCall
from providers.dialects import wire
from providers.dialects.gemini import faults, logprobs, sources
from providers.dialects.gemini.finish import canonical, usage_of
from providers.dialects.gemini.signatures import mark
from providers.dialects.gemini.wire import Answer, GlancedAnswer, ToldCall, ToldCandidate, ToldPart, present
from providers.errors import Garbled, Refused

_answer = msgspec.json.Decoder(Answer)
_glanced = msgspec.json.Decoder(GlancedAnswer)
_encoder = msgspec.json.Encoder()
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def decode(body: bytes) -> ChatReply:
    """A complete answer. Raises `Garbled`, `Refused`, or the fault that an error in it stands for."""
    answer = wire.read_answer(_answer, body, "gemini")
    check(answer, body)
    if not answer.candidates:
        raise Garbled("The provider's answer holds no candidates.")
    said = answer.response_id or ""
    choices = [_choice(candidate, index, said) for index, candidate in enumerate(answer.candidates)]
    return ChatReply(said, answer.model_version or "", choices, usage_of(answer.usage_metadata))


def glance(body: bytes) -> Glance:
    """What must be known of an answer that is passed on. Raises like `decode`."""
    answer = wire.read_answer(_glanced, body, "gemini")
    check(answer, body)
    if not answer.candidates:
        raise Garbled("The provider's answer holds no candidates.")
    first = answer.candidates[0]
    parts = (first.content.parts if first.content else None) or ()
    called = any(present(part.function_call) for part in parts)
    reason = canonical(first.finish_reason, called=called) if first.finish_reason else None
    return Glance(answer.response_id or "", answer.model_version or "", usage_of(answer.usage_metadata), reason)


def check(answer: Answer | GlancedAnswer, body: bytes) -> None:
    """Raise what an answer without an answer stands for; `body` is where it was read."""
    if present(answer.error):
        raise faults.of_error(answer.error)
    if not answer.candidates and answer.prompt_feedback and answer.prompt_feedback.block_reason:
        reason = answer.prompt_feedback.block_reason[:100]
        refused = Refused(f"The provider blocked the prompt ({reason}).", code=reason)
        refused.answer = body
        raise refused


def arguments_of(call: ToldCall) -> str:
    """The arguments as JSON text."""
    return _encoder.encode(call.args).decode() if call.args else "{}"


def id_of(call: ToldCall, index: int, choice: int, response_id: str) -> str:
    """The call's id, or one made of its place."""
    if call.id:
        return call.id
    place = f"call_{index}_{choice}" if choice else f"call_{index}"
    return f"{place}_{_ODD.sub('', response_id)}" if response_id else place


def _choice(candidate: ToldCandidate, index: int, response_id: str) -> Choice:
    parts: list[Part] = []
    calls = 0
    for told in (candidate.content.parts if candidate.content else None) or ():
        if told.function_call is not None:
            call = told.function_call
            name = id_of(call, calls, index, response_id)
            parts.append(ToolCall(name, call.name, arguments_of(call), told.thought_signature))
            calls += 1
        else:
            _add(parts, told)
    reason = canonical(candidate.finish_reason, called=calls > 0) if candidate.finish_reason else None
    text = "".join(part.text for part in parts if isinstance(part, Text))
    cited = sources.citations(candidate, text)
    return Choice(parts, reason, logprobs=logprobs.to_openai(candidate.logprobs_result), citations=cited)


def _add(parts: list[Part], told: ToldPart) -> None:
    if told.thought:
        parts.append(Reasoning(told.text or "", mark(told.thought_signature)))
        return
    if told.text:
        parts.append(Text(told.text))
    elif told.inline_data is not None:
        parts.append(Image(data=told.inline_data.data, media_type=told.inline_data.mime_type))
    if told.thought_signature:
        parts.append(Reasoning(signature=mark(told.thought_signature)))
