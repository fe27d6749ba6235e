"""Chunks → a stream in this dialect.

Text and thoughts go out as they come. Calls are told whole, because this API has no partial arguments: they wait for
the end of their choice. The reasons wait for the end of the stream, since usage stands beside them there: that event is
the terminal one in all but name.
"""

from __future__ import annotations

import msgspec

from providers.chat import (
    Begin,
    ChatChunk,
    ChatRequest,
    Citation,
    Cited,
    Finish,
    ImageDelta,
    Json,
    Reasoning,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialects.gemini import logprobs, sources
from providers.dialects.gemini.finish import gemini, usage_metadata
from providers.dialects.gemini.render import call, malformed, picture, thought
from providers.dialects.gemini.signatures import sign_first_call

_encoder = msgspec.json.Encoder()


class StreamEncoder:
    """See `providers.dialect.StreamEncoder`."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self, request: ChatRequest) -> None:
        """One for each stream."""
        self._model = request.model
        self._id = ""
        self._usage = Usage()
        #: Calls in the making, by choice and index, and what ends each choice.
        self._calls: dict[int, dict[int, ToolCall]] = {}
        self._ends: dict[int, Json] = {}
        #: What each choice said, and the sources of it.
        self._texts: dict[int, list[str]] = {}
        self._cited: dict[int, list[Citation]] = {}

    def encode(self, chunk: ChatChunk) -> bytes:
        """The event of one chunk, or nothing yet."""
        match chunk:
            case TextDelta():
                self._texts.setdefault(chunk.choice, []).append(chunk.text)
                return self._said({"text": chunk.text}, chunk.choice, logprobs.to_gemini(chunk.logprobs))
            case ReasoningDelta():
                told = thought(Reasoning(chunk.text, chunk.signature, chunk.redacted))
                return self._said(told, chunk.choice) if told else b""
            case ToolCallDelta():
                self._call(chunk)
            case ImageDelta():
                return self._said(picture(chunk.image), chunk.choice)
            case Cited():
                self._cited.setdefault(chunk.choice, []).extend(chunk.citations)
            case Finish():
                return self._finish(chunk)
            case UsageReport():
                self._usage = chunk.usage
            case Begin():
                self._id = chunk.id
                self._model = chunk.model or self._model
            case _:
                return self._said({"text": chunk.text}, chunk.choice)
        return b""

    def continued(self, told: Json) -> bytes:
        """An event that says nothing, with a field that SDKs pass over."""
        silent: Json = {"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0}
        return self._event({"candidates": [silent], "steelyard": {"continued": told}})

    def end(self) -> bytes:
        """The event with the reasons and the usage."""
        ended = [{"content": {"parts": [{"text": ""}], "role": "model"}, **end} for end in self._ends.values()]
        return self._event({"candidates": ended, "usageMetadata": usage_metadata(self._usage)})

    def _call(self, chunk: ToolCallDelta) -> None:
        made = self._calls.setdefault(chunk.choice, {}).setdefault(chunk.index, ToolCall("", "", ""))
        made.id = chunk.id or made.id
        made.name = chunk.name or made.name
        made.arguments += chunk.arguments
        made.signature = chunk.signature or made.signature

    def _finish(self, chunk: Finish) -> bytes:
        """Tell the calls of the choice; its reason waits."""
        made = [value for _, value in sorted(self._calls.pop(chunk.choice, {}).items())]
        parts = [part for part in map(call, made) if part is not None]
        broken = [one for one in made if call(one) is None]
        end: Json = {"finishReason": gemini(chunk.reason), "index": chunk.choice}
        if broken:
            end["finishMessage"] = "\n".join(map(malformed, broken))
            if end["finishReason"] == "STOP":
                end["finishReason"] = "MALFORMED_FUNCTION_CALL"
        if cited := self._cited.get(chunk.choice):
            text = "".join(self._texts.get(chunk.choice, ()))
            end["citationMetadata"] = sources.metadata(cited, text)
            end["groundingMetadata"] = sources.grounding(cited, text)
        self._ends[chunk.choice] = end
        sign_first_call(parts)
        content = {"content": {"parts": parts, "role": "model"}, "index": chunk.choice}
        return self._event({"candidates": [content]}) if parts else b""

    def _said(self, part: Json, choice: int, told: Json | None = None) -> bytes:
        candidate: Json = {"content": {"parts": [part], "role": "model"}, "index": choice}
        if told:
            candidate["logprobsResult"] = told
        return self._event({"candidates": [candidate]})

    def _event(self, answer: Json) -> bytes:
        return (
            b"data: " + _encoder.encode({**answer, "modelVersion": self._model, "responseId": self._id}) + b"\r\n\r\n"
        )
