"""Whole answers: seen at a glance, decoded, and rendered for a caller.

A call without an id gets one from the answer's id and its place, so that no two calls of a conversation share it.
Empty arguments of a call are `{}`: JSON text, as every other dialect expects.

What an OpenAI message has no place for, and where it goes: thoughts of another provider's model into the de-facto field
`reasoning_content`, pictures into `images`, both as compatible servers write them; a call's signature into
`extra_content` and the proofs of thoughts into `reasoning_details`, each labelled with whose it is (`proofs`). Sounds
and documents are left out: none of them comes unasked, and a request in this dialect that asks for them (`modalities`,
`audio`) is never translated.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from providers.chat import (
    ChatReply,
    Choice,
    Citation,
    Glance,
    Image,
    Json,
    Part,
    Reasoning,
    RefusalText,
    Text,
    ToolCall,
    Usage,
)
from providers.dialects import proofs
from providers.dialects.openai import answers
from providers.dialects.openai.answers import Answer, Option, Said, answer_decoder, garbled, glimpse_decoder
from providers.dialects.openai.faults import fault_in
from providers.dialects.wire import read_answer

_encoder = msgspec.json.Encoder()


def glance(body: bytes) -> Glance:
    """What must be known of an answer that is passed on untouched. Raises `Garbled`, or the fault it holds."""
    seen = read_answer(glimpse_decoder, body, "openai")
    if answers.failed(seen):
        raise fault_in(body)
    if not seen.choices:
        raise garbled("it has no choices")
    first = seen.choices[0]
    refused = first.message is not None and bool(first.message.refusal)
    reason = answers.finish(first.finish_reason, refused=refused)
    return Glance(seen.id or "", seen.model or "", answers.usage(seen.usage), reason)


def decode(body: bytes) -> ChatReply:
    """A complete answer. Raises `Garbled`, or the fault it holds."""
    answer = read_answer(answer_decoder, body, "openai")
    if answers.failed(answer):
        raise fault_in(body)
    if not answer.choices:
        raise garbled("it has no choices")
    return ChatReply(
        id=answer.id or "",
        model=answer.model or "",
        choices=[_choice(option, answer, at) for at, option in enumerate(answer.choices)],
        usage=answers.usage(answer.usage),
        created=int(answer.created or 0),
        service_tier=answer.service_tier,
    )


def decode_completion(body: bytes) -> ChatReply:
    """A complete answer of `/completions`. Raises `Garbled`, or the fault it holds."""
    answer = read_answer(answer_decoder, body, "openai")
    if answers.failed(answer):
        raise fault_in(body)
    if not answer.choices:
        raise garbled("it has no choices")
    choices = [Choice([Text(option.text or "")], option.finish_reason) for option in answer.choices]
    return ChatReply(answer.id or "", answer.model or "", choices, answers.usage(answer.usage))


def _choice(option: Option, answer: Answer, at: int) -> Choice:
    said = option.message
    if said is None:
        raise garbled(f"choices[{at}] has no message")
    reason = answers.finish(option.finish_reason, refused=bool(said.refusal))
    parts = _parts(said, f"{answer.id or 'call'}-{at}")
    return Choice(parts, reason, None, answers.logprobs(option), answers.citations(said))


def _parts(said: Said, origin: str) -> list[Part]:
    parts: list[Part] = []
    if thoughts := answers.thoughts(said):
        parts.append(Reasoning(thoughts))
    if text := answers.text(said.content):
        parts.append(Text(text))
    if said.refusal:
        parts.append(RefusalText(said.refusal))
    for number, call in enumerate(said.tool_calls or ()):
        if call.function is None or call.function.name is None:
            raise garbled("a tool call has no function")
        parts.append(
            ToolCall(
                call.id or f"{origin}-{number}",
                call.function.name,
                answers.arguments(call.function) or "{}",
                answers.signature(call),
            )
        )
    return parts


def render(reply: ChatReply) -> bytes:
    """A complete answer in this dialect."""
    body: Json = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [_option(choice, at) for at, choice in enumerate(reply.choices)],
        "usage": rendered_usage(reply.usage),
    }
    if reply.service_tier is not None:
        body["service_tier"] = reply.service_tier
    return _encoder.encode(body)


def _option(choice: Choice, at: int) -> dict[str, Any]:
    message = _message(choice.parts)
    if choice.citations:
        message["annotations"] = rendered_citations(choice.citations)
    logprobs: Raw | None = choice.logprobs
    reason = rendered_finish(choice.finish_reason, refused=message["refusal"] is not None)
    return {"index": at, "message": message, "logprobs": logprobs, "finish_reason": reason}


def _message(parts: list[Part]) -> Json:
    texts = [part.text for part in parts if isinstance(part, Text)]
    refusals = [part.text for part in parts if isinstance(part, RefusalText)]
    message: Json = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if thoughts := "".join(part.text for part in parts if isinstance(part, Reasoning)):
        message["reasoning_content"] = thoughts
    if details := [detail for part in parts if isinstance(part, Reasoning) and (detail := rendered_proof(part))]:
        message["reasoning_details"] = details
    if calls := [_call(part) for part in parts if isinstance(part, ToolCall)]:
        message["tool_calls"] = calls
    if images := [rendered_image(part) for part in parts if isinstance(part, Image)]:
        message["images"] = images
    return message


def _call(call: ToolCall) -> Json:
    written: Json = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    return written | rendered_signature(call.signature)


def rendered_citations(citations: list[Citation]) -> list[Json]:
    """The sources as the API's annotations."""
    return [
        {
            "type": "url_citation",
            "url_citation": {"url": one.url, "title": one.title, "start_index": one.start, "end_index": one.end},
        }
        for one in citations
    ]


def rendered_image(image: Image) -> Json:
    """A picture as compatible servers write it."""
    url = image.url if image.data is None else f"data:{image.media_type or ''};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def rendered_signature(signature: str | None) -> Json:
    """The extension of a tool call that carries its signature, or nothing."""
    if signature is None:
        return {}
    return {"extra_content": {"google": {"thought_signature": proofs.GEMINI + signature}}}


def rendered_proof(thought: Reasoning) -> Json | None:
    """A thought with its proof, for the caller to send back; None when there is none."""
    if thought.redacted is not None:
        return {"type": "reasoning.encrypted", "data": thought.redacted}
    if not thought.signature:
        return None
    return {"type": "reasoning.text", "text": thought.text, "signature": thought.signature}


def rendered_finish(reason: str | None, *, refused: bool) -> str | None:
    """The reason in this dialect: a refusal in words ends with `stop`, one without words was cut off by a filter."""
    if reason != "refusal":
        return reason
    return "stop" if refused else "content_filter"


def rendered_usage(usage: Usage) -> Json:
    """The tokens as the API counts them."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
