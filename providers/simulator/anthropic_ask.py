"""Anthropic's requests: messages and token counts, read and judged as the real API does.

Law: what the real API refuses is refused: a missing `anthropic-version`, unknown fields, a text block of nothing or of
white space, odd names of tools, a `tool_use` without its `tool_result` in the next message and the reverse, a thinking
block whose signature is not ours, an instruction amid the conversation that does not stand between a user's message and
an answer.
Models are known by their names, as far as those are Anthropic's: from Opus 4.1 on a `temperature` is refused beside a
`top_p`, from 4.7 on sampling at anything but its defaults and budgets of thinking are.
Two API versions are spoken. 2026-10-21, which the official SDK 2 sends, no longer takes `temperature`, `top_p`, `top_k`
(not even at their defaults), document blocks of the assistant, or citations on text of the user
(https://platform.claude.com/docs/en/api/migration-2026-10-21); 2023-06-01 still does.
Limits: documents and server tools are accepted and count nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from providers.simulator.wire import Complaint, Reply
from providers.simulator.writing import SIGNATURE, Ask, Tool, sign

OLD_VERSION = "2023-06-01"
NEW_VERSION = "2026-10-21"


class _Block(Struct):
    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[dict[str, Any]] | None = None
    thinking: str | None = None
    signature: str | None = None
    cache_control: dict[str, Any] | None = None
    citations: Any = None


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(Struct):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any] | None = None
    type: str | None = None
    cache_control: dict[str, Any] | None = None


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Thinking(Struct):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class _Format(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _OutputConfig(Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


class CountRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a token count; every parameter the official SDK knows, typed where we look at it."""

    model: str
    messages: list[_Message]
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    cache_control: dict[str, Any] | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class MessagesRequest(CountRequest, kw_only=True, forbid_unknown_fields=True):
    """The body of a message request."""

    max_tokens: Annotated[int, Meta(ge=1)]
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: dict[str, Any] | None = None
    container: Any = None
    diagnostics: Any = None
    inference_geo: str | None = None
    service_tier: Literal["auto", "standard_only"] | None = None


_messages = msgspec.json.Decoder(MessagesRequest)
_count = msgspec.json.Decoder(CountRequest)
_json = msgspec.json.Encoder()

#: The words in `system` for which the answer is JSON.
_JSON = "one JSON "
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
#: Named by family and generation, which the captures are: `claude-opus-4-7`; a date may stand for the second number.
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:-(\d)\b)?")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def error(status: int, kind: str, message: str) -> Reply:
    """Write an error body in Anthropic's shape."""
    body = _json.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_simulated"})
    return Reply(status, body)


def invalid(message: str) -> Complaint:
    """A 400 of the request's own making."""
    return Complaint(error(400, "invalid_request_error", message))


def messages(body: bytes, headers: Mapping[bytes, bytes], *, count: bool) -> Ask:
    """Read a message request, or one that only wants its tokens counted; raises Complaint."""
    version = headers.get(b"anthropic-version", b"").decode("latin-1")
    if not version:
        raise invalid("anthropic-version: header is required")
    if version not in (OLD_VERSION, NEW_VERSION):
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    request = _decode(_count if count else _messages, body)
    _check_turns(request.messages)
    if version == NEW_VERSION:
        _check_new_version(request)
    _check_model(request)
    tools = [Tool(tool.name, tool.input_schema or {}) for tool in request.tools or () if tool.input_schema is not None]
    system = request.system
    texts = [] if system is None else [system if isinstance(system, str) else "".join(b.text or "" for b in system)]
    texts += [_text(message) for message in request.messages]
    last = request.messages[-1]
    ask = Ask(
        model=request.model,
        prompt="\n".join(texts),
        last_user=_last_user(request.messages),
        tool_result=_results(last),
        images=sum(block.type == "image" for message in request.messages for block in _blocks(message)),
        tools=tools,
        tool_choice=_choice(request.tool_choice, tools),
        parallel=not (request.tool_choice and request.tool_choice.disable_parallel_tool_use),
        cacheable=_cacheable(request),
    )
    if request.output_config and request.output_config.format:
        ask.json, ask.schema = True, request.output_config.format.schema
    elif system is not None and _JSON in texts[0]:
        # There is no JSON mode: told so in words, a model obeys, as likely as not in a code fence.
        ask.json = ask.fenced = True
    if isinstance(request, MessagesRequest):
        _add_options(ask, request)
    return ask


def _check_model(request: CountRequest) -> None:
    """Refuse what a model of this name refuses."""
    named = _CLAUDE.search(request.model)
    if named is None:
        return
    generation = (int(named[1]), int(named[2] or 0))
    thinking = request.thinking
    if generation >= (4, 7) and thinking and thinking.type == "enabled":
        raise invalid(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if not isinstance(request, MessagesRequest):
        return
    if generation >= (4, 7):
        for name, default in (("temperature", 1), ("top_p", 1), ("top_k", None)):
            if getattr(request, name) not in (None, default):
                raise invalid(f"`{name}` is deprecated for this model.")
    if thinking and thinking.type in ("enabled", "adaptive"):
        _check_thinking_alone(request)
    if (4, 1) <= generation < (4, 7) and request.temperature is not None and request.top_p is not None:
        raise invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _check_thinking_alone(request: MessagesRequest) -> None:
    """Refuse sampling that no Claude takes while it thinks."""
    if request.temperature not in (None, 1):
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if request.top_p is not None and request.top_p < 0.95:
        raise invalid("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
    if request.top_k is not None:
        raise invalid("`top_k` must be unset when thinking is enabled.")


def _check_new_version(request: CountRequest) -> None:
    """Refuse what the API version of October 2026 took away."""
    if isinstance(request, MessagesRequest):
        for name in ("temperature", "top_p", "top_k"):
            if getattr(request, name) is not None:
                raise invalid(f"{name}: Extra inputs are not permitted")
    for n, message in enumerate(request.messages):
        for at, block in enumerate(_blocks(message)):
            if message.role == "assistant" and block.type == "document":
                raise invalid(f"messages.{n}.content.{at}: document blocks are not permitted in assistant messages")
            if message.role == "user" and block.type == "text" and block.citations:
                raise invalid(f"messages.{n}.content.{at}.citations: Extra inputs are not permitted")


def _add_options(ask: Ask, request: MessagesRequest) -> None:
    ask.max_tokens = request.max_tokens
    ask.stop = request.stop_sequences or ()
    ask.stream = bool(request.stream)
    if thinking := request.thinking:
        ask.thinking = thinking.type in ("enabled", "adaptive")
        ask.show_thinking = thinking.display != "omitted"
        if thinking.type == "enabled" and thinking.budget_tokens is None:
            raise invalid("thinking.enabled.budget_tokens: Field required")
        if thinking.budget_tokens is not None and thinking.budget_tokens >= request.max_tokens:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if ask.thinking and ask.tool_choice not in ("auto", "none"):
            raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> CountRequest:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        said = str(exc)
        at = _PATH.search(said)
        path = re.sub(r"\[(\d+)\]", r".\1", at.group(1)) if at else ""
        if missing := _MISSING.match(said):
            raise invalid(f"{path}.{missing.group(1)}: Field required".lstrip(".")) from exc
        if unknown := _UNKNOWN.match(said):
            raise invalid(f"{path}.{unknown.group(1)}: Extra inputs are not permitted".lstrip(".")) from exc
        raise invalid(f"{path}: {_PATH.sub('', said)}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise invalid("The request body is not valid JSON.") from exc


def _blocks(message: _Message) -> list[_Block]:
    return [] if isinstance(message.content, str) else message.content


def _check_turns(turns: list[_Message]) -> None:
    """Messages are not empty, and tool calls and results pair up between neighbours."""
    if not turns:
        raise invalid("messages: at least one message is required")
    asked: set[str] = set()
    around = ["", *(message.role for message in turns), "assistant"]
    for n, message in enumerate(turns):
        if message.role == "system" and (around[n] != "user" or around[n + 2] != "assistant"):
            raise invalid(
                f"messages.{n}: the role `system` must follow a user message and precede an assistant message"
            )
        blocks = _blocks(message)
        for at, block in enumerate(blocks):
            _check_block(block, f"messages.{n}.content.{at}", asked)
        answered = {block.tool_use_id for block in blocks if block.type == "tool_result"}
        _check_answered(asked - answered, n - 1)
        asked = {block.id or "" for block in blocks if block.type == "tool_use"}
        if message.content == "" or (not blocks and not isinstance(message.content, str)):
            raise invalid(f"messages.{n}: all messages must have non-empty content except for the optional final one")
    _check_answered(asked, len(turns) - 1)


def _check_answered(missing: set[str], n: int) -> None:
    if missing:
        raise invalid(
            f"messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def _check_block(block: _Block, path: str, asked: set[str]) -> None:
    match block.type:
        case "text" if not (block.text or "").strip():
            must = "contain non-whitespace text" if block.text else "be non-empty"
            raise invalid(f"{path}: text content blocks must {must}")
        case "tool_result" if block.tool_use_id not in asked:
            raise invalid(f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {block.tool_use_id}")
        case "tool_use" if not block.id or not block.name or block.input is None:
            raise invalid(f"{path}.tool_use: id, name and input are required")
        case "thinking" if not _signed(block):
            raise invalid(f"{path}: Invalid `signature` in `thinking` block")
        case _:
            pass


def _signed(block: _Block) -> bool:
    signature = block.signature or ""
    return signature == sign(block.thinking) if block.thinking else signature.startswith(SIGNATURE)


def _result_text(block: _Block) -> str:
    content = block.content
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content or ())


def _text(message: _Message) -> str:
    if isinstance(message.content, str):
        return message.content
    said: list[str] = []
    for block in message.content:
        said.append(block.text or block.thinking or _result_text(block))
        if block.type == "tool_use":
            said.append((block.name or "") + _json.encode(block.input).decode())
    return "".join(said)


def _last_user(turns: list[_Message]) -> str:
    """The last user message that holds words of the user's own, and not only tool results."""
    for message in reversed(turns):
        if message.role == "user":
            own = (
                message.content if isinstance(message.content, str) else "".join(b.text or "" for b in message.content)
            )
            if own:
                return own
    return ""


def _results(last: _Message) -> str | None:
    results = [_result_text(block) for block in _blocks(last) if block.type == "tool_result"]
    return " ".join(results) if results else None


def _choice(choice: _Choice | None, tools: list[Tool]) -> str | list[str]:
    if choice is None or choice.type != "tool":
        return {"any": "required", "none": "none"}.get(choice.type if choice else "", "auto")
    if choice.name not in {tool.name for tool in tools}:
        raise invalid(f"tool_choice: Tool '{choice.name}' not found in provided tools")
    return [choice.name]


def _cacheable(request: CountRequest) -> bool:
    """Anthropic caches what it is told to cache, and nothing else."""
    system = request.system if isinstance(request.system, list) else []
    marked = [*system, *(request.tools or ()), *(block for message in request.messages for block in _blocks(message))]
    return request.cache_control is not None or any(block.cache_control for block in marked)
