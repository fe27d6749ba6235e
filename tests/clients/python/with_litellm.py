"""LiteLLM as a client: `through` says which provider it takes the gateway for."""

from __future__ import annotations

import json
from typing import Any

import litellm
from obeying import GATEWAY, Parcel, Tools, obey

PREFIX = {"chat": "openai/", "responses": "openai/", "anthropic": "anthropic/", "google": "gemini/"}
BASE = {
    "chat": f"{GATEWAY}/v1",
    "responses": f"{GATEWAY}/v1",
    "anthropic": GATEWAY,
    "google": f"{GATEWAY}/v1beta",
}
SCHEMAS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"The {name}.",
            "parameters": {"type": "object", "properties": {said: {"type": "string"}}, "required": [said]},
        },
    }
    for name, said in (("weather", "city"), ("clock", "zone"))
]


def asked(order: dict[str, Any]) -> dict[str, Any]:
    through = order["through"]
    return {
        "model": PREFIX[through] + order["model"],
        "api_base": BASE[through],
        "api_key": order["key"],
        "num_retries": order["retries"],
        "max_retries": 0,
    }


def said(order: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": order["said"]}]


def counted(usage: Any) -> dict[str, int]:
    return {"input": usage.prompt_tokens, "output": usage.completion_tokens}


def chat(order: dict[str, Any]) -> Any:
    if order["through"] == "responses":
        answer = litellm.responses(input=order["said"], **asked(order))
        text = "".join(part.text for item in answer.output if item.type == "message" for part in item.content)
        return {"text": text, "input": answer.usage.input_tokens, "output": answer.usage.output_tokens}
    answer = litellm.completion(messages=said(order), **asked(order))
    return {"text": answer.choices[0].message.content, **counted(answer.usage)}


def stream(order: dict[str, Any]) -> Any:
    pieces, usage = [], None
    if order["through"] == "responses":
        for event in litellm.responses(input=order["said"], stream=True, **asked(order)):
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
            if event.type == "response.completed":
                usage = event.response.usage
        counts = {"input": usage.input_tokens, "output": usage.output_tokens}
        return {"pieces": pieces, "text": "".join(pieces), **counts}
    more = {"stream": True, "stream_options": {"include_usage": True}}
    for chunk in litellm.completion(messages=said(order), **more, **asked(order)):
        if chunk.choices and chunk.choices[0].delta.content:
            pieces.append(chunk.choices[0].delta.content)
        usage = getattr(chunk, "usage", None) or usage
    return {"pieces": pieces, "text": "".join(pieces), **counted(usage)}


def rounds(order: dict[str, Any], *, streamed: bool) -> Any:
    used = Tools()
    messages = said(order)
    while True:
        answer = litellm.completion(messages=messages, tools=SCHEMAS, stream=streamed, **asked(order))
        if streamed:
            answer = litellm.stream_chunk_builder(list(answer), messages=messages)
        message = answer.choices[0].message
        if not message.tool_calls:
            return {"text": message.content, "called": used.called}
        messages.append(message.model_dump())
        for call in message.tool_calls:
            result = used.call(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def tools(order: dict[str, Any]) -> Any:
    return rounds(order, streamed=False)


def tools_streamed(order: dict[str, Any]) -> Any:
    return rounds(order, streamed=True)


def structured(order: dict[str, Any]) -> Any:
    answer = litellm.completion(messages=said(order), response_format=Parcel, **asked(order))
    return {"value": json.loads(answer.choices[0].message.content)}


def embed(order: dict[str, Any]) -> Any:
    answer = litellm.embedding(input=[order["said"], "salt"], **asked(order))
    return {"vectors": [one["embedding"] for one in answer.data]}


def vision(order: dict[str, Any]) -> Any:
    content = [
        {"type": "text", "text": order["said"]},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{order['image']}"}},
    ]
    answer = litellm.completion(messages=[{"role": "user", "content": content}], **asked(order))
    return counted(answer.usage)


def thinking(order: dict[str, Any]) -> Any:
    """The effort in a word, which LiteLLM turns into what the provider takes."""
    answer = litellm.completion(messages=said(order), reasoning_effort="low", drop_params=True, **asked(order))
    return {
        "thought": getattr(answer.choices[0].message, "reasoning_content", ""),
        "text": answer.choices[0].message.content,
    }


def abort(order: dict[str, Any]) -> Any:
    chunks = litellm.completion(messages=said(order), stream=True, **asked(order))
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    # Its wrapper has no way to hang up; the stream below has.
    beneath = chunks.completion_stream
    (beneath if hasattr(beneath, "close") else beneath.response_iterator).close()
    return {"aborted": True}


obey(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "tools_streamed": tools_streamed,
        "structured": structured,
        "embed": embed,
        "vision": vision,
        "thinking": thinking,
        "abort": abort,
    }
)
