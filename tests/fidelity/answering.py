"""Features that are part of the answer: thoughts and their proofs, ends, counts, sources."""

from __future__ import annotations

from providers.simulator.writing import sign
from tests.fidelity.asking import a, g, o
from tests.fidelity.cells import Feature, Gap, Probe, at, every, has, no, says
from tests.fidelity.talking import gu, tools, u
from tests.fidelity.wire import Json, anthropic_reply, gemini_reply, openai_reply

_TOOL = tools()
_ASK = {"openai": o(**_TOOL["openai"]), "anthropic": a(**_TOOL["anthropic"]), "gemini": g(**_TOOL["gemini"])}
_PLAIN = {"openai": o(), "anthropic": a(), "gemini": g()}
#: Claude's proof of this thought, as the simulator makes and checks it; Gemini's of its own.
_PROOF, _SEAL, _SECRET = sign("Hm."), "Z2VtaW5pLXNpZw==", "cmVkYWN0ZWQ="
_THINKING: Json = {"type": "thinking", "thinking": "Hm.", "signature": _PROOF}
_USE: Json = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}}
_CALL: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
}
_FUNCTION: Json = {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}}


def _again_openai(ask: Json, got: Json) -> Json:
    result = {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}
    return {**ask, "messages": [*ask["messages"], got["choices"][0]["message"], result]}


def _again_anthropic(ask: Json, got: Json) -> Json:
    result = u({"type": "tool_result", "tool_use_id": "call_1", "content": "18 degrees"})
    return {**ask, "messages": [*ask["messages"], {"role": "assistant", "content": got["content"]}, result]}


def _again_gemini(ask: Json, got: Json) -> Json:
    result = gu({"functionResponse": {"id": "call_1", "name": "get_weather", "response": {"output": "18 degrees"}}})
    return {**ask, "contents": [*ask["contents"], got["candidates"][0]["content"], result]}


AGAIN = {"openai": _again_openai, "anthropic": _again_anthropic, "gemini": _again_gemini}


def _on_openai(ask: Json, got: Json) -> Json:
    more = {"role": "user", "content": "Go on."}
    return {**ask, "messages": [*ask["messages"], got["choices"][0]["message"], more]}


def _on_anthropic(ask: Json, got: Json) -> Json:
    more = [{"role": "assistant", "content": got["content"]}, {"role": "user", "content": "Go on."}]
    return {**ask, "messages": [*ask["messages"], *more]}


def _on_gemini(ask: Json, got: Json) -> Json:
    return {**ask, "contents": [*ask["contents"], got["candidates"][0]["content"], gu({"text": "Go on."})]}


_ON = {"openai": _on_openai, "anthropic": _on_anthropic, "gemini": _on_gemini}
_UNSIGNED = Gap("Chat Completions gives no proofs of thought.")

THOUGHTS = [
    Feature(
        "thoughts shown",
        _PLAIN,
        reply={
            "openai": openai_reply({"reasoning_content": "Let me see.", "content": "42"}),
            "anthropic": anthropic_reply(
                {"type": "thinking", "thinking": "Let me see.", "signature": sign("Let me see.")},
                {"type": "text", "text": "42"},
            ),
            "gemini": gemini_reply({"text": "Let me see.", "thought": True}, {"text": "42"}),
        },
        got={
            "openai": has(reasoning_content="Let me see.", content="42"),
            "anthropic": every(has(type="thinking", thinking="Let me see."), has(type="text", text="42")),
            "gemini": every(has(text="Let me see.", thought=True), has(text="42")),
        },
    ),
    Feature(
        "proof of thought, back with the tool's result",
        _ASK,
        {
            "anthropic": every(has(**_THINKING), has(**_USE)),
            "gemini": has(**_FUNCTION, thoughtSignature=_SEAL),
        },
        {
            "anthropic": anthropic_reply(_THINKING, _USE, stop="tool_use"),
            "gemini": gemini_reply({"text": "Hm.", "thought": True}, {**_FUNCTION, "thoughtSignature": _SEAL}),
        },
        again=AGAIN,
        gaps={"openai": _UNSIGNED},
    ),
    Feature(
        "hidden thoughts, back with the tool's result",
        _ASK,
        {"anthropic": every(has(type="redacted_thinking", data=_SECRET), has(**_USE))},
        {"anthropic": anthropic_reply({"type": "redacted_thinking", "data": _SECRET}, _USE, stop="tool_use")},
        again=AGAIN,
        gaps={"openai": _UNSIGNED, "gemini": Gap("Gemini's hidden thoughts are its signatures: see the row above.")},
    ),
    Feature(
        "proof on a text, back with the next question",
        _PLAIN,
        {"gemini": has(thoughtSignature=_SEAL)},
        {"gemini": gemini_reply({"text": "Hello there.", "thoughtSignature": _SEAL})},
        again=_ON,
        gaps={"openai": _UNSIGNED, "anthropic": Gap("Claude signs its thoughts, not its texts.")},
    ),
    Feature(
        "one provider's proof is not shown to another",
        _ASK,
        {
            "openai": every(has(name="get_weather"), says("18 degrees"), no(says(_SEAL)), no(says(_PROOF))),
            "anthropic": every(has(**_USE), says("18 degrees"), no(says(_SEAL)), no(has(type="thinking"))),
            "gemini": every(
                has(**_FUNCTION),
                says("18 degrees"),
                no(says("YW50aHJvcGlj")),
                has(thoughtSignature="skip_thought_signature_validator"),
            ),
        },
        {
            "openai": openai_reply(
                {"content": None, "reasoning_content": "Hm.", "tool_calls": [_CALL]}, finish="tool_calls"
            ),
            "anthropic": anthropic_reply(_THINKING, _USE, stop="tool_use"),
            "gemini": gemini_reply(
                {"text": "Hm.", "thought": True, "thoughtSignature": _SEAL}, {**_FUNCTION, "thoughtSignature": _SEAL}
            ),
        },
        again=AGAIN,
        moves=True,
    ),
]

ENDS = [
    Feature(
        "stop reason: natural end",
        _PLAIN,
        reply={
            "openai": openai_reply({"content": "The end."}),
            "anthropic": anthropic_reply({"type": "text", "text": "The end."}),
            "gemini": gemini_reply({"text": "The end."}),
        },
        got={
            "openai": every(says("The end."), at("choices.0.finish_reason", "stop")),
            "anthropic": every(says("The end."), at("stop_reason", "end_turn")),
            "gemini": every(says("The end."), at("candidates.0.finishReason", "STOP")),
        },
    ),
    Feature(
        "stop reason: content filter",
        _PLAIN,
        reply={
            "openai": openai_reply({"content": "I"}, finish="content_filter"),
            "gemini": gemini_reply({"text": "I"}, finish="SAFETY"),
        },
        got={
            "openai": at("choices.0.finish_reason", "content_filter"),
            "anthropic": at("stop_reason", "refusal"),
            "gemini": at("candidates.0.finishReason", "SAFETY"),
        },
        gaps={"anthropic": Gap("Anthropic's filter says `refusal`: see the next row.", ("content_filter",))},
    ),
    Feature(
        "refusal",
        _PLAIN,
        reply={
            "openai": openai_reply({"content": None, "refusal": "I will not."}),
            "anthropic": anthropic_reply(
                {"type": "text", "text": ""},
                stop="refusal",
                stop_details={"type": "refusal", "category": None, "explanation": "I will not."},
            ),
        },
        got={
            "openai": has(refusal="I will not."),
            "anthropic": every(says("I will not."), at("stop_reason", "refusal")),
            "gemini": every(says("I will not."), at("candidates.0.finishReason", "SAFETY")),
        },
        gaps={"gemini": Gap("Gemini's API ends such an answer with `SAFETY`: see the row above.")},
    ),
    Feature(
        "which stop sequence it was",
        {
            "openai": o(stop=["END"]),
            "anthropic": a(stop_sequences=["END"]),
            "gemini": g(generationConfig={"stopSequences": ["END"]}),
        },
        reply={"anthropic": anthropic_reply(stop="stop_sequence", stop_sequence="END")},
        got={
            "openai": says("END"),
            "anthropic": every(at("stop_reason", "stop_sequence"), at("stop_sequence", "END")),
            "gemini": says("END"),
        },
        gaps={
            "openai": Gap("Chat Completions does not tell which sequence it was."),
            "gemini": Gap("Gemini's API does not tell which sequence it was."),
            "tell:openai": Gap("Chat Completions has no field for it: `finish_reason` is `stop`.", ("stop_sequence",)),
            "tell:gemini": Gap("Gemini's answers have no field for it: `finishReason` is `STOP`.", ("stop_sequence",)),
        },
    ),
]


def _counts(prompt: int, output: int) -> dict[str, Probe]:
    """The tokens of an answer in each format."""
    kinds = ("", "cache_read_", "cache_creation_")

    def claude(answer: Json) -> bool:
        usage = answer["usage"]
        asked = sum(usage.get(f"{kind}input_tokens", 0) for kind in kinds)
        return (asked, usage["output_tokens"]) == (prompt, output)

    def gemini(answer: Json) -> bool:
        usage = answer["usageMetadata"]
        said = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
        return (usage["promptTokenCount"], said) == (prompt, output)

    return {
        "openai": every(at("usage.prompt_tokens", prompt), at("usage.completion_tokens", output)),
        "anthropic": claude,
        "gemini": gemini,
    }


_CACHED, _THOUGHT = _counts(111, 7), _counts(11, 57)

COUNTS = [
    Feature(
        "tokens",
        _PLAIN,
        reply={
            "openai": openai_reply(usage={"prompt_tokens": 23, "completion_tokens": 19, "total_tokens": 42}),
            "anthropic": anthropic_reply(usage={"input_tokens": 23, "output_tokens": 19}),
            "gemini": gemini_reply(usage={"promptTokenCount": 23, "candidatesTokenCount": 19, "totalTokenCount": 42}),
        },
        got=_counts(23, 19),
    ),
    Feature(
        "cached tokens",
        _PLAIN,
        reply={
            "openai": openai_reply(
                usage={"prompt_tokens": 111, "total_tokens": 118, "prompt_tokens_details": {"cached_tokens": 100}}
            ),
            "anthropic": anthropic_reply(usage={"cache_read_input_tokens": 100, "cache_creation_input_tokens": 0}),
            "gemini": gemini_reply(
                usage={"promptTokenCount": 111, "totalTokenCount": 118, "cachedContentTokenCount": 100}
            ),
        },
        got={
            "openai": every(_CACHED["openai"], at("usage.prompt_tokens_details.cached_tokens", 100)),
            "anthropic": every(_CACHED["anthropic"], at("usage.cache_read_input_tokens", 100)),
            "gemini": every(_CACHED["gemini"], at("usageMetadata.cachedContentTokenCount", 100)),
        },
    ),
    Feature(
        "tokens written to the prompt cache",
        _PLAIN,
        reply={
            "openai": openai_reply(
                usage={"prompt_tokens": 111, "total_tokens": 118, "prompt_tokens_details": {"cache_write_tokens": 100}}
            ),
            "anthropic": anthropic_reply(usage={"cache_read_input_tokens": 0, "cache_creation_input_tokens": 100}),
        },
        got={
            "openai": every(_CACHED["openai"], at("usage.prompt_tokens_details.cache_write_tokens", 100)),
            "anthropic": every(_CACHED["anthropic"], at("usage.cache_creation_input_tokens", 100)),
            "gemini": every(_CACHED["gemini"], says("100")),
        },
        gaps={
            "gemini": Gap("Gemini's API counts no writes to a cache.", ("cache_write_token_count",)),
            "tell:gemini": Gap(
                "Gemini's usage has no such count; they are part of the prompt's.", ("cache_write_token_count",)
            ),
        },
    ),
    Feature(
        "tokens of thought",
        _PLAIN,
        reply={
            "openai": openai_reply(
                usage={
                    "completion_tokens": 57,
                    "total_tokens": 68,
                    "completion_tokens_details": {"reasoning_tokens": 50},
                }
            ),
            "anthropic": anthropic_reply(usage={"output_tokens": 57, "output_tokens_details": {"thinking_tokens": 50}}),
            "gemini": gemini_reply(usage={"totalTokenCount": 68, "thoughtsTokenCount": 50}),
        },
        got={
            "openai": every(_THOUGHT["openai"], at("usage.completion_tokens_details.reasoning_tokens", 50)),
            "anthropic": every(_THOUGHT["anthropic"], at("usage.output_tokens_details.thinking_tokens", 50)),
            "gemini": every(_THOUGHT["gemini"], at("usageMetadata.thoughtsTokenCount", 50)),
        },
    ),
]

_SITE, _TITLE = "https://example.com/a", "A page"

TOLD = [
    Feature(
        "service tier that was used",
        _PLAIN,
        reply={
            "openai": openai_reply(service_tier="priority"),
            "anthropic": anthropic_reply(usage={"service_tier": "priority"}),
        },
        got={
            "openai": at("service_tier", "priority"),
            "anthropic": at("usage.service_tier", "priority"),
            "gemini": says("priority"),
        },
        gaps={
            "gemini": Gap("Gemini's answers do not tell it.", ("service_tier",)),
            "tell:gemini": Gap("Gemini's answers have no field for it.", ("service_tier",)),
        },
    ),
    Feature(
        "sources of an answer (citations)",
        _PLAIN,
        reply={
            "openai": openai_reply(
                {
                    "content": "Ça est.",
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {"start_index": 3, "end_index": 7, "url": _SITE, "title": _TITLE},
                        }
                    ],
                }
            ),
            "gemini": gemini_reply(
                {"text": "Ça est."},
                candidate={
                    "citationMetadata": {
                        "citationSources": [{"startIndex": 4, "endIndex": 8, "uri": _SITE, "title": _TITLE}]
                    }
                },
            ),
        },
        got={
            "openai": has(
                type="url_citation", url_citation={"start_index": 3, "end_index": 7, "url": _SITE, "title": _TITLE}
            ),
            "anthropic": has(url=_SITE),
            "gemini": has(startIndex=4, endIndex=8, uri=_SITE, title=_TITLE),
        },
        gaps={
            "anthropic": Gap("Claude cites what it was given to cite, when asked to: see the next row."),
            "tell:anthropic": Gap("Anthropic's citations of pages need a token of Anthropic's own search."),
        },
    ),
    Feature(
        "citations of documents",
        {
            "anthropic": a(
                u(
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "It is so."},
                        "citations": {"enabled": True},
                    },
                    {"type": "text", "text": "Is it?"},
                )
            )
        },
        {
            "openai": has(citations={"enabled": True}),
            "anthropic": has(citations={"enabled": True}),
            "gemini": has(citations={"enabled": True}),
        },
        gaps={
            "ask:openai": Gap("Chat Completions cites no documents.", ("citations",)),
            "ask:gemini": Gap("Gemini's API cites no documents that are sent along.", ("citations",)),
            "openai": Gap("Chat Completions cites no documents.", ("citations",)),
            "gemini": Gap("Gemini's API cites no documents that are sent along.", ("citations",)),
        },
    ),
    Feature(
        "a picture in the answer",
        _PLAIN,
        reply={
            "gemini": gemini_reply({"text": "Here:"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}})
        },
        got={
            "openai": says("iVBORw0KGgo="),
            "anthropic": says("iVBORw0KGgo="),
            "gemini": has(inlineData={"mimeType": "image/png", "data": "iVBORw0KGgo="}),
        },
        gaps={
            "openai": Gap("Chat Completions answers with no pictures."),
            "anthropic": Gap("Anthropic's API answers with no pictures."),
            "tell:anthropic": Gap(
                "Anthropic's answers hold no pictures: the caller gets an error that says so.", error="cannot hold"
            ),
        },
    ),
    Feature(
        "the model's own name",
        _PLAIN,
        reply={
            "openai": {**openai_reply(), "model": "own-name"},
            "anthropic": {**anthropic_reply(), "model": "own-name"},
            "gemini": {**gemini_reply(), "modelVersion": "own-name"},
        },
        got={
            "openai": at("model", "own-name"),
            "anthropic": at("model", "own-name"),
            "gemini": at("modelVersion", "own-name"),
        },
    ),
    Feature(
        "the answer's id",
        _PLAIN,
        reply={
            "openai": {**openai_reply(), "id": "own-7"},
            "anthropic": {**anthropic_reply(), "id": "own-7"},
            "gemini": {**gemini_reply(), "responseId": "own-7"},
        },
        got={"openai": at("id", "own-7"), "anthropic": at("id", "own-7"), "gemini": at("responseId", "own-7")},
    ),
]
