"""Features that are what was said so far: roles, media, tools and their results, markers."""

from __future__ import annotations

import json

from tests.fidelity.asking import a, g, o
from tests.fidelity.cells import Feature, Gap, at, every, has, no, says
from tests.fidelity.wire import Json, anthropic_reply, gemini_reply, openai_reply

URL = "https://example.com/cat.png"
PDF_URL = "https://example.com/report.pdf"
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjcK"
WAV = "UklGRiQAAABXQVZF"
NOTE, NOTE_TEXT = "cGxhaW4gd29yZHM=", "plain words"


def u(*content: Json) -> Json:
    """A user's message in OpenAI's and Anthropic's format."""
    return {"role": "user", "content": list(content)}


def t(text: str = "Look.") -> Json:
    """A text part, the same in both."""
    return {"type": "text", "text": text}


def gu(*parts: Json) -> Json:
    """A user's turn in Gemini's format."""
    return {"role": "user", "parts": list(parts)}


TURNS = [
    Feature(
        "plain text",
        {
            "openai": o({"role": "user", "content": "Salve."}),
            "anthropic": a(u(t("Salve."))),
            "gemini": g(gu({"text": "Salve."})),
        },
        {"openai": says("Salve."), "anthropic": says("Salve."), "gemini": has(role="user", parts=[{"text": "Salve."}])},
        {
            "openai": openai_reply({"content": "Ave Ünïcode ✓"}),
            "anthropic": anthropic_reply({"type": "text", "text": "Ave Ünïcode ✓"}),
            "gemini": gemini_reply({"text": "Ave Ünïcode ✓"}),
        },
        {
            "openai": at("choices.0.message.content", "Ave Ünïcode ✓"),
            "anthropic": at("content.0.text", "Ave Ünïcode ✓"),
            "gemini": at("candidates.0.content.parts.0.text", "Ave Ünïcode ✓"),
        },
    ),
    Feature(
        "system message",
        {
            "openai": o({"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}),
            "anthropic": a(system="Be terse."),
            "gemini": g(systemInstruction={"parts": [{"text": "Be terse."}]}),
        },
        {
            "openai": lambda body: body["messages"][0]["role"] == "system" and says("Be terse.")(body["messages"][0]),
            "anthropic": lambda body: says("Be terse.")(body["system"]) and not says("Be terse.")(body["messages"]),
            "gemini": lambda body: (
                says("Be terse.")(body["systemInstruction"]) and not says("Be terse.")(body["contents"])
            ),
        },
    ),
    Feature(
        "developer message",
        {"openai": o({"role": "developer", "content": "Be terse."}, {"role": "user", "content": "Hi"})},
        {
            "openai": every(at("messages.0.role", "developer", "system"), at("messages.0.content", "Be terse.")),
            "anthropic": lambda body: says("Be terse.")(body["system"]),
            "gemini": lambda body: says("Be terse.")(body["systemInstruction"]),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's API has one kind of instructions.", ("developer",)),
            "ask:gemini": Gap("Gemini's API has one kind of instructions.", ("developer",)),
        },
        notes={"openai": "as `system`, which its models take for the same"},
    ),
    Feature(
        "instructions later in the conversation",
        {
            "openai": o(
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Go on."},
                {"role": "system", "content": "Rhyme now."},
            ),
            "anthropic": a(
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Go on."},
                {"role": "system", "content": "Rhyme now."},
            ),
        },
        {
            "openai": lambda body: body["messages"][3]["role"] == "system" and says("Rhyme now.")(body["messages"][3]),
            "anthropic": lambda body: (
                body["messages"][3]["role"] == "system" and says("Rhyme now.")(body["messages"][3])
            ),
            "gemini": lambda body: says("Rhyme now.")(body["systemInstruction"]),
        },
        gaps={"ask:gemini": Gap("Gemini's API has one place for instructions, before everything.")},
        notes={"gemini": "keeps its authority, moves before everything: the one place there is"},
        loose=True,
    ),
    Feature(
        "several turns",
        {
            "openai": o(
                {"role": "user", "content": "One."},
                {"role": "assistant", "content": "Two."},
                {"role": "user", "content": "Three."},
            ),
            "anthropic": a(
                {"role": "user", "content": "One."},
                {"role": "assistant", "content": "Two."},
                {"role": "user", "content": "Three."},
            ),
            "gemini": g(gu({"text": "One."}), {"role": "model", "parts": [{"text": "Two."}]}, gu({"text": "Three."})),
        },
        {
            "openai": lambda body: [m["role"] for m in body["messages"]] == ["user", "assistant", "user"],
            "anthropic": lambda body: [m["role"] for m in body["messages"]] == ["user", "assistant", "user"],
            "gemini": lambda body: [c["role"] for c in body["contents"]] == ["user", "model", "user"],
        },
    ),
    Feature(
        "names of speakers",
        {"openai": o({"role": "user", "content": "Hi", "name": "ann"})},
        {"openai": at("messages.0.name", "ann"), "anthropic": says("ann"), "gemini": says("ann")},
        gaps={
            "ask:anthropic": Gap("Anthropic's messages have no names."),
            "ask:gemini": Gap("Gemini's contents have no names."),
            "anthropic": Gap("Anthropic's messages have no names."),
            "gemini": Gap("Gemini's contents have no names."),
        },
    ),
    Feature(
        "prompt-cache markers",
        {
            "openai": o(u({**t(), "cache_control": {"type": "ephemeral"}})),
            "anthropic": a(u({**t(), "cache_control": {"type": "ephemeral"}})),
        },
        {
            "openai": has(cache_control={"type": "ephemeral"}),
            "anthropic": has(type="text", cache_control={"type": "ephemeral"}),
            "gemini": has(cache_control={"type": "ephemeral"}),
        },
        gaps={
            "ask:gemini": Gap("Gemini's prompts have no markers; it caches by itself.", ("cache_control",)),
            "hint:gemini": Gap(
                "Gemini's prompts have no markers; it caches by itself. A marker changes what an answer costs and "
                "never what it says: it is left out, and not refused.",
                ("cache_control",),
            ),
            "hint:openai": Gap(
                "OpenAI caches by itself; only its newest models take markers, and all others refuse them. A marker "
                "changes what an answer costs and never what it says: it is left out, and not refused.",
                but=("orchestrate",),
            ),
        },
        loose=True,
    ),
]

MEDIA = [
    Feature(
        "image by URL",
        {
            "openai": o(u(t(), {"type": "image_url", "image_url": {"url": URL}})),
            "anthropic": a(u(t(), {"type": "image", "source": {"type": "url", "url": URL}})),
            "gemini": g(gu({"text": "Look."}, {"fileData": {"fileUri": URL, "mimeType": "image/png"}})),
        },
        {
            "openai": has(type="image_url", image_url={"url": URL}),
            "anthropic": has(type="image", source={"type": "url", "url": URL}),
            "gemini": has(fileData={"fileUri": URL, "mimeType": "image/png"}),
        },
    ),
    Feature(
        "image by data",
        {
            "openai": o(u(t(), {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})),
            "anthropic": a(
                u(t(), {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
            ),
            "gemini": g(gu({"text": "Look."}, {"inlineData": {"mimeType": "image/png", "data": PNG}})),
        },
        {
            "openai": has(image_url={"url": f"data:image/png;base64,{PNG}"}),
            "anthropic": has(source={"type": "base64", "media_type": "image/png", "data": PNG}),
            "gemini": has(inlineData={"mimeType": "image/png", "data": PNG}),
        },
    ),
    Feature(
        "image detail: low",
        {
            "openai": o(u(t(), {"type": "image_url", "image_url": {"url": URL, "detail": "low"}})),
            "gemini": g(
                gu({"text": "Look."}, {"fileData": {"fileUri": URL, "mimeType": "image/png"}}),
                generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW"},
            ),
        },
        {
            "openai": has(image_url={"url": URL, "detail": "low"}),
            "anthropic": says("low"),
            "gemini": at("generationConfig.mediaResolution", "MEDIA_RESOLUTION_LOW"),
        },
        gaps={
            "ask:anthropic": Gap("Claude looks at every picture in full; there is no setting."),
            "anthropic": Gap("Claude looks at every picture in full; there is no setting."),
        },
    ),
    Feature(
        "sound",
        {
            "openai": o(u(t(), {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}})),
            "gemini": g(gu({"text": "Look."}, {"inlineData": {"mimeType": "audio/wav", "data": WAV}})),
        },
        {
            "openai": has(input_audio={"data": WAV, "format": "wav"}),
            "anthropic": says(WAV),
            "gemini": has(inlineData={"mimeType": "audio/wav", "data": WAV}),
        },
        gaps={
            "ask:anthropic": Gap("Anthropic's API takes no sound."),
            "anthropic": Gap("Anthropic's API takes no sound."),
        },
    ),
    Feature(
        "PDF by data",
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
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
                )
            ),
            "gemini": g(gu({"text": "Look."}, {"inlineData": {"mimeType": "application/pdf", "data": PDF}})),
        },
        {
            "openai": has(type="file", file={"file_data": f"data:application/pdf;base64,{PDF}"}),
            "anthropic": has(type="document", source={"media_type": "application/pdf", "data": PDF}),
            "gemini": has(inlineData={"mimeType": "application/pdf", "data": PDF}),
        },
    ),
    Feature(
        "PDF by URL",
        {
            "anthropic": a(u(t(), {"type": "document", "source": {"type": "url", "url": PDF_URL}})),
            "gemini": g(gu({"text": "Look."}, {"fileData": {"fileUri": PDF_URL, "mimeType": "application/pdf"}})),
        },
        {
            "openai": says(PDF_URL),
            "anthropic": has(type="document", source={"type": "url", "url": PDF_URL}),
            "gemini": has(fileData={"fileUri": PDF_URL, "mimeType": "application/pdf"}),
        },
        gaps={
            "ask:openai": Gap("Chat Completions takes files by data or id, not by address.", ("file_url",)),
            "openai": Gap("Chat Completions takes files by data or id, not by address.", ("file_url",)),
        },
    ),
    Feature(
        "text file by data",
        {
            "openai": o(
                u(t(), {"type": "file", "file": {"filename": "n.txt", "file_data": f"data:text/plain;base64,{NOTE}"}})
            ),
            "anthropic": a(
                u(t(), {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": NOTE_TEXT}})
            ),
            "gemini": g(gu({"text": "Look."}, {"inlineData": {"mimeType": "text/plain", "data": NOTE}})),
        },
        {
            "openai": has(type="file", file={"file_data": f"data:text/plain;base64,{NOTE}"}),
            "anthropic": has(type="document", source={"type": "text", "data": NOTE_TEXT}),
            "gemini": has(inlineData={"mimeType": "text/plain", "data": NOTE}),
        },
    ),
    Feature(
        "file by the provider's own id",
        {
            "openai": o(u(t(), {"type": "file", "file": {"file_id": "file-7"}})),
            "anthropic": a(u(t(), {"type": "document", "source": {"type": "file", "file_id": "file-7"}})),
            "gemini": g(gu({"text": "Look."}, {"fileData": {"fileUri": "files/file-7", "mimeType": "image/png"}})),
        },
        {
            "openai": has(file={"file_id": "file-7"}),
            "anthropic": has(source={"file_id": "file-7"}),
            "gemini": has(fileData={"fileUri": "files/file-7"}),
        },
        gaps={
            name: Gap("The file is kept by the provider that gave the id; another cannot read it.", but=kin)
            for name, kin in (("openai", ("responses", "orchestrate")), ("anthropic", ()), ("gemini", ()))
        },
    ),
    Feature(
        "video by data",
        {"gemini": g(gu({"text": "Look."}, {"inlineData": {"mimeType": "video/mp4", "data": PNG}}))},
        {"openai": says(PNG), "anthropic": says(PNG), "gemini": has(mimeType="video/mp4")},
        gaps={
            "ask:openai": Gap("Chat Completions takes no video.", ("video", "video_url")),
            "ask:anthropic": Gap("Anthropic's API takes no video.", ("video",)),
            "openai": Gap("Chat Completions takes no video.", ("video", "video_url")),
            "anthropic": Gap("Anthropic's API takes no video.", ("video",)),
        },
    ),
]

PARAMETERS: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_OPEN: Json = {"type": "object", "properties": {"q": {"type": "string"}}}


def tools(strict: bool | None = None, several: bool = False) -> dict[str, Json]:
    """One tool, or three, in each format: its fields of a request."""
    names = ["get_weather", "search", "clock"][: 3 if several else 1]
    mark = {} if strict is None else {"strict": strict}
    schemas = {"get_weather": PARAMETERS, "search": _OPEN, "clock": _OPEN}
    described = {name: {"name": name, "description": f"Does {name}."} for name in names}
    return {
        "openai": {
            "tools": [
                {"type": "function", "function": {**described[name], "parameters": schemas[name], **mark}}
                for name in names
            ]
        },
        "anthropic": {"tools": [{**described[name], "input_schema": schemas[name], **mark} for name in names]},
        "gemini": {
            "tools": [
                {"functionDeclarations": [{**described[name], "parametersJsonSchema": schemas[name]} for name in names]}
            ]
        },
    }


_ONE, _SEVERAL = tools(), tools(several=True)


def calling(mode: str, *names: str) -> Json:
    """Gemini's choice among tools."""
    return {
        "toolConfig": {
            "functionCallingConfig": {"mode": mode, **({"allowedFunctionNames": list(names)} if names else {})}
        }
    }


_CLOCK_CHOICE: Json = {"type": "function", "function": {"name": "clock"}}
_IDS = ("call_1", "call_2")


def history(output: Json) -> dict[str, Json]:
    """A question, a call, and its result, in each format; `output` has the result in each."""
    call = {"type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    written = {
        "openai": lambda: o(
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", **call}]},
            {"role": "tool", "tool_call_id": "call_1", **output["openai"]},
            **_ONE["openai"],
        ),
        "anthropic": lambda: a(
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}}],
            },
            u({"type": "tool_result", "tool_use_id": "call_1", **output["anthropic"]}),
            **_ONE["anthropic"],
        ),
        "gemini": lambda: g(
            gu({"text": "Weather?"}),
            {
                "role": "model",
                "parts": [{"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}}],
            },
            gu({"functionResponse": {"id": "call_1", "name": "get_weather", **output["gemini"]}}),
            **_ONE["gemini"],
        ),
    }
    return {name: write() for name, write in written.items() if name in output}


_CALLED = {
    "openai": has(id="call_1", function={"name": "get_weather", "arguments": '{"city":"Paris"}'}),
    "anthropic": has(type="tool_use", id="call_1", name="get_weather", input={"city": "Paris"}),
    "gemini": has(functionCall={"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}),
}
_IMAGE_RESULT = {
    "anthropic": {
        "content": [
            t("Chart."),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ]
    },
    "gemini": {
        "response": {"output": "Chart."},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}],
    },
}


def _called_openai(body: Json) -> bool:
    """As `_CALLED`, whatever the spaces in the arguments' text."""
    call = body["messages"][1]["tool_calls"][0]
    function = call["function"]
    return (call["id"], function["name"], json.loads(function["arguments"])) == (
        "call_1",
        "get_weather",
        {"city": "Paris"},
    )


_CALL: dict[str, Json] = {
    "openai": openai_reply(
        {
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
                }
            ],
        },
        finish="tool_calls",
    ),
    "anthropic": anthropic_reply(
        {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}}, stop="tool_use"
    ),
    "gemini": gemini_reply({"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}}),
}
_CALLS: dict[str, Json] = {
    "openai": openai_reply(
        {
            "content": "Both:",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
                },
                {"id": "call_2", "type": "function", "function": {"name": "search", "arguments": '{"q":"x"}'}},
            ],
        },
        finish="tool_calls",
    ),
    "anthropic": anthropic_reply(
        t("Both:"),
        {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "call_2", "name": "search", "input": {"q": "x"}},
        stop="tool_use",
    ),
    "gemini": gemini_reply(
        {"text": "Both:"},
        {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}},
        {"functionCall": {"id": "call_2", "name": "search", "args": {"q": "x"}}},
    ),
}


TOOLS = [
    Feature(
        "tools declared",
        {"openai": o(**_ONE["openai"]), "anthropic": a(**_ONE["anthropic"]), "gemini": g(**_ONE["gemini"])},
        {
            "openai": has(name="get_weather", description="Does get_weather.", parameters=PARAMETERS),
            "anthropic": has(name="get_weather", description="Does get_weather.", input_schema=PARAMETERS),
            "gemini": has(name="get_weather", description="Does get_weather.", parametersJsonSchema=PARAMETERS),
        },
    ),
    Feature(
        "strict tools",
        {
            "openai": o(**tools(strict=True)["openai"]),
            "anthropic": a(**tools(strict=True)["anthropic"]),
            "gemini": g(**_ONE["gemini"], **calling("VALIDATED")),
        },
        {
            "openai": has(name="get_weather", strict=True),
            "anthropic": has(name="get_weather", strict=True),
            "gemini": at("toolConfig.functionCallingConfig.mode", "VALIDATED"),
        },
    ),
    Feature(
        "tool choice: none",
        {
            "openai": o(**_ONE["openai"], tool_choice="none"),
            "anthropic": a(**_ONE["anthropic"], tool_choice={"type": "none"}),
            "gemini": g(**_ONE["gemini"], **calling("NONE")),
        },
        {
            "openai": at("tool_choice", "none"),
            "anthropic": at("tool_choice.type", "none"),
            "gemini": at("toolConfig.functionCallingConfig.mode", "NONE"),
        },
    ),
    Feature(
        "tool choice: any",
        {
            "openai": o(**_ONE["openai"], tool_choice="required"),
            "anthropic": a(**_ONE["anthropic"], tool_choice={"type": "any"}),
            "gemini": g(**_ONE["gemini"], **calling("ANY")),
        },
        {
            "openai": at("tool_choice", "required"),
            "anthropic": at("tool_choice.type", "any"),
            "gemini": at("toolConfig.functionCallingConfig.mode", "ANY"),
        },
    ),
    Feature(
        "tool choice: this one",
        {
            "openai": o(**_SEVERAL["openai"], tool_choice={"type": "function", "function": {"name": "search"}}),
            "anthropic": a(**_SEVERAL["anthropic"], tool_choice={"type": "tool", "name": "search"}),
            "gemini": g(**_SEVERAL["gemini"], **calling("ANY", "search")),
        },
        {
            "openai": at("tool_choice.function.name", "search"),
            "anthropic": every(at("tool_choice.type", "tool"), at("tool_choice.name", "search")),
            "gemini": every(
                at("toolConfig.functionCallingConfig.mode", "ANY"),
                at("toolConfig.functionCallingConfig.allowedFunctionNames", ["search"]),
            ),
        },
    ),
    Feature(
        "tool choice: some of them",
        {
            "openai": o(
                **_SEVERAL["openai"],
                tool_choice={
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "search"}}, _CLOCK_CHOICE],
                    },
                },
            ),
            "gemini": g(**_SEVERAL["gemini"], **calling("ANY", "search", "clock")),
        },
        {
            "openai": every(
                at("tool_choice.allowed_tools.mode", "required"),
                at(
                    "tool_choice.allowed_tools.tools",
                    [{"type": "function", "function": {"name": "search"}}, _CLOCK_CHOICE],
                ),
            ),
            "anthropic": lambda body: (
                body["tool_choice"]["type"] == "any" and [tool["name"] for tool in body["tools"]] == ["search", "clock"]
            ),
            "gemini": every(
                at("toolConfig.functionCallingConfig.mode", "ANY"),
                at("toolConfig.functionCallingConfig.allowedFunctionNames", ["search", "clock"]),
            ),
        },
        gaps={"ask:anthropic": Gap("Anthropic's API has no such choice.", ("allowed_tools",))},
        notes={"anthropic": "only those are declared"},
    ),
    Feature(
        "one tool call at a time",
        {
            "openai": o(**_ONE["openai"], parallel_tool_calls=False),
            "anthropic": a(**_ONE["anthropic"], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        },
        {
            "openai": at("parallel_tool_calls", False),
            "anthropic": at("tool_choice.disable_parallel_tool_use", True),
            "gemini": has(name="get_weather", parametersJsonSchema=PARAMETERS),
        },
        # Gemini cannot be told, and calls two at once.
        {"openai": _CALL["openai"], "anthropic": _CALL["anthropic"], "gemini": _CALLS["gemini"]},
        {
            "openai": every(lambda answer: _arguments(answer) == {"city": "Paris"}, no(says("call_2"))),
            "anthropic": every(_CALLED["anthropic"], no(says("call_2"))),
        },
        gaps={
            "ask:gemini": Gap(
                "Gemini's API has no way to keep a model from calling several.", ("parallel_tool_calls",)
            ),
        },
        notes={"gemini": "further calls are left out of the answer"},
    ),
    Feature(
        "a tool call in the answer",
        {"openai": o(**_ONE["openai"]), "anthropic": a(**_ONE["anthropic"]), "gemini": g(**_ONE["gemini"])},
        reply=_CALL,
        got={
            "openai": every(
                lambda answer: _arguments(answer) == {"city": "Paris"},
                has(id="call_1", type="function", function={"name": "get_weather"}),
                at("choices.0.finish_reason", "tool_calls"),
            ),
            "anthropic": every(_CALLED["anthropic"], at("stop_reason", "tool_use")),
            "gemini": every(_CALLED["gemini"], at("candidates.0.finishReason", "STOP")),
        },
    ),
    Feature(
        "two tool calls in one answer",
        {"openai": o(**_SEVERAL["openai"]), "anthropic": a(**_SEVERAL["anthropic"]), "gemini": g(**_SEVERAL["gemini"])},
        reply=_CALLS,
        got={
            "openai": every(
                lambda answer: _arguments(answer, 1) == {"q": "x"},
                lambda answer: [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]] == [*_IDS],
                at("choices.0.message.content", "Both:"),
            ),
            "anthropic": every(
                lambda answer: [block.get("id") for block in answer["content"]] == [None, *_IDS],
                has(id="call_2", name="search", input={"q": "x"}),
            ),
            "gemini": every(
                _CALLED["gemini"], has(functionCall={"id": "call_2", "name": "search", "args": {"q": "x"}})
            ),
        },
    ),
    Feature(
        "tool results",
        history(
            {
                "openai": {"content": "18 degrees"},
                "anthropic": {"content": "18 degrees"},
                "gemini": {"response": {"output": "18 degrees"}},
            }
        ),
        {
            "openai": every(_called_openai, has(role="tool", tool_call_id="call_1", content="18 degrees")),
            "anthropic": every(
                _CALLED["anthropic"],
                has(type="tool_result", tool_use_id="call_1"),
                says("18 degrees"),
                no(has(is_error=True)),
            ),
            "gemini": every(
                _CALLED["gemini"],
                has(functionResponse={"id": "call_1", "name": "get_weather", "response": {"output": "18 degrees"}}),
            ),
        },
    ),
    Feature(
        "tool errors",
        history(
            {
                "anthropic": {"content": "no such city", "is_error": True},
                "gemini": {"response": {"error": "no such city"}},
            }
        ),
        {
            "openai": has(role="tool", tool_call_id="call_1", content="Error: no such city"),
            "anthropic": every(has(type="tool_result", is_error=True), says("no such city")),
            "gemini": has(functionResponse={"response": {"error": "no such city"}}),
        },
        gaps={"ask:openai": Gap("OpenAI's tool messages have no mark of failure; their text says it.", ("is_error",))},
        notes={"openai": "as text: there is no mark of failure"},
    ),
    Feature(
        "images in tool results",
        history(_IMAGE_RESULT),
        {
            "openai": every(
                has(role="tool", tool_call_id="call_1"), has(image_url={"url": f"data:image/png;base64,{PNG}"})
            ),
            "anthropic": has(type="tool_result", content=_IMAGE_RESULT["anthropic"]["content"]),
            "gemini": has(functionResponse={"parts": _IMAGE_RESULT["gemini"]["parts"]}),
        },
        gaps={"ask:openai": Gap("OpenAI's tool messages hold text only.")},
        notes={"openai": "the picture follows in the user's message, named by the call"},
    ),
]


def _arguments(answer: Json, number: int = 0) -> object:
    return json.loads(answer["choices"][0]["message"]["tool_calls"][number]["function"]["arguments"])
