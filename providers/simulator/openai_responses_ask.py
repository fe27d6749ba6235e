"""OpenAI's Responses requests, read and judged as the real API does.

Law: what the real API refuses is refused: unknown parameters (in a strict provider), outputs that answer no call, the
id of an earlier response (nothing is kept here), thoughts that come back without their seal though nothing was stored,
seals that are not its own. Limits: built-in tools but `web_search` are accepted and never called.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from providers.simulator.openai_ask import decoded, error, invalid
from providers.simulator.wire import Complaint
from providers.simulator.writing import Ask, Tool

#: How the seal of every thought begins, and of one that is compacted.
SEAL = "gAAAAA"
#: Items of these types are known to the real API; what they say beyond their text is not looked at.
_HOSTED = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "computer_call",
        "computer_call_output",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_list_tools",
        "mcp_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "local_shell_call",
        "local_shell_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "compaction",
    }
)


class _Part(Struct, forbid_unknown_fields=True):
    type: Literal["input_text", "output_text", "input_image", "input_file", "input_audio", "refusal"]
    text: str = ""
    refusal: str = ""
    annotations: Any = None
    logprobs: Any = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Any = None
    prompt_cache_breakpoint: Any = None


class _Message(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]
    type: str = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class _Called(Struct, forbid_unknown_fields=True):
    type: str
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None
    caller: Any = None


class _Output(Struct, forbid_unknown_fields=True):
    type: str
    call_id: str
    output: str | list[_Part]
    id: str | None = None
    status: str | None = None


class _Thought(Struct, forbid_unknown_fields=True):
    type: str
    summary: list[dict[str, Any]]
    id: str | None = None
    content: Any = None
    encrypted_content: str | None = None
    status: str | None = None


class _Format(Struct, frozen=True):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    schema: dict[str, Any] | None = None


class _Text(Struct):
    format: _Format = _Format()
    verbosity: str | None = None


class _Reasoning(Struct):
    effort: str | None = None
    summary: str | None = None


class ResponsesRequest(Struct, kw_only=True):
    """The body of a response; every parameter the official SDK knows, typed where we look at it."""

    model: str
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: Any = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: list[str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    prompt: Any = None
    access_programs: Any = None
    context_management: Any = None
    image: Any = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    moderation: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None


class StrictResponsesRequest(ResponsesRequest, kw_only=True, forbid_unknown_fields=True):
    """The same, unknown parameters refused."""


class ResponsesAsk(Ask, kw_only=True):
    """A request with what only these answers need; `echo` are the fields that the answer repeats."""

    echo: dict[str, Any]
    searches: bool = False
    summary: bool = False
    sealed: bool = False
    logprobs: bool = False
    top_logprobs: int = 0


_loose = msgspec.json.Decoder(ResponsesRequest)
_strict = msgspec.json.Decoder(StrictResponsesRequest)
_ITEMS: dict[str, Any] = {
    "message": _Message,
    "function_call": _Called,
    "function_call_output": _Output,
    "reasoning": _Thought,
}


def respond(body: bytes, *, strict: bool) -> ResponsesAsk:
    """Read a request; raises Complaint."""
    request: ResponsesRequest = decoded(_strict if strict else _loose, body)
    if request.previous_response_id is not None:
        raise invalid(
            f"Previous response with id '{request.previous_response_id}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        )
    if request.input is None and request.prompt is None:
        raise invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    given = request.input or ""
    items = [_Message("user", given)] if isinstance(given, str) else _items(given)
    texts = [request.instructions or "", *(_said(item) for item in items)]
    users = [_said(item) for item in items if isinstance(item, _Message) and item.role == "user"]
    last = items[-1] if items else None
    tools = [
        Tool(tool.get("name", ""), tool.get("parameters") or {})
        for tool in request.tools or ()
        if tool.get("type") == "function"
    ]
    wanted = request.text.format if request.text else _Format()
    thinks = request.reasoning or _Reasoning()
    include = request.include or []
    return ResponsesAsk(
        model=request.model,
        prompt="\n".join(texts).strip("\n"),
        last_user=users[-1] if users else "",
        tool_result=_said(last) if isinstance(last, _Output) else None,
        images=sum(_images(item) for item in items),
        tools=tools,
        tool_choice=_choice(request.tool_choice, tools),
        parallel=request.parallel_tool_calls is not False,
        json=wanted.type != "text",
        schema=wanted.schema,
        max_tokens=request.max_output_tokens,
        stream=bool(request.stream),
        thinking=thinks.effort not in (None, "none"),
        echo=_echo(request),
        searches=any(str(tool.get("type")).startswith("web_search") for tool in request.tools or ()),
        summary=thinks.summary is not None,
        sealed="reasoning.encrypted_content" in include,
        logprobs="message.output_text.logprobs" in include or bool(request.top_logprobs),
        top_logprobs=request.top_logprobs or 0,
    )


def _items(given: list[dict[str, Any]]) -> list[Any]:
    calls: set[str] = set()
    items: list[Any] = []
    for n, one in enumerate(given):
        kind = one.get("type") or "message"
        if kind == "item_reference":
            raise Complaint(_gone(str(one.get("id"))))
        if kind in _HOSTED:
            _check_seal(one.get("encrypted_content"))
            continue
        if kind not in _ITEMS:
            raise invalid(f"Invalid value: '{kind}'.", f"input[{n}].type", "invalid_value")
        try:
            item = msgspec.convert(one, _ITEMS[kind])
        except msgspec.ValidationError as exc:
            raise invalid(f"Invalid value for 'input[{n}]': {exc}.", f"input[{n}]", "invalid_value") from exc
        if isinstance(item, _Called):
            calls.add(item.call_id)
        elif isinstance(item, _Output) and item.call_id not in calls:
            raise invalid(f"No tool call found for function call output with call_id {item.call_id}.", "input")
        elif isinstance(item, _Thought):
            if item.encrypted_content is None:
                raise Complaint(_gone(item.id or ""))
            _check_seal(item.encrypted_content)
        items.append(item)
    return items


def _gone(identity: str) -> Any:
    said = f"Item with id '{identity}' not found. Items are not persisted when `store` is set to false."
    return error(404, said, "invalid_request_error", "input")


def _check_seal(seal: str | None) -> None:
    if seal is not None and not seal.startswith(SEAL):
        raise invalid("The encrypted content could not be verified.", None, "invalid_encrypted_content")


def _said(item: Any) -> str:
    if isinstance(item, _Called):
        return item.name + item.arguments
    content: str | list[_Part] = ""
    if isinstance(item, _Message):
        content = item.content
    elif isinstance(item, _Output):
        content = item.output
    return content if isinstance(content, str) else "".join(part.text + part.refusal for part in content)


def _images(item: Any) -> int:
    content = item.content if isinstance(item, _Message) else ""
    return 0 if isinstance(content, str) else sum(part.type == "input_image" for part in content)


def _choice(choice: str | dict[str, Any] | None, tools: list[Tool]) -> str | list[str]:
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    if choice.get("type") != "function":
        return str(choice.get("mode") or "auto")
    name = str(choice.get("name"))
    if name not in {tool.name for tool in tools}:
        raise invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
    return [name]


def _echo(request: ResponsesRequest) -> dict[str, Any]:
    """What the answer repeats, with the API's defaults."""
    format_: Any = msgspec.to_builtins(request.text.format) if request.text else {"type": "text"}
    thinks = request.reasoning or _Reasoning()
    return {
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": thinks.effort, "summary": thinks.summary},
        "safety_identifier": request.safety_identifier,
        "service_tier": request.service_tier or "default",
        "store": request.store is not False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": {name: one for name, one in format_.items() if one is not None}, "verbosity": "medium"},
        "tool_choice": request.tool_choice or "auto",
        "tools": request.tools or [],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": request.truncation or "disabled",
        "user": request.user,
    }
