"""LlamaIndex: `through` says which of its integrations speaks."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from obeying import GATEWAY, Parcel, Tools, obey


def model(order: dict[str, Any]) -> Any:
    name, key, retries = order["model"], order["key"], order["retries"]
    match order["through"]:
        case "chat":
            return OpenAILike(
                model=name,
                api_key=key,
                api_base=f"{GATEWAY}/v1",
                max_retries=retries,
                is_chat_model=True,
                is_function_calling_model=True,
                should_use_structured_outputs=True,
                context_window=128_000,
            )
        case "responses":
            return OpenAIResponses(
                model=name,
                api_key=key,
                api_base=f"{GATEWAY}/v1",
                max_retries=retries,
                context_window=128_000,
            )
        case _:
            # It takes models it knows only: the provider is named beside it.
            headers = {"x-steelyard-providers": order["provider"]}
            name = "claude-sonnet-4-5" if "/" in name else name
            return Anthropic(
                model=name, api_key=key, base_url=GATEWAY, max_retries=retries, default_headers=headers, max_tokens=2000
            )


def said(order: dict[str, Any]) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=order["said"])]


def chat(order: dict[str, Any]) -> Any:
    answer = model(order).chat(said(order))
    usage = answer.raw["usage"] if isinstance(answer.raw, dict) else answer.raw.usage
    counts = usage if isinstance(usage, dict) else usage.model_dump()
    told = [counts.get(name) for name in ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")]
    numbers = [number for number in told if number is not None]
    return {"text": answer.message.content, "input": numbers[0], "output": numbers[1]}


def stream(order: dict[str, Any]) -> Any:
    pieces = [chunk.delta for chunk in model(order).stream_chat(said(order)) if chunk.delta]
    return {"pieces": pieces, "text": "".join(pieces)}


async def rounds(order: dict[str, Any], *, streaming: bool) -> Any:
    used = Tools()
    agent = FunctionAgent(llm=model(order), tools=[used.weather, used.clock], streaming=streaming)
    answer = await agent.run(order["said"])
    return {"text": str(answer), "called": used.called}


async def tools(order: dict[str, Any]) -> Any:
    return await rounds(order, streaming=False)


async def tools_streamed(order: dict[str, Any]) -> Any:
    return await rounds(order, streaming=True)


def structured(order: dict[str, Any]) -> Any:
    answer = model(order).as_structured_llm(Parcel).chat(said(order))
    return {"value": answer.raw.model_dump()}


def embed(order: dict[str, Any]) -> Any:
    # Its `model_name` is checked against a list, its `model_name` beside `api_base` is not.
    client = OpenAIEmbedding(
        model_name=order["model"], api_key=order["key"], api_base=f"{GATEWAY}/v1", max_retries=order["retries"]
    )
    return {"vectors": client.get_text_embedding_batch([order["said"], "salt"])}


def vision(order: dict[str, Any]) -> Any:
    picture = ImageBlock(image=order["image"].encode(), image_mimetype="image/png")
    message = ChatMessage(role="user", blocks=[TextBlock(text=order["said"]), picture])
    answer = model(order).chat([message])
    usage = answer.raw["usage"] if isinstance(answer.raw, dict) else answer.raw.usage
    counts = usage if isinstance(usage, dict) else usage.model_dump()
    return {"input": counts.get("prompt_tokens") or counts.get("input_tokens")}


def abort(order: dict[str, Any]) -> Any:
    chunks = model(order).stream_chat(said(order))
    for chunk in chunks:
        if chunk.delta:
            break
    chunks.close()
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
        "abort": abort,
    }
)
