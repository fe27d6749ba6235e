"""LangChain: `through` says which of its packages speaks."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from obeying import GATEWAY, Parcel, Tools, obey


def model(order: dict[str, Any], **more: Any) -> Any:
    name, key, retries = order["model"], order["key"], order["retries"]
    match order["through"]:
        case "chat" | "responses":
            more.setdefault("stream_usage", True)
            return ChatOpenAI(
                model=name,
                api_key=key,
                base_url=f"{GATEWAY}/v1",
                max_retries=retries,
                use_responses_api=order["through"] == "responses",
                **more,
            )
        case "anthropic":
            return ChatAnthropic(model=name, api_key=key, base_url=GATEWAY, max_retries=retries, **more)
        case _:
            return ChatGoogleGenerativeAI(model=name, api_key=key, base_url=GATEWAY, max_retries=retries + 1, **more)


def counted(message: Any) -> dict[str, int]:
    return {"input": message.usage_metadata["input_tokens"], "output": message.usage_metadata["output_tokens"]}


def chat(order: dict[str, Any]) -> Any:
    answer = model(order).invoke(order["said"])
    return {"text": answer.text, **counted(answer)}


def stream(order: dict[str, Any]) -> Any:
    pieces, whole = [], None
    for chunk in model(order).stream(order["said"]):
        if chunk.text:
            pieces.append(str(chunk.text))
        whole = chunk if whole is None else whole + chunk
    return {"pieces": pieces, "text": str(whole.text), **counted(whole)}


def agent(order: dict[str, Any], tools: Tools) -> Any:
    return create_agent(model(order), [tool(tools.weather), tool(tools.clock)])


def tools(order: dict[str, Any]) -> Any:
    used = Tools()
    said = {"messages": [HumanMessage(order["said"])]}
    final = agent(order, used).invoke(said)["messages"][-1]
    return {"text": str(final.text), "called": used.called}


def tools_streamed(order: dict[str, Any]) -> Any:
    used = Tools()
    said = {"messages": [HumanMessage(order["said"])]}
    text = ""
    for chunk, _ in agent(order, used).stream(said, stream_mode="messages"):
        text += str(chunk.text) if chunk.type == "AIMessageChunk" else ""
    return {"text": text, "called": used.called}


def structured(order: dict[str, Any]) -> Any:
    return {"value": model(order).with_structured_output(Parcel).invoke(order["said"]).model_dump()}


def structured_by_tool(order: dict[str, Any]) -> Any:
    bound = model(order).with_structured_output(Parcel, method="function_calling")
    return {"value": bound.invoke(order["said"]).model_dump()}


def structured_streamed(order: dict[str, Any]) -> Any:
    *_, last = model(order).with_structured_output(Parcel).stream(order["said"])
    return {"value": last.model_dump()}


def embed(order: dict[str, Any]) -> Any:
    client = OpenAIEmbeddings(
        model=order["model"], api_key=order["key"], base_url=f"{GATEWAY}/v1", check_embedding_ctx_length=False
    )
    return {"vectors": client.embed_documents([order["said"], "salt"])}


def vision(order: dict[str, Any]) -> Any:
    content = [
        {"type": "text", "text": order["said"]},
        {"type": "image", "base64": order["image"], "mime_type": "image/png"},
    ]
    return counted(model(order).invoke([HumanMessage(content)]))


def thinking(order: dict[str, Any]) -> Any:
    """Thinks, calls a tool, and is shown its own thoughts again."""
    more = {
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"}},
        "google": {"thinking_budget": 1024, "include_thoughts": True},
        "responses": {"reasoning": {"effort": "low", "summary": "auto"}, "output_version": "responses/v1"},
        "chat": {"reasoning_effort": "low"},
    }[order["through"]]
    if order["through"] == "anthropic":
        more["max_tokens"] = 4000
    used = Tools()
    made = create_agent(model(order, **more), [tool(used.weather)])
    messages = made.invoke({"messages": [HumanMessage(order["said"])]})["messages"]
    blocks = [block for message in messages if message.type == "ai" for block in message.content_blocks]
    thought = "".join(block.get("reasoning", "") for block in blocks if block["type"] == "reasoning")
    return {"thought": thought, "text": str(messages[-1].text)}


def abort(order: dict[str, Any]) -> Any:
    pieces = model(order).stream(order["said"])
    for chunk in pieces:
        if chunk.text:
            break
    pieces.close()
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
        "embed": embed,
        "vision": vision,
        "thinking": thinking,
        "abort": abort,
    }
)
