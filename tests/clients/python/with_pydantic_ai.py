"""Pydantic AI: `through` says which of its models speaks."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
import openai
from obeying import GATEWAY, Parcel, Tools, obey
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings


def model(order: dict[str, Any]) -> Any:
    name, key, retries = order["model"], order["key"], order["retries"]
    match order["through"]:
        case "chat" | "responses":
            client = openai.AsyncOpenAI(base_url=f"{GATEWAY}/v1", api_key=key, max_retries=retries)
            kind = OpenAIChatModel if order["through"] == "chat" else OpenAIResponsesModel
            return kind(name, provider=OpenAIProvider(openai_client=client))
        case "anthropic":
            theirs = anthropic.AsyncAnthropic(base_url=GATEWAY, api_key=key, max_retries=retries)
            return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=theirs))
        case _:
            return GoogleModel(name, provider=GoogleProvider(api_key=key, base_url=GATEWAY))


def counted(usage: Any) -> dict[str, int]:
    return {"input": usage.input_tokens, "output": usage.output_tokens}


async def chat(order: dict[str, Any]) -> Any:
    result = await Agent(model(order)).run(order["said"])
    return {"text": result.output, **counted(result.usage)}


async def stream(order: dict[str, Any]) -> Any:
    async with Agent(model(order)).run_stream(order["said"]) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    return {"pieces": pieces, "text": "".join(pieces), **counted(result.usage)}


async def tools(order: dict[str, Any]) -> Any:
    used = Tools()
    result = await Agent(model(order), tools=[used.weather, used.clock]).run(order["said"])
    return {"text": result.output, "called": used.called}


async def tools_streamed(order: dict[str, Any]) -> Any:
    used = Tools()
    async with Agent(model(order), tools=[used.weather, used.clock]).run_stream(order["said"]) as result:
        text = await result.get_output()
    return {"text": text, "called": used.called}


async def structured(order: dict[str, Any]) -> Any:
    result = await Agent(model(order), output_type=NativeOutput(Parcel)).run(order["said"])
    return {"value": result.output.model_dump()}


async def structured_by_tool(order: dict[str, Any]) -> Any:
    result = await Agent(model(order), output_type=ToolOutput(Parcel)).run(order["said"])
    return {"value": result.output.model_dump()}


async def structured_streamed(order: dict[str, Any]) -> Any:
    async with Agent(model(order), output_type=NativeOutput(Parcel)).run_stream(order["said"]) as result:
        return {"value": (await result.get_output()).model_dump()}


async def vision(order: dict[str, Any]) -> Any:
    picture = BinaryContent(data=base64.b64decode(order["image"]), media_type="image/png")
    return counted((await Agent(model(order)).run([order["said"], picture])).usage)


async def thinking(order: dict[str, Any]) -> Any:
    """Thinks, calls a tool, and is shown its own thoughts again."""
    used = Tools()
    settings: Any = {
        "chat": {"openai_reasoning_effort": "low"},
        "responses": {"openai_reasoning_effort": "low", "openai_reasoning_summary": "auto"},
        "anthropic": {
            "anthropic_thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
            "max_tokens": 4000,
        },
        "google": {"google_thinking_config": {"include_thoughts": True, "thinking_budget": 1024}},
    }[order["through"]]
    agent = Agent(model(order), tools=[used.weather], model_settings=ModelSettings(**settings))
    result = await agent.run(order["said"])
    parts = [part for message in result.all_messages() for part in message.parts]
    thought = "".join(part.content for part in parts if part.part_kind == "thinking")
    return {"thought": thought, "text": result.output}


async def abort(order: dict[str, Any]) -> Any:
    async with Agent(model(order)).run_stream(order["said"]) as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            break
    return {"aborted": True}


obey(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "tools_streamed": tools_streamed,
        "structured": structured,
        "structured_by_tool": structured_by_tool,
        "structured_streamed": structured_streamed,
        "vision": vision,
        "thinking": thinking,
        "abort": abort,
    }
)
