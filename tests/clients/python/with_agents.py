"""OpenAI's Agents SDK, over the Responses API or chat completions."""

from __future__ import annotations

from typing import Any

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from obeying import GATEWAY, Parcel, Tools, obey
from openai.types.shared import Reasoning

set_tracing_disabled(True)


def agent(order: dict[str, Any], **more: Any) -> Agent:
    client = openai.AsyncOpenAI(base_url=f"{GATEWAY}/v1", api_key=order["key"], max_retries=order["retries"])
    kind = OpenAIResponsesModel if order["through"] == "responses" else OpenAIChatCompletionsModel
    more.setdefault("model_settings", ModelSettings(include_usage=True))
    return Agent(name="weigher", model=kind(model=order["model"], openai_client=client), **more)


def counted(result: Any) -> dict[str, int]:
    usage = result.context_wrapper.usage
    return {"input": usage.input_tokens, "output": usage.output_tokens}


async def streamed(one: Agent, said: Any) -> tuple[Any, list[str]]:
    result = Runner.run_streamed(one, said)
    events = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
    return result, [event.delta for event in events if event.type == "response.output_text.delta"]


async def chat(order: dict[str, Any]) -> Any:
    result = await Runner.run(agent(order), order["said"])
    return {"text": result.final_output, **counted(result)}


async def stream(order: dict[str, Any]) -> Any:
    result, pieces = await streamed(agent(order), order["said"])
    return {"pieces": pieces, "text": result.final_output, **counted(result)}


def with_tools(order: dict[str, Any], **more: Any) -> tuple[Agent, Tools]:
    used = Tools()
    return agent(order, tools=[function_tool(used.weather), function_tool(used.clock)], **more), used


async def tools(order: dict[str, Any]) -> Any:
    one, used = with_tools(order)
    result = await Runner.run(one, order["said"])
    return {"text": result.final_output, "called": used.called}


async def tools_streamed(order: dict[str, Any]) -> Any:
    one, used = with_tools(order)
    result, _ = await streamed(one, order["said"])
    return {"text": result.final_output, "called": used.called}


async def one_tool(order: dict[str, Any]) -> Any:
    """Calls one after the other, where the SDK was told so."""
    one, used = with_tools(order, model_settings=ModelSettings(parallel_tool_calls=False))
    result = await Runner.run(one, order["said"])
    return {"text": result.final_output, "called": used.called}


async def structured(order: dict[str, Any]) -> Any:
    return {"value": (await Runner.run(agent(order, output_type=Parcel), order["said"])).final_output.model_dump()}


async def structured_streamed(order: dict[str, Any]) -> Any:
    result, _ = await streamed(agent(order, output_type=Parcel), order["said"])
    return {"value": result.final_output.model_dump()}


async def vision(order: dict[str, Any]) -> Any:
    content = [
        {"type": "input_text", "text": order["said"]},
        {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{order['image']}"},
    ]
    return counted(await Runner.run(agent(order), [{"role": "user", "content": content}]))


async def thinking(order: dict[str, Any]) -> Any:
    """Thinks, calls a tool, and is shown its own thoughts again."""
    summary = {"summary": "auto"} if order["through"] == "responses" else {}
    one, _ = with_tools(order, model_settings=ModelSettings(reasoning=Reasoning(effort="low", **summary)))
    result, _ = await streamed(one, order["said"])
    items = [item.raw_item for item in result.new_items if item.type == "reasoning_item"]
    return {"thought": "".join(part.text for item in items for part in item.summary), "text": result.final_output}


async def kept(order: dict[str, Any]) -> Any:
    """A second run that goes on from the response of the first."""
    first = await Runner.run(agent(order), "I have a sack.")
    second = await Runner.run(agent(order), order["said"], previous_response_id=first.last_response_id)
    return {"text": second.final_output, **counted(second)}


async def abort(order: dict[str, Any]) -> Any:
    result = Runner.run_streamed(agent(order), order["said"])
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            result.cancel()
    return {"aborted": True}


obey(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "tools_streamed": tools_streamed,
        "one_tool": one_tool,
        "structured": structured,
        "structured_streamed": structured_streamed,
        "vision": vision,
        "thinking": thinking,
        "kept": kept,
        "abort": abort,
    }
)
