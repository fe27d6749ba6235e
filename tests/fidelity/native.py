"""How callers of `/api/llm/orchestrate` say every feature, in OpenAI's words as far as the request takes them, and how
they hear it, in the native form's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from gateway.api.orchestrate import OrchestrateRequest
from tests.fidelity.asking import OBJECT
from tests.fidelity.cells import Feature, Gap, Probe, Words, at, every, has, no, says
from tests.fidelity.wire import Json

_TAKEN = frozenset(OrchestrateRequest.__struct_fields__)
_SITE, _TITLE = "https://example.com/a", "A page"


def response(text: str) -> Probe:
    """The answer's text is this."""
    return at("results.0.response", text)


def ended(reason: str) -> Probe:
    """The answer ended so."""
    return at("results.0.finish_reason", reason)


def called(number: int, call_id: str, name: str, arguments: Json) -> Probe:
    """One of the answer's calls, whatever the spaces in its arguments' text."""

    def probe(answer: Json) -> bool:
        call = answer["results"][0]["tool_calls"][number]
        return (call["id"], call["name"], json.loads(call["arguments"])) == (call_id, name, arguments)

    return probe


def _message(got: Json) -> Json:
    """What was answered, as a message of the next request: in OpenAI's words, with what proves it."""
    result = got["results"][0]
    calls = [
        {
            **{name: value for name, value in call.items() if name == "extra_content"},
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in result.get("tool_calls", ())
    ]
    proofs = {name: value for name, value in result.items() if name == "reasoning_details"}
    return {"role": "assistant", "content": result["response"], **proofs, **({"tool_calls": calls} if calls else {})}


def again(ask: Json, got: Json) -> Json:
    """With the tool's result."""
    result = {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}
    return {**ask, "messages": [*ask["messages"], _message(got), result]}


def on(ask: Json, got: Json) -> Json:
    """With the next question."""
    return {**ask, "messages": [*ask["messages"], _message(got), {"role": "user", "content": "Go on."}]}


def _counts(prompt: int, output: int, **more: int) -> Probe:
    counted = {"input_tokens": prompt, "output_tokens": output, **more}
    return every(*(at(f"results.0.usage.{name}", count) for name, count in counted.items()))


GOT: dict[str, Probe] = {
    "plain text": response("Ave Ünïcode ✓"),
    "one tool call at a time": every(called(0, "call_1", "get_weather", {"city": "Paris"}), no(says("call_2"))),
    "a tool call in the answer": every(called(0, "call_1", "get_weather", {"city": "Paris"}), ended("tool_calls")),
    "two tool calls in one answer": every(
        called(0, "call_1", "get_weather", {"city": "Paris"}),
        called(1, "call_2", "search", {"q": "x"}),
        response("Both:"),
    ),
    "thoughts shown": every(at("results.0.reasoning", "Let me see."), response("42")),
    "logprobs": has(token="Hello", logprob=-0.25),
    "answer in any JSON": response(OBJECT),
    "stop reason: bound reached": ended("length"),
    "stop reason: natural end": every(response("The end."), ended("stop")),
    "stop reason: content filter": ended("content_filter"),
    "refusal": every(says("I will not."), ended("refusal")),
    "which stop sequence it was": at("results.0.stop_sequence", "END"),
    "tokens": _counts(23, 19),
    "cached tokens": _counts(111, 7, cached_tokens=100),
    "tokens written to the prompt cache": _counts(111, 7, cache_write_tokens=100),
    "tokens of thought": _counts(11, 57, reasoning_tokens=50),
    "service tier that was used": at("results.0.service_tier", "priority"),
    "pages that a search found": has(url=_SITE, title=_TITLE, start=3, end=7),
    "sources of an answer (citations)": has(url=_SITE, title=_TITLE, start=3, end=7),
    "a picture in the answer": at("results.0.images", ["data:image/png;base64,iVBORw0KGgo="]),
    "the model's own name": says("own-name"),
    "the answer's id": says("own-7"),
}
_AGAIN = {
    **dict.fromkeys(
        (
            "proof of thought, back with the tool's result",
            "hidden thoughts, back with the tool's result",
            "one provider's proof is not shown to another",
        ),
        again,
    ),
    "proof on a text, back with the next question": on,
}
_GAPS = {
    "the model's own name": Gap("The native answer names the deployment that was chosen, by the catalogue's name."),
    "the answer's id": Gap("The native answer has the gateway's own id, under which its record is found."),
}
#: What the native request calls so is another thing.
_OWN = {"metadata": Gap("The native `metadata` are labels of the gateway's own record, and go to no provider.")}


def words(features: Iterable[Feature]) -> Words:
    """The words for these features, the questions made of OpenAI's."""
    ask: dict[str, Json] = {}
    gaps: dict[str, dict[str, Gap]] = {name: {"tell": gap} for name, gap in _GAPS.items()}
    for feature in features:
        name, asked = feature.name, feature.ask.get("openai")
        strangers = strange(asked)
        if name in _OWN:
            gaps[name] = {"ask": _OWN[name]}
        elif asked is None:
            gap = feature.gaps["ask:openai"]
            gaps[name] = {"ask": Gap(f"Its vocabulary is that of Chat Completions. {gap.reason}", gap.absent)}
        elif strangers:
            told = ", ".join(f"`{one}`" for one in strangers)
            gaps[name] = {"ask": Gap(f"The native request has no {told}: `/v1` has.", strangers)}
        else:
            ask[name] = asked
    return Words("orchestrate", ask, GOT, _AGAIN, gaps)


def strange(asked: Json | None) -> tuple[str, ...]:
    """Fields of a question that the native request does not have."""
    return tuple(name for name in asked or {} if name not in _TAKEN)
