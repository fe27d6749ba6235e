"""How callers of OpenAI's Responses API say every feature, and hear it: the API's own words, by the feature's name."""

from __future__ import annotations

import json

from tests.fidelity.asking import OBJECT, SCHEMA
from tests.fidelity.cells import Gap, Probe, Words, at, every, has, no, says
from tests.fidelity.searching import APPROXIMATE, SITES
from tests.fidelity.talking import NOTE, PARAMETERS, PDF, PDF_URL, PNG, URL, WAV
from tests.fidelity.wire import ASKED, Json

_HI: Json = {"role": "user", "content": "Hi"}
_SITE, _TITLE = "https://example.com/a", "A page"


def r(*items: Json, **fields: object) -> Json:
    """A question."""
    return {**ASKED["responses"], **({"input": list(items)} if items else {}), **fields}


def _u(*content: Json) -> Json:
    return {"role": "user", "content": [{"type": "input_text", "text": "Look."}, *content]}


def tools(*names: str, strict: bool | None = None) -> list[Json]:
    schemas = {"get_weather": PARAMETERS}
    plain: Json = {"type": "object", "properties": {"q": {"type": "string"}}}
    return [
        {
            "type": "function",
            "name": name,
            "description": f"Does {name}.",
            "parameters": schemas.get(name, plain),
            "strict": strict,
        }
        for name in names or ("get_weather",)
    ]


_SEVERAL = tools("get_weather", "search", "clock")


def _history(output: str | list[Json]) -> Json:
    return r(
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Paris"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": output},
        tools=tools(),
    )


def text(said: str) -> Probe:
    """The answer's text is this."""
    return has(type="output_text", text=said)


def called(number: int, call_id: str, name: str, arguments: Json) -> Probe:
    """The answer's calls, and one of them, whatever the spaces in its arguments' text."""

    def probe(answer: Json) -> bool:
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        call = calls[number]
        return (call["call_id"], call["name"], json.loads(call["arguments"])) == (call_id, name, arguments)

    return probe


def _said(ask: Json) -> list[Json]:
    said = ask["input"]
    return [{"role": "user", "content": said}] if isinstance(said, str) else said


def again(ask: Json, got: Json) -> Json:
    """With the tool's result."""
    result = {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees"}
    return {**ask, "input": [*_said(ask), *got["output"], result]}


def on(ask: Json, got: Json) -> Json:
    """With the next question."""
    return {**ask, "input": [*_said(ask), *got["output"], {"role": "user", "content": "Go on."}]}


def _counts(prompt: int, output: int, **more: Probe) -> Probe:
    return every(at("usage.input_tokens", prompt), at("usage.output_tokens", output), *more.values())


_CACHE: Json = {"type": "input_text", "text": "Look.", "prompt_cache_breakpoint": {"mode": "explicit"}}
_AGAIN = (
    "proof of thought, back with the tool's result",
    "hidden thoughts, back with the tool's result",
    "one provider's proof is not shown to another",
)

ASK: dict[str, Json] = {
    "plain text": r({"role": "user", "content": "Salve."}),
    "system message": r(instructions="Be terse."),
    "developer message": r({"role": "developer", "content": "Be terse."}, _HI),
    "instructions later in the conversation": r(
        _HI,
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Go on."},
        {"role": "system", "content": "Rhyme now."},
    ),
    "several turns": r(
        {"role": "user", "content": "One."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Two."}]},
        {"role": "user", "content": "Three."},
    ),
    "prompt-cache markers": r({"role": "user", "content": [_CACHE]}),
    "image by URL": r(_u({"type": "input_image", "image_url": URL})),
    "image by data": r(_u({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})),
    "image detail: low": r(_u({"type": "input_image", "image_url": URL, "detail": "low"})),
    "sound": r(_u({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}})),
    "PDF by data": r(
        _u({"type": "input_file", "filename": "r.pdf", "file_data": f"data:application/pdf;base64,{PDF}"})
    ),
    "PDF by URL": r(_u({"type": "input_file", "file_url": PDF_URL})),
    "text file by data": r(
        _u({"type": "input_file", "filename": "n.txt", "file_data": f"data:text/plain;base64,{NOTE}"})
    ),
    "file by the provider's own id": r(_u({"type": "input_file", "file_id": "file-7"})),
    "tools declared": r(tools=tools()),
    "strict tools": r(tools=tools(strict=True)),
    "tool choice: none": r(tools=tools(), tool_choice="none"),
    "tool choice: any": r(tools=tools(), tool_choice="required"),
    "tool choice: this one": r(tools=_SEVERAL, tool_choice={"type": "function", "name": "search"}),
    "tool choice: some of them": r(
        tools=_SEVERAL,
        tool_choice={
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "search"}, {"type": "function", "name": "clock"}],
        },
    ),
    "one tool call at a time": r(tools=tools(), parallel_tool_calls=False),
    "a tool that the provider runs (web search)": r(tools=[{"type": "web_search"}]),
    "web search: where the one is who asks": r(tools=[{"type": "web_search", "user_location": APPROXIMATE}]),
    "web search: these sites alone": r(tools=[{"type": "web_search", "filters": {"allowed_domains": SITES}}]),
    "web search: how much of it is read": r(tools=[{"type": "web_search", "search_context_size": "low"}]),
    "pages that a search found": r(),
    "a tool call in the answer": r(tools=tools()),
    "two tool calls in one answer": r(tools=_SEVERAL),
    "tool results": _history("18 degrees"),
    "images in tool results": _history(
        [
            {"type": "input_text", "text": "Chart."},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        ]
    ),
    "reasoning effort (a word)": r(reasoning={"effort": "high"}),
    "reasoning switched off": r(reasoning={"effort": "none"}),
    "reasoning to be shown": r(reasoning={"summary": "detailed"}),
    "thoughts shown": r(),
    **{name: r(tools=tools()) for name in _AGAIN},
    "proof on a text, back with the next question": r(),
    "temperature": r(temperature=0.25),
    "temperature, of the newest models": r(temperature=0.25),
    "temperature and top_p": r(temperature=0.25, top_p=0.5),
    "temperature above 1": r(temperature=1.5),
    "top_p": r(top_p=0.5),
    "logprobs": r(top_logprobs=2, include=["message.output_text.logprobs"]),
    "bound of the answer (max tokens)": r(max_output_tokens=77),
    "no bound of the answer": r(),
    "answer in a JSON schema": r(
        text={"format": {"type": "json_schema", "name": "person", "schema": SCHEMA, "strict": True}}
    ),
    "answer in any JSON": r({"role": "user", "content": "Give me json."}, text={"format": {"type": "json_object"}}),
    "stop reason: bound reached": r(),
    "user": r(safety_identifier="user-7"),
    "metadata": r(metadata={"team": "blue"}),
    "service tier: standard": r(service_tier="default"),
    "service tier: flex": r(service_tier="flex"),
    "storing the answer": r(store=True),
    "verbosity": r(text={"verbosity": "low"}),
    "a field nobody knows": r(from_the_future=[1.0]),
    "an unknown field inside a message": r({"role": "user", "content": "Hi", "mood": "blue"}),
    "stop reason: natural end": r(),
    "stop reason: content filter": r(),
    "refusal": r(),
    "tokens": r(),
    "cached tokens": r(),
    "tokens written to the prompt cache": r(),
    "tokens of thought": r(),
    "service tier that was used": r(),
    "sources of an answer (citations)": r(),
    "a picture in the answer": r(),
    "the model's own name": r(),
    "the answer's id": r(),
}

GOT: dict[str, Probe] = {
    "plain text": text("Ave Ünïcode ✓"),
    "one tool call at a time": every(called(0, "call_1", "get_weather", {"city": "Paris"}), no(says("call_2"))),
    "a tool call in the answer": every(
        called(0, "call_1", "get_weather", {"city": "Paris"}), at("status", "completed")
    ),
    "two tool calls in one answer": every(
        called(0, "call_1", "get_weather", {"city": "Paris"}), called(1, "call_2", "search", {"q": "x"}), text("Both:")
    ),
    "thoughts shown": every(
        has(type="reasoning", summary=[{"type": "summary_text", "text": "Let me see."}]), text("42")
    ),
    "logprobs": has(token="Hello", logprob=-0.25),
    "answer in any JSON": text(OBJECT),
    "stop reason: bound reached": every(
        at("status", "incomplete"), at("incomplete_details.reason", "max_output_tokens")
    ),
    "metadata": at("metadata.team", "blue"),
    "storing the answer": at("store", True),
    "stop reason: natural end": every(text("The end."), at("status", "completed")),
    "stop reason: content filter": every(at("status", "incomplete"), at("incomplete_details.reason", "content_filter")),
    "refusal": every(says("I will not."), no(has(status="in_progress"))),
    "tokens": _counts(23, 19),
    "cached tokens": _counts(111, 7, cached=at("usage.input_tokens_details.cached_tokens", 100)),
    "tokens written to the prompt cache": _counts(
        111, 7, written=at("usage.input_tokens_details.cache_write_tokens", 100)
    ),
    "tokens of thought": _counts(11, 57, thought=at("usage.output_tokens_details.reasoning_tokens", 50)),
    "service tier that was used": at("service_tier", "priority"),
    "pages that a search found": has(type="url_citation", start_index=3, end_index=7, url=_SITE, title=_TITLE),
    "sources of an answer (citations)": has(type="url_citation", start_index=3, end_index=7, url=_SITE, title=_TITLE),
    "a picture in the answer": has(type="image_generation_call", result="iVBORw0KGgo="),
    "the model's own name": at("model", "own-name"),
    "the answer's id": at("id", "own-7"),
}

_IN_WORDS = Gap("The Responses API measures thinking in words.", ("budget_tokens",))
_NO_STOP = Gap("The Responses API has no stop sequences.", ("stop", "stop_sequences"))
_NO_TOOL_MARK = Gap(
    "The Responses API has no mark of failure on what a tool answered; its text says it.", ("is_error",)
)
GAPS: dict[str, dict[str, Gap]] = {
    name: {"ask": gap}
    for name, gap in {
        "names of speakers": Gap("The Responses API's messages have no names."),
        "video by data": Gap("The Responses API takes no video.", ("input_video", "video_url")),
        "tool errors": _NO_TOOL_MARK,
        "reasoning budget (tokens)": _IN_WORDS,
        "reasoning budget (tokens), of the newest models": _IN_WORDS,
        "web search: not these sites": Gap(
            "The Responses API has no list of sites to leave out.", ("blocked_domains",)
        ),
        "web search: so many times at most": Gap("The Responses API bounds no tool by itself.", ("max_uses",)),
        "top_k": Gap("The Responses API has no top_k.", ("top_k",)),
        "penalties": Gap("The Responses API has no penalties.", ("frequency_penalty", "presence_penalty")),
        "seed": Gap("The Responses API has no seed.", ("seed",)),
        "stop sequence": _NO_STOP,
        "five stop sequences": _NO_STOP,
        "which stop sequence it was": _NO_STOP,
        "two answers (n)": Gap("The Responses API gives one answer to a request.", ("n",)),
        "logit bias": Gap("The Responses API has no bias of tokens.", ("logit_bias",)),
        "safety settings": Gap("The Responses API has no thresholds to set.", ("safety_settings",)),
        "citations of documents": Gap("The Responses API cites no documents that are sent along.", ("citations",)),
    }.items()
}
GAPS["the answer's id"] = {
    "tell": Gap("A response's id is the gateway's own, under which it is stored; the provider's is in the record.")
}

WORDS = Words(
    "responses",
    ASK,
    GOT,
    again={
        **dict.fromkeys(_AGAIN, again),
        "proof on a text, back with the next question": on,
    },
    gaps=GAPS,
    own=("metadata", "storing the answer"),
)
