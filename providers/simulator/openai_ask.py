"""OpenAI's requests: chat completions and embeddings, read and judged as the real API does.

Law: what the real API refuses is refused, with its code and the name of the parameter: unknown parameters (in a strict
provider), wrong types, tool messages that answer no call, calls that nobody answers. Limits: audio parts and files are
accepted and count nothing; the deprecated `functions` are accepted and ignored.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from providers.simulator.config import MOST_DIMENSIONS
from providers.simulator.wire import Complaint, EmbedAsk, Reply
from providers.simulator.writing import Ask, Tool

_FUNCTION_NAME = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class _Part(Struct):
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str = ""
    image_url: dict[str, Any] | None = None


class _CalledFunction(Struct):
    name: str
    arguments: str


class _ToolCall(Struct):
    id: Annotated[str, Meta(max_length=40)]
    function: _CalledFunction | None = None


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None


class _Function(Struct):
    name: _FUNCTION_NAME
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(Struct):
    type: str
    function: _Function | None = None


class _Named(Struct):
    name: str


class _AllowedTools(Struct):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class _Choice(Struct):
    type: str
    function: _Named | None = None
    allowed_tools: _AllowedTools | None = None


class _Schema(Struct):
    name: _FUNCTION_NAME
    schema: dict[str, Any] | None = None


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class ChatRequest(Struct, kw_only=True):
    """The body of a chat completion; every parameter the official SDK knows, typed where we look at it."""

    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    reasoning_effort: str | None = None
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: dict[str, float] | None = None
    metadata: dict[str, str] | None = None
    modalities: list[str] | None = None
    moderation: Any = None
    prediction: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    user: str | None = None
    verbosity: str | None = None
    web_search_options: Any = None


class StrictChatRequest(ChatRequest, kw_only=True, forbid_unknown_fields=True):
    """The same, unknown parameters refused."""


class CompletionRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of the older completions; every parameter the official SDK knows."""

    model: str
    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    best_of: int | None = None
    echo: bool | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    suffix: str | None = None
    user: str | None = None


class EmbeddingsRequest(Struct, kw_only=True):
    """The body of an embeddings request."""

    model: str
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Meta(ge=1, le=MOST_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class StrictEmbeddingsRequest(EmbeddingsRequest, kw_only=True, forbid_unknown_fields=True):
    """The same, unknown parameters refused."""


class OpenAIAsk(Ask, kw_only=True):
    """A chat request with what only OpenAI's answers need."""

    include_usage: bool = False
    logprobs: bool = False
    top_logprobs: int = 0
    completes: bool = False


_chat = msgspec.json.Decoder(ChatRequest)
_strict_chat = msgspec.json.Decoder(StrictChatRequest)
_completion = msgspec.json.Decoder(CompletionRequest)
_embed = msgspec.json.Decoder(EmbeddingsRequest)
_strict_embed = msgspec.json.Decoder(StrictEmbeddingsRequest)
_json = msgspec.json.Encoder()

_MISSING = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def error(status: int, message: str, kind: str, param: str | None = None, code: str | None = None) -> Reply:
    """Write an error body in OpenAI's shape."""
    body = _json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})
    return Reply(status, body)


def invalid(message: str, param: str | None = None, code: str | None = None) -> Complaint:
    """A 400 of the request's own making."""
    return Complaint(error(400, message, "invalid_request_error", param, code))


def chat(body: bytes, *, strict: bool) -> OpenAIAsk:
    """Read a chat completion request; raises Complaint."""
    request: ChatRequest = decoded(_strict_chat if strict else _chat, body)
    _check_turns(request.messages)
    texts = [_text(message) for message in request.messages]
    last = request.messages[-1]
    tools = [Tool(tool.function.name, tool.function.parameters or {}) for tool in request.tools or () if tool.function]
    wanted = request.response_format
    prompt = "\n".join(texts)
    if strict and wanted and wanted.type == "json_object" and "json" not in prompt.lower():
        raise invalid(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )
    if wanted and wanted.type == "json_schema" and wanted.json_schema is None:
        raise invalid(
            "Missing required parameter: 'response_format.json_schema'.",
            "response_format.json_schema",
            "missing_required_parameter",
        )
    return OpenAIAsk(
        model=request.model,
        prompt=prompt,
        last_user=next(
            (t for t, m in zip(reversed(texts), reversed(request.messages), strict=True) if m.role == "user"), ""
        ),
        tool_result=texts[-1] if last.role == "tool" else None,
        images=sum(_images(message) for message in request.messages),
        tools=tools,
        tool_choice=_choice(request.tool_choice, tools),
        parallel=request.parallel_tool_calls is not False,
        json=wanted is not None and wanted.type != "text",
        schema=wanted.json_schema.schema if wanted and wanted.json_schema else None,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop or (),
        n=request.n or 1,
        stream=bool(request.stream),
        thinking=request.reasoning_effort not in (None, "none"),
        seed=request.seed or 0,
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        logprobs=bool(request.logprobs),
        top_logprobs=request.top_logprobs or 0,
    )


def completion(body: bytes) -> OpenAIAsk:
    """Read a request for completions; raises Complaint. Several prompts are read as one."""
    request: CompletionRequest = decoded(_completion, body)
    prompt = request.prompt if isinstance(request.prompt, str) else " ".join(map(str, request.prompt))
    return OpenAIAsk(
        model=request.model,
        prompt=prompt,
        last_user=prompt,
        max_tokens=request.max_tokens or 16,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop or (),
        n=request.n or 1,
        stream=bool(request.stream),
        seed=request.seed or 0,
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        completes=True,
    )


def embeddings(body: bytes, *, strict: bool) -> EmbedAsk:
    """Read an embeddings request; raises Complaint. Token arrays become the text of their numbers."""
    request: EmbeddingsRequest = decoded(_strict_embed if strict else _embed, body)
    given = request.input
    rows: list[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)
    return EmbedAsk(
        model=request.model,
        inputs=[row if isinstance(row, str) else " ".join(map(str, row)) for row in rows],
        dimensions=request.dimensions,
        base64=request.encoding_format == "base64",
    )


def decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """The body, or the API's complaint about it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _judged(str(exc)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise invalid("We could not parse the JSON body of your request.") from exc


def _judged(said: str) -> Complaint:
    at = _PATH.search(said)
    path = at.group(1) if at else ""
    if missing := _MISSING.match(said):
        param = f"{path}.{missing.group(1)}".lstrip(".")
        return invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    if unknown := _UNKNOWN.match(said):
        param = f"{path}.{unknown.group(1)}".lstrip(".")
        return invalid(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
    reason = _PATH.sub("", said)
    if ", got `" in said:
        return invalid(f"Invalid type for '{path}': {reason}.", path or None, "invalid_type")
    return invalid(f"Invalid value for '{path}': {reason}.", path or None, "invalid_value")


def _check_turns(messages: list[_Message]) -> None:
    """Every tool call is answered at once, and every answer has its call."""
    open_calls: set[str] = set()
    for n, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise invalid(
                    f"Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    f"'tool_calls'. (messages[{n}])",
                    f"messages.[{n}].role",
                )
            open_calls.discard(message.tool_call_id)
            continue
        _check_answered(open_calls, n)
        open_calls = {call.id for call in message.tool_calls or ()}
        if message.content is None and message.role in ("system", "developer", "user"):
            raise invalid(
                f"Invalid value for 'content': expected a string, got null. (messages[{n}])", f"messages.[{n}].content"
            )
    _check_answered(open_calls, len(messages))


def _check_answered(open_calls: set[str], n: int) -> None:
    if open_calls:
        raise invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(sorted(open_calls))}",
            f"messages.[{n}].role",
        )


def _text(message: _Message) -> str:
    content = message.content
    said = content if isinstance(content, str) else "".join(part.text for part in content or ())
    calls = "".join(call.function.name + call.function.arguments for call in message.tool_calls or () if call.function)
    return said + calls


def _images(message: _Message) -> int:
    return 0 if isinstance(message.content, str) else sum(part.type == "image_url" for part in message.content or ())


def _choice(choice: str | _Choice | None, tools: list[Tool]) -> str | list[str]:
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    if choice.allowed_tools:
        return choice.allowed_tools.mode
    if choice.function is None:
        return "required"
    if choice.function.name not in {tool.name for tool in tools}:
        raise invalid(
            f"Invalid value for 'tool_choice': no function named '{choice.function.name}' was specified in the 'tools' "
            "parameter.",
            "tool_choice",
        )
    return [choice.function.name]
