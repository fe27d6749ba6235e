"""Gemini's requests: generateContent, countTokens and embeddings, read and judged as the real API does.

Law: unknown names are refused with Google's sentence, function responses must match the calls before them in number,
and a refusal is `INVALID_ARGUMENT`. Names may be written in camelCase or snake_case, as in all of Google's JSON; the
official SDK mixes both. Limits: files by reference are accepted and count nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from providers.simulator.config import MOST_DIMENSIONS
from providers.simulator.wire import Complaint, EmbedAsk, Operation, Reply
from providers.simulator.writing import Ask, Tool


class _Named(Struct):
    name: str
    args: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    id: str | None = None


class _Part(Struct, rename="camel"):
    text: str | None = None
    inline_data: dict[str, Any] | None = None
    function_call: _Named | None = None
    function_response: _Named | None = None


class _Content(Struct):
    parts: list[_Part] = []
    role: Literal["user", "model", "function", "system"] | None = None


class _Function(Struct, rename="camel"):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$")]
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class _Tool(Struct, rename="camel"):
    function_declarations: list[_Function] | None = None


class _Calling(Struct, rename="camel"):
    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: list[str] | None = None


class _ToolConfig(Struct, rename="camel"):
    function_calling_config: _Calling | None = None


class _Thinking(Struct, rename="camel", forbid_unknown_fields=True):
    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _Generation(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    thinking_config: _Thinking | None = None
    seed: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_modalities: list[str] | None = None
    media_resolution: str | None = None
    speech_config: Any = None
    image_config: Any = None
    enable_enhanced_civic_answers: bool | None = None
    audio_transcription_config: Any = None
    generation_output_config: Any = None


class GenerateRequest(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """The body of generateContent and streamGenerateContent."""

    contents: list[_Content]
    system_instruction: _Content | None = None
    generation_config: _Generation = _Generation()
    tools: list[_Tool] | None = None
    tool_config: _ToolConfig | None = None
    safety_settings: list[dict[str, Any]] | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    model: str | None = None


class _CountRequest(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    contents: list[_Content] | None = None
    generate_content_request: GenerateRequest | None = None


class _Embed(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    content: _Content
    model: str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: Annotated[int, Meta(ge=1, le=MOST_DIMENSIONS)] | None = None
    embed_content_config: dict[str, Any] | None = None


class _EmbedBatch(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    requests: Annotated[list[_Embed], Meta(min_length=1, max_length=100)]


_generate = msgspec.json.Decoder(GenerateRequest)
_count = msgspec.json.Decoder(_CountRequest)
_embed = msgspec.json.Decoder(_Embed)
_batch = msgspec.json.Decoder(_EmbedBatch)
_any = msgspec.json.Decoder()
_json = msgspec.json.Encoder()

_SNAKE = re.compile(rb'"[a-z]+_[a-z_]+"\s*:')
#: Free-form objects, whose keys are nobody's business.
_CALLERS_OWN = frozenset(
    ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels")
)

_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def error(status: int, code: str, message: str, details: list[dict[str, Any]] | None = None) -> Reply:
    """Write an error body in Google's shape."""
    said: dict[str, Any] = {"code": status, "message": message, "status": code}
    return Reply(status, _json.encode({"error": said | ({"details": details} if details else {})}))


def invalid(message: str, field: str | None = None) -> Complaint:
    """A 400 of the request's own making."""
    violation = {"description": message} | ({"field": field} if field else {})
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return Complaint(error(400, "INVALID_ARGUMENT", message, [detail]))


def generate(body: bytes, operation: Operation) -> Ask:
    """Read a request to generate; raises Complaint."""
    request: GenerateRequest = _decode(_generate, body)
    return _asked(request, operation)


def count(body: bytes, operation: Operation) -> Ask:
    """Read a request to count tokens, of contents or of a whole request; raises Complaint."""
    request: _CountRequest = _decode(_count, body)
    inner = request.generate_content_request or GenerateRequest(contents=request.contents or [])
    return _asked(inner, operation)


def embeddings(body: bytes, operation: Operation) -> EmbedAsk:
    """Read one or many texts to embed; raises Complaint."""
    batch = operation.variant == "batch"
    rows: list[_Embed] = _decode(_batch, body).requests if batch else [_decode(_embed, body)]
    return EmbedAsk(
        model=operation.model or "",
        inputs=["".join(part.text or "" for part in row.content.parts) for row in rows],
        dimensions=rows[0].output_dimensionality,
        batch=batch,
    )


def _asked(request: GenerateRequest, operation: Operation) -> Ask:
    _check_turns(request.contents)
    wanted = request.generation_config
    declared = [function for tool in request.tools or () for function in tool.function_declarations or ()]
    tools = [Tool(f.name, f.parameters_json_schema or f.parameters or {}) for f in declared]
    system = [request.system_instruction] if request.system_instruction else []
    schema = wanted.response_json_schema if wanted.response_json_schema is not None else wanted.response_schema
    if schema is not None and wanted.response_mime_type != "application/json":
        raise invalid("response_schema is only supported when response_mime_type is application/json")
    thinking = wanted.thinking_config
    return Ask(
        model=operation.model or "",
        prompt="\n".join(_text(content) for content in (*system, *request.contents)),
        last_user=_last_user(request.contents),
        tool_result=_results(request.contents[-1]),
        images=sum(part.inline_data is not None for content in request.contents for part in content.parts),
        tools=tools,
        tool_choice=_choice(request.tool_config, tools),
        json=wanted.response_mime_type == "application/json",
        schema=schema,
        max_tokens=wanted.max_output_tokens,
        stop=wanted.stop_sequences or (),
        n=wanted.candidate_count or 1,
        stream=operation.stream,
        thinking=thinking is not None and thinking.thinking_budget != 0,
        show_thinking=thinking is not None and thinking.include_thoughts,
        seed=wanted.seed or 0,
    )


def _camel(value: Any) -> Any:
    """Rename snake_case keys, except inside what belongs to the caller."""
    if isinstance(value, list):
        return [_camel(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, Any] = {}
    for key, inner in cast("dict[str, Any]", value).items():
        head, *rest = key.split("_")
        name = head + "".join(part.capitalize() for part in rest)
        renamed[name] = inner if name in _CALLERS_OWN else _camel(inner)
    return renamed


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        if _SNAKE.search(body):
            return msgspec.convert(_camel(_any.decode(body)), decoder.type)
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        said = str(exc)
        at = _PATH.search(said)
        path = at.group(1) if at else ""
        if unknown := _UNKNOWN.match(said):
            where = f" at '{path}'" if path else ""
            name = unknown.group(1)
            raise invalid(
                f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.', path
            ) from exc
        raise invalid(f"Invalid value at '{path}': {_PATH.sub('', said)}", path) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise invalid("Invalid JSON payload received.") from exc


def _check_turns(contents: list[_Content]) -> None:
    if not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified", "contents")
    called = 0
    for n, content in enumerate(contents):
        if not content.parts:
            raise invalid(
                f"* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty.", "contents"
            )
        answered = sum(part.function_response is not None for part in content.parts)
        if answered != called:
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        called = sum(part.function_call is not None for part in content.parts)


def _text(content: _Content) -> str:
    said: list[str] = []
    for part in content.parts:
        named = part.function_call or part.function_response
        said.append(part.text or "")
        if named:
            said.append(named.name + _json.encode(named.args or named.response or {}).decode())
    return "".join(said)


def _last_user(contents: list[_Content]) -> str:
    for content in reversed(contents):
        if content.role in (None, "user") and (own := "".join(part.text or "" for part in content.parts)):
            return own
    return ""


def _results(last: _Content) -> str | None:
    results = [part.function_response for part in last.parts if part.function_response]
    return " ".join(_json.encode(result.response or {}).decode() for result in results) if results else None


def _choice(config: _ToolConfig | None, tools: list[Tool]) -> str | list[str]:
    calling = config.function_calling_config if config else None
    if calling is None or calling.mode not in ("ANY", "NONE"):
        return "auto"
    if calling.mode == "NONE":
        return "none"
    names = calling.allowed_function_names or []
    if unknown := [name for name in names if name not in {tool.name for tool in tools}]:
        raise invalid(f"allowed_function_names holds a name that was not declared: {unknown[0]}")
    return names or "required"
