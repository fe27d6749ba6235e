"""Features that are fine points of the others: order, emptiness, several of a kind, odd numbers, rare ends."""

from __future__ import annotations

import json
from collections.abc import Callable

from providers.simulator.writing import sign
from tests.fidelity import native, responses
from tests.fidelity.answering import AGAIN
from tests.fidelity.asking import SCHEMA, a, g, gc, o
from tests.fidelity.cells import Feature, Gap, Probe, at, every, has, no, says
from tests.fidelity.responses import r
from tests.fidelity.talking import PDF, PNG, URL, gu, t, tools, u
from tests.fidelity.wire import ID, MODEL, Json, anthropic_reply, gemini_reply, openai_reply

_ONE, _TWO = tools(), tools(several=True)
_PLAIN = {"openai": o(), "anthropic": a(), "gemini": g(), "responses": r()}
_CITY = '{"city":"Paris"}'
_EPHEMERAL: Json = {"cache_control": {"type": "ephemeral"}}
_NO_ROLE = Gap("Gemini's API has one place for instructions, before everything.")


def _said(role: str, text: str) -> Json:
    return {"role": role, "content": text}


def _data(data: str) -> str:
    return f"data:image/png;base64,{data}"


def _call(number: int, name: str, arguments: str) -> dict[str, Json]:
    """One call in each format."""
    call_id = f"call_{number}"
    return {
        "openai": {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}},
        "anthropic": {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)},
        "gemini": {"functionCall": {"id": call_id, "name": name, "args": json.loads(arguments)}},
        "responses": {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments},
    }


_PARIS, _X = _call(1, "get_weather", _CITY), _call(2, "search", '{"q":"x"}')


def _kinds(*wanted: str) -> Callable[[list[Json]], bool]:
    """Parts of these kinds, in this order."""

    def probe(parts: list[Json]) -> bool:
        return len(parts) == len(wanted) and all(
            kind == part.get("type") or kind in part for kind, part in zip(wanted, parts, strict=True)
        )

    return probe


_AMID = (_said("user", "One."), _said("system", "Rhyme."), _said("assistant", "Two."), _said("user", "3"))
_BEFORE = (_said("user", "One."), _said("assistant", "Two."), _said("system", "Rhyme."), _said("user", "3"))
_A_HINT = "A key changes what an answer costs and never what it says: it is left out, and not refused."
CONVERSING = [
    Feature(
        "instructions amid the conversation",
        {
            "openai": o(*_AMID),
            "anthropic": a(*_AMID),
            "responses": r(*_AMID),
        },
        {
            "openai": every(at("messages.1.role", "system"), at("messages.2.role", "assistant"), says("Rhyme.")),
            "anthropic": every(at("messages.1.role", "system"), at("messages.2.role", "assistant"), says("Rhyme.")),
            "gemini": lambda body: says("Rhyme.")(body["systemInstruction"]),
        },
        gaps={"ask:gemini": _NO_ROLE},
        notes={"gemini": "keeps its authority, moves before everything: the one place there is"},
        loose=True,
    ),
    Feature(
        "instructions before the last question",
        {
            "openai": o(*_BEFORE),
            "responses": r(*_BEFORE),
        },
        {
            "openai": every(at("messages.2.role", "system"), at("messages.3.role", "user"), says("Rhyme.")),
            "anthropic": every(at("messages.2.role", "user"), at("messages.3.role", "system"), says("Rhyme.")),
            "gemini": lambda body: says("Rhyme.")(body["systemInstruction"]),
        },
        gaps={
            "ask:gemini": _NO_ROLE,
            "ask:anthropic": Gap("Anthropic's API takes later instructions behind a user's message only."),
        },
        notes={
            "gemini": "keeps its authority, moves before everything: the one place there is",
            "anthropic": "stands behind the question: the model speaks after both",
        },
        loose=True,
    ),
    Feature(
        "instructions and nothing else",
        {"openai": o(_said("system", "Greet me.")), "responses": r(_said("system", "Greet me."))},
        {
            "openai": every(at("messages.0.role", "system"), says("Greet me.")),
            "anthropic": every(at("messages.0.role", "user"), says("Greet me.")),
            "gemini": every(at("contents.0.role", "user"), says("Greet me.")),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's API wants a message of the user's."),
            "ask:gemini": Gap("Gemini's API wants a turn of the user's."),
        },
        notes={"anthropic": "as the user's message, which there must be", "gemini": "as the user's turn"},
    ),
    Feature(
        "a refusal said before",
        {
            "openai": o(
                _said("user", "One."),
                {"role": "assistant", "content": None, "refusal": "I will not."},
                _said("user", "Please."),
            ),
            "responses": r(
                _said("user", "One."),
                {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]},
                _said("user", "Please."),
            ),
        },
        {
            "openai": lambda body: "refusal" in json.dumps(body["messages"][1]) and says("I will not.")(body),
            "anthropic": every(at("messages.1.role", "assistant"), says("I will not.")),
            "gemini": every(at("contents.1.role", "model"), says("I will not.")),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's API has no words of refusal apart from text.", ("refusal_text",)),
            "ask:gemini": Gap("Gemini's API has no words of refusal apart from text.", ("refusal",)),
        },
        notes={name: "as text, which is what was said" for name in ("anthropic", "gemini")},
    ),
    Feature(
        "pictures between texts",
        {
            "openai": o(u(t("A"), {"type": "image_url", "image_url": {"url": _data(PNG)}}, t("B"))),
            "anthropic": a(
                u(
                    t("A"),
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    t("B"),
                )
            ),
            "gemini": g(gu({"text": "A"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "B"})),
            "responses": r(
                u(
                    {"type": "input_text", "text": "A"},
                    {"type": "input_image", "image_url": _data(PNG)},
                    {"type": "input_text", "text": "B"},
                )
            ),
        },
        {
            "openai": lambda body: _kinds("text", "image_url", "text")(body["messages"][0]["content"]),
            "anthropic": lambda body: _kinds("text", "image", "text")(body["messages"][0]["content"]),
            "gemini": lambda body: _kinds("text", "inlineData", "text")(body["contents"][0]["parts"]),
        },
    ),
    Feature(
        "image detail: high",
        {
            "openai": o(u(t(), {"type": "image_url", "image_url": {"url": URL, "detail": "high"}})),
            "gemini": g(
                gu({"text": "Look."}, {"fileData": {"fileUri": URL, "mimeType": "image/png"}}),
                generationConfig={"mediaResolution": "MEDIA_RESOLUTION_HIGH"},
            ),
            "responses": r(
                u(
                    {"type": "input_text", "text": "Look."},
                    {"type": "input_image", "image_url": URL, "detail": "high"},
                )
            ),
        },
        {
            "openai": has(image_url={"url": URL, "detail": "high"}),
            "anthropic": has(type="image", source={"type": "url", "url": URL}),
            "gemini": at("generationConfig.mediaResolution", "MEDIA_RESOLUTION_HIGH"),
        },
        gaps={"ask:anthropic": Gap("Claude looks at every picture in full; there is no setting.")},
        notes={"anthropic": "which is how Claude always looks"},
    ),
    Feature(
        "name of a file",
        {
            "openai": o(
                u(
                    t(),
                    {"type": "file", "file": {"filename": "r.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                )
            ),
            "anthropic": a(
                u(
                    t(),
                    {
                        "type": "document",
                        "title": "r.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    },
                )
            ),
            "gemini": g(
                gu(
                    {"text": "Look."},
                    {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "r.pdf"}},
                )
            ),
            "responses": r(
                u(
                    {"type": "input_text", "text": "Look."},
                    {"type": "input_file", "filename": "r.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                )
            ),
        },
        {
            "openai": has(file={"filename": "r.pdf"}),
            "anthropic": has(type="document", title="r.pdf"),
            "gemini": has(displayName="r.pdf"),
        },
    ),
    Feature(
        "prompt-cache markers on instructions",
        {
            "openai": o({"role": "system", "content": [{**t("Be terse."), **_EPHEMERAL}]}, _said("user", "Hi")),
            "anthropic": a(system=[{**t("Be terse."), **_EPHEMERAL}]),
            "responses": r(
                {
                    "role": "system",
                    "content": [
                        {
                            "type": "input_text",
                            "text": "Be terse.",
                            "prompt_cache_breakpoint": {"mode": "explicit"},
                        }
                    ],
                },
                _said("user", "Hi"),
            ),
        },
        {
            "openai": has(**_EPHEMERAL),
            "anthropic": lambda body: has(type="text", text="Be terse.", **_EPHEMERAL)(body["system"]),
            "gemini": has(**_EPHEMERAL),
        },
        gaps={
            "ask:gemini": Gap("Gemini's prompts have no markers; it caches by itself.", ("cache_control",)),
            "hint:gemini": Gap("Gemini's prompts have no markers: as above.", ("cache_control",)),
            "hint:openai": Gap("OpenAI caches by itself: as above.", but=("orchestrate",)),
        },
        loose=True,
    ),
    Feature(
        "prompt-cache markers on tools",
        {
            "openai": o(tools=[{**_ONE["openai"]["tools"][0], **_EPHEMERAL}]),
            "anthropic": a(tools=[{**_ONE["anthropic"]["tools"][0], **_EPHEMERAL}]),
        },
        {
            "openai": has(**_EPHEMERAL),
            "anthropic": has(name="get_weather", **_EPHEMERAL),
            "gemini": has(**_EPHEMERAL),
        },
        gaps={
            "ask:gemini": Gap("Gemini's prompts have no markers; it caches by itself.", ("cache_control",)),
            "ask:responses": Gap("The Responses API has markers on texts, pictures and files, and none on tools."),
            "hint:gemini": Gap("Gemini's prompts have no markers: as above.", ("cache_control",)),
            "hint:openai": Gap("OpenAI caches by itself: as above.", but=("orchestrate",)),
        },
        loose=True,
    ),
    Feature(
        "prompt-cache key",
        {"openai": o(prompt_cache_key="k-7"), "responses": r(prompt_cache_key="k-7")},
        {"openai": at("prompt_cache_key", "k-7"), "anthropic": says("k-7"), "gemini": says("k-7")},
        gaps={
            "ask:anthropic": Gap("Anthropic's caches have no keys.", ("prompt_cache_key",)),
            "ask:gemini": Gap("Gemini's own caches have no keys.", ("prompt_cache_key",)),
            "hint:anthropic": Gap(f"Anthropic's caches have no keys. {_A_HINT}", ("prompt_cache_key",)),
            "hint:gemini": Gap(f"Gemini's own caches have no keys. {_A_HINT}", ("prompt_cache_key",)),
        },
    ),
]


def _results(*answered: tuple[int, str]) -> dict[str, list[Json]]:
    """Results of calls, in each format: messages, blocks, parts, items."""
    names = {1: "get_weather", 2: "search"}
    return {
        "openai": [{"role": "tool", "tool_call_id": f"call_{at}", "content": said} for at, said in answered],
        "anthropic": [{"type": "tool_result", "tool_use_id": f"call_{at}", "content": said} for at, said in answered],
        "gemini": [
            {"functionResponse": {"id": f"call_{at}", "name": names[at], "response": {"output": said}}}
            for at, said in answered
        ],
        "responses": [
            {"type": "function_call_output", "call_id": f"call_{at}", "output": said} for at, said in answered
        ],
    }


def _history(text: str, calls: list[dict[str, Json]], results: dict[str, list[Json]]) -> dict[str, Json]:
    """A question, calls with words before them, and their results."""
    said = {"content": text or None}
    words = [t(text)] if text else []
    return {
        "openai": o(
            _said("user", "Weather?"),
            {"role": "assistant", **said, "tool_calls": [call["openai"] for call in calls]},
            *results["openai"],
            **_TWO["openai"],
        ),
        "anthropic": a(
            u(t("Weather?")),
            {"role": "assistant", "content": [*words, *(call["anthropic"] for call in calls)]},
            u(*results["anthropic"]),
            **_TWO["anthropic"],
        ),
        "gemini": g(
            gu({"text": "Weather?"}),
            {"role": "model", "parts": [*([{"text": text}] if text else []), *(call["gemini"] for call in calls)]},
            gu(*results["gemini"]),
            **_TWO["gemini"],
        ),
        "responses": r(
            _said("user", "Weather?"),
            *([{"type": "message", "role": "assistant", "content": text}] if text else []),
            *(call["responses"] for call in calls),
            *results["responses"],
            tools=responses.tools("get_weather", "search", "clock"),
        ),
    }


def _calling(call: dict[str, Json]) -> dict[str, Json]:
    """Answers that are this call."""
    return {
        "openai": openai_reply({"content": None, "tool_calls": [call["openai"]]}, finish="tool_calls"),
        "anthropic": anthropic_reply(call["anthropic"], stop="tool_use"),
        "gemini": gemini_reply(call["gemini"]),
    }


CALLING = [
    Feature(
        "words before a call",
        _history("Let me look.", [_PARIS], _results((1, "18 degrees"))),
        {
            "openai": every(
                at("messages.1.content", "Let me look."), at("messages.1.tool_calls.0.id", "call_1"), says("18 degrees")
            ),
            "anthropic": every(
                lambda body: _kinds("text", "tool_use")(body["messages"][1]["content"]), says("Let me look.")
            ),
            "gemini": every(
                lambda body: _kinds("text", "functionCall")(body["contents"][1]["parts"]), says("Let me look.")
            ),
        },
    ),
    Feature(
        "results of two calls",
        _history("", [_PARIS, _X], _results((1, "18 degrees"), (2, "nothing"))),
        {
            "openai": lambda body: (
                [(m.get("tool_call_id"), m["content"]) for m in body["messages"][2:]]
                == [("call_1", "18 degrees"), ("call_2", "nothing")]
            ),
            "anthropic": every(
                lambda body: [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["call_1", "call_2"],
                says("nothing"),
            ),
            "gemini": lambda body: (
                [part["functionResponse"]["id"] for part in body["contents"][2]["parts"]] == ["call_1", "call_2"]
            ),
        },
    ),
    Feature(
        "an empty result",
        _history("", [_PARIS], _results((1, ""))),
        {
            "openai": every(at("messages.2.role", "tool"), at("messages.2.content", "")),
            "anthropic": has(type="tool_result", tool_use_id="call_1"),
            "gemini": has(functionResponse={"id": "call_1", "name": "get_weather", "response": {"output": ""}}),
        },
    ),
    Feature(
        "a tool without parameters",
        {
            "openai": o(tools=[{"type": "function", "function": {"name": "now"}}]),
            "anthropic": a(tools=[{"name": "now", "input_schema": {"type": "object"}}]),
            "gemini": g(tools=[{"functionDeclarations": [{"name": "now"}]}]),
            "responses": r(tools=[{"type": "function", "name": "now", "parameters": None, "strict": None}]),
        },
        {
            "openai": has(type="function", function={"name": "now"}),
            "anthropic": has(name="now", input_schema={"type": "object"}),
            "gemini": has(name="now"),
        },
    ),
    Feature(
        "a tool that takes free text (custom)",
        {
            "openai": o(tools=[{"type": "custom", "custom": {"name": "sql", "description": "Runs SQL."}}]),
            "responses": r(tools=[{"type": "custom", "name": "sql", "description": "Runs SQL."}]),
        },
        {"openai": says("Runs SQL."), "anthropic": says("Runs SQL."), "gemini": says("Runs SQL.")},
        gaps={
            "ask:anthropic": Gap("Anthropic's tools take JSON objects.", ("custom",)),
            "ask:gemini": Gap("Gemini's functions take JSON objects.", ("custom",)),
            "anthropic": Gap("Anthropic's tools take JSON objects.", ("custom",), but=("responses",)),
            "gemini": Gap("Gemini's functions take JSON objects.", ("custom",), but=("responses",)),
        },
        notes=dict.fromkeys(("anthropic", "gemini"), "a function of one text, `input`, stands for it"),
    ),
    Feature(
        "a call without arguments",
        _PLAIN,
        reply=_calling(_call(1, "now", "{}")),
        got={
            "openai": every(
                has(function={"name": "now", "arguments": "{}"}), at("choices.0.finish_reason", "tool_calls")
            ),
            "anthropic": has(type="tool_use", name="now", input={}),
            "gemini": lambda answer: not answer["candidates"][0]["content"]["parts"][0]["functionCall"].get("args"),
            "responses": responses.called(0, "call_1", "now", {}),
            "orchestrate": native.called(0, "call_1", "now", {}),
        },
    ),
    Feature(
        "large numbers in a call",
        _PLAIN,
        reply=_calling(_call(1, "pay", '{"to":12345678901234567890123}')),
        got=dict.fromkeys(
            ("openai", "anthropic", "gemini", "responses", "orchestrate"), says("12345678901234567890123")
        ),
    ),
]

_SIGNED = [{"type": "thinking", "thinking": text, "signature": sign(text)} for text in ("Hm.", "So.")]
_SEALS = ("Z2VtaW5pLW9uZQ==", "Z2VtaW5pLXR3bw==")
REASONING = [
    Feature(
        "reasoning effort: minimal",
        {
            "openai": o(reasoning_effort="minimal"),
            "gemini": gc(thinkingConfig={"thinkingLevel": "MINIMAL"}),
            "responses": r(reasoning={"effort": "minimal"}),
        },
        {
            "openai": at("reasoning_effort", "minimal"),
            "anthropic": says("minimal"),
            "gemini": at("generationConfig.thinkingConfig.thinkingLevel", "MINIMAL"),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's scale begins at `low`."),
            "anthropic": Gap("Anthropic's scale begins at `low`; more thinking would be another request."),
        },
    ),
    Feature(
        "reasoning effort: xhigh",
        {
            "openai": o(reasoning_effort="xhigh"),
            "anthropic": a(thinking={"type": "adaptive"}, output_config={"effort": "xhigh"}),
            "gemini": gc(thinkingConfig={"thinkingLevel": "XHIGH"}),
            "responses": r(reasoning={"effort": "xhigh"}),
        },
        {
            "openai": at("reasoning_effort", "xhigh"),
            "anthropic": at("output_config.effort", "xhigh"),
            "gemini": at("generationConfig.thinkingConfig.thinkingLevel", "XHIGH"),
        },
    ),
    Feature(
        "reasoning effort: max",
        {
            "openai": o(reasoning_effort="max"),
            "anthropic": a(thinking={"type": "adaptive"}, output_config={"effort": "max"}),
            "responses": r(reasoning={"effort": "max"}),
        },
        {
            "openai": at("reasoning_effort", "max"),
            "anthropic": at("output_config.effort", "max"),
            "gemini": says("max"),
        },
        gaps={
            "ask:gemini": Gap("Gemini's scale ends at `XHIGH`."),
            "gemini": Gap("Gemini's scale ends at `XHIGH`; less thinking would be another request."),
        },
    ),
    Feature(
        "reasoning without a measure",
        {
            "anthropic": a(thinking={"type": "adaptive"}),
            "gemini": gc(thinkingConfig={"thinkingBudget": -1}),
        },
        {
            "openai": no(says("reasoning_effort")),
            "anthropic": at("thinking.type", "adaptive"),
            "gemini": at("generationConfig.thinkingConfig.thinkingBudget", -1),
        },
        gaps={
            "ask:openai": Gap("Chat Completions has words for a measure, and none for leaving it open but silence."),
            "ask:responses": Gap(
                "The Responses API has words for a measure, and none for leaving it open but silence."
            ),
        },
        notes={"openai": "by saying nothing: the model's own default"},
        absence=True,
    ),
    Feature(
        "two proven thoughts, back with the tool's result",
        {**{name: {**_PLAIN[name], **_ONE[name]} for name in _ONE}, "responses": r(tools=responses.tools())},
        {
            "anthropic": lambda body: (
                [block for block in body["messages"][1]["content"] if block["type"] == "thinking"] == _SIGNED
                and body["messages"][1]["content"][-1]["type"] == "tool_use"
                and says("Let me look.")(body)
            ),
            "gemini": lambda body: (
                [part.get("thoughtSignature") for part in body["contents"][1]["parts"]] == [*_SEALS]
                and body["contents"][1]["parts"][0]["text"] == "Hm."
            ),
        },
        {
            "anthropic": anthropic_reply(
                _SIGNED[0], t("Let me look."), _SIGNED[1], _PARIS["anthropic"], stop="tool_use"
            ),
            "gemini": gemini_reply(
                {"text": "Hm.", "thought": True, "thoughtSignature": _SEALS[0]},
                {**_PARIS["gemini"], "thoughtSignature": _SEALS[1]},
            ),
        },
        again={**AGAIN, "responses": responses.again, "orchestrate": native.again},
        gaps={"openai": Gap("Chat Completions gives no proofs of thought.")},
    ),
]


def _everybody(openai: Probe, anthropic: Probe, gemini: Probe, others: Probe, native_one: Probe) -> dict[str, Probe]:
    return {
        "openai": openai,
        "anthropic": anthropic,
        "gemini": gemini,
        "responses": others,
        "orchestrate": native_one,
    }


def _incomplete(reason: str) -> Probe:
    return every(at("status", "incomplete"), at("incomplete_details.reason", reason))


def _ended(reason: str, claude: str, gemini: str) -> dict[str, Probe]:
    """An answer that ended so, in the gateway's words and in those of two formats."""
    return _everybody(
        at("choices.0.finish_reason", reason),
        at("stop_reason", claude),
        at("candidates.0.finishReason", gemini),
        _incomplete("max_output_tokens" if reason == "length" else reason),
        native.ended(reason),
    )


def _nobody(*providers: str) -> dict[str, Gap]:
    return {name: Gap("Its answers never end so.") for name in providers}


ENDING = [
    Feature(
        "stop reason: paused",
        _PLAIN,
        reply={"anthropic": anthropic_reply(stop="pause_turn")},
        got=_ended("pause_turn", "pause_turn", "pause_turn"),
        gaps=_nobody("openai", "gemini"),
        notes={"anthropic": "under its own name, which no other format has"},
    ),
    Feature(
        "stop reason: the context window is full",
        _PLAIN,
        reply={"anthropic": anthropic_reply(stop="model_context_window_exceeded")},
        got=_ended(*["model_context_window_exceeded"] * 3),
        gaps=_nobody("openai", "gemini"),
        notes={"anthropic": "under its own name, which no other format has"},
    ),
    Feature(
        "stop reason: recitation",
        _PLAIN,
        reply={"gemini": gemini_reply({"text": "Call me"}, finish="RECITATION")},
        got=_ended("content_filter", "refusal", "RECITATION"),
        gaps=_nobody("openai", "anthropic"),
    ),
    Feature(
        "stop reason: a call that came out wrong",
        _PLAIN,
        reply={"gemini": gemini_reply({"text": "f("}, finish="MALFORMED_FUNCTION_CALL")},
        got=_ended("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        gaps=_nobody("openai", "anthropic"),
        notes={"gemini": "under its own name, which no other format has"},
    ),
    Feature(
        "a prompt that was blocked",
        _PLAIN,
        reply={
            "gemini": {
                "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
                "usageMetadata": {"promptTokenCount": 11, "totalTokenCount": 11},
                "modelVersion": MODEL,
                "responseId": ID,
            }
        },
        got={
            **dict.fromkeys(
                ("openai", "anthropic", "responses", "orchestrate"),
                every(at("error.code", "content_policy_violation"), says("PROHIBITED_CONTENT")),
            ),
            "gemini": at("promptFeedback.blockReason", "PROHIBITED_CONTENT"),
        },
        gaps={
            "openai": Gap("OpenAI's API answers such a prompt with an error, not with an answer to be told."),
            "anthropic": Gap("Claude refuses in an answer: see `refusal`."),
        },
        notes={"gemini": "as an error 400 that gives the reason"},
        blocked=True,
    ),
    Feature(
        "an empty answer",
        _PLAIN,
        reply={
            "openai": openai_reply({"content": ""}, usage={"completion_tokens": 0, "total_tokens": 11}),
            "anthropic": {**anthropic_reply(usage={"output_tokens": 0}), "content": []},
            "gemini": gemini_reply({"text": ""}, usage={"candidatesTokenCount": 0, "totalTokenCount": 11}),
        },
        got=_everybody(
            every(
                lambda answer: not answer["choices"][0]["message"]["content"],
                at("choices.0.finish_reason", "stop"),
                at("usage.completion_tokens", 0),
            ),
            every(at("content", []), at("stop_reason", "end_turn"), at("usage.output_tokens", 0)),
            every(
                lambda answer: not says("Hello")(answer),
                at("candidates.0.finishReason", "STOP"),
                lambda answer: not answer["usageMetadata"].get("candidatesTokenCount"),
            ),
            every(at("status", "completed"), at("usage.output_tokens", 0)),
            every(native.response(""), native.ended("stop"), at("results.0.usage.output_tokens", 0)),
        ),
    ),
    Feature(
        "ratings of harm",
        _PLAIN,
        reply={
            "gemini": gemini_reply(
                candidate={"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]}
            )
        },
        got=dict.fromkeys(("openai", "anthropic", "gemini", "responses", "orchestrate"), says("NEGLIGIBLE")),
        gaps={
            "openai": Gap("OpenAI's answers rate no harm."),
            "anthropic": Gap("Anthropic's answers rate no harm."),
            "tell:openai": Gap("Chat Completions has no field for it.", ("safety_ratings",)),
            "tell:anthropic": Gap("Anthropic's answers have no field for it.", ("safety_ratings",)),
            "tell:responses": Gap("Responses have no field for it.", ("safety_ratings",)),
            "tell:orchestrate": Gap("The native answer has no field for it.", ("safety_ratings",)),
        },
    ),
]

SHAPING = [
    Feature(
        "name and purpose of a schema",
        {
            "openai": o(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "person", "description": "Someone.", "schema": SCHEMA},
                }
            ),
            "responses": r(
                text={"format": {"type": "json_schema", "name": "person", "description": "Someone.", "schema": SCHEMA}}
            ),
        },
        {
            "openai": has(json_schema={"name": "person", "description": "Someone."}),
            "anthropic": has(schema={**SCHEMA, "description": "Someone."}),
            "gemini": has(responseJsonSchema={**SCHEMA, "title": "person", "description": "Someone."}),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's API has no names for schemas but in them."),
            "ask:gemini": Gap("Gemini's API has no names for schemas but in them."),
        },
        notes={"anthropic": "the purpose, in the schema; the name is a label without effect"},
    ),
    Feature(
        "service tier: priority",
        {
            "openai": o(service_tier="priority"),
            "gemini": g(serviceTier="priority"),
            "responses": r(service_tier="priority"),
        },
        {
            "openai": at("service_tier", "priority"),
            "anthropic": says("priority"),
            "gemini": at("serviceTier", "priority"),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic sells no such tier by the request."),
            "anthropic": Gap("Anthropic sells no such tier by the request."),
        },
    ),
    Feature(
        "an answer as sound",
        {
            "openai": o(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
            "gemini": gc(responseModalities=["AUDIO"]),
        },
        {"openai": says("alloy"), "anthropic": says("audio"), "gemini": says("AUDIO")},
        gaps={
            "ask:anthropic": Gap("Anthropic's API answers with no sound.", ("modalities", "audio")),
            "ask:responses": Gap("The Responses API answers with no sound.", ("modalities",)),
            "anthropic": Gap("Anthropic's API answers with no sound.", ("modalities", "audio")),
        },
    ),
]
