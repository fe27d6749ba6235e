"""Everything of a caller's body but its turns → fields of the `Conversation`.

`VALIDATED` promises calls that follow their schemas, which is what `strict` means elsewhere. `allowedFunctionNames` is
carried with the two modes that the API takes it with. A schema of the
answer is carried without `strict`: where that exists it makes demands on the schema that Google does not make.

The schema of what a function returns, which the official SDK sends for every Python function, goes where every model
reads it: to the end of the function's description.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw

from providers.chat import Conversation, Effort, Json, ResponseFormat, Tool, ToolChoice
from providers.dialects.gemini.schema import json_schema
from providers.dialects.gemini.wire import Ask, FunctionDeclaration, GenerationConfig, ThinkingConfig, present
from providers.searching import WebSearch

_encoder = msgspec.json.Encoder()
_object = msgspec.json.Decoder(Json)
_TIERS = {"standard": "default", "unspecified": None}
_SEARCH = "tools.googleSearch"
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "AUTO": "auto",
    "ANY": "required",
    "NONE": "none",
    "VALIDATED": "auto",
}


def settings(ask: Ask, said: Conversation) -> None:
    """Fill in the fields; what has no equivalent joins `extra`."""
    said.metadata = ask.labels
    said.store = ask.store
    if ask.service_tier is not None:
        tier = ask.service_tier.lower()
        said.service_tier = _TIERS.get(tier, tier)
    for tool in ask.tools or ():
        said.tools += [_tool(declared, said) for declared in tool.function_declarations or ()]
        if present(tool.google_search):
            _search(tool.google_search, said)
    _choice(ask, said)
    if ask.generation_config:
        _sampling(ask.generation_config, said)
        _shape(ask.generation_config, said)
        if ask.generation_config.thinking_config:
            said.effort = _effort(ask.generation_config.thinking_config)


def _search(wanted: Raw, said: Conversation) -> None:
    if bytes(wanted).replace(b" ", b"") == b"{}":
        said.search = WebSearch(_SEARCH)
    else:
        said.extra[_SEARCH] = wanted


def _tool(declared: FunctionDeclaration, said: Conversation) -> Tool:
    parameters = _schema_of(declared.parameters_json_schema, declared.parameters, "parameters", said)
    description = declared.description
    if returned := _schema_of(declared.response_json_schema, declared.response, "response", said):
        told = f"Returns JSON of this schema: {_encoder.encode(returned).decode()}"
        description = f"{description}\n\n{told}" if description else told
    return Tool(declared.name, description, parameters)


def _schema_of(plain: Raw, googles: Raw, name: str, said: Conversation) -> Json | None:
    """A schema that a function has in one of two forms."""
    try:
        if present(plain):
            return _object.decode(plain)
        if present(googles):
            return json_schema(_object.decode(googles))
    except (msgspec.ValidationError, RecursionError):
        said.extra[f"tools.functionDeclarations.{name}"] = plain if present(plain) else googles
    return None


def _choice(ask: Ask, said: Conversation) -> None:
    config = ask.tool_config.function_calling_config if ask.tool_config else None
    if config is None or config.mode in (None, "MODE_UNSPECIFIED"):
        return
    mode = _MODES.get(config.mode)
    if mode is None:
        said.extra["toolConfig.functionCallingConfig.mode"] = Raw(_encoder.encode(config.mode))
        return
    if config.mode == "VALIDATED":
        for tool in said.tools:
            tool.strict = True
    allowed = config.allowed_function_names or []
    if config.mode == "ANY" and len(allowed) == 1:
        said.tool_choice = ToolChoice("named", allowed[0])
        return
    some = allowed if set(allowed) != {tool.name for tool in said.tools} else []
    if some and config.mode not in ("ANY", "VALIDATED"):
        said.extra["toolConfig.functionCallingConfig.allowedFunctionNames"] = Raw(_encoder.encode(some))
        some = []
    said.tool_choice = ToolChoice(mode, allowed=some)


def _sampling(config: GenerationConfig, said: Conversation) -> None:
    said.max_tokens = config.max_output_tokens
    said.temperature = config.temperature
    said.top_p = config.top_p
    said.stop = config.stop_sequences or []
    said.seed = config.seed
    said.frequency_penalty = config.frequency_penalty
    said.presence_penalty = config.presence_penalty
    said.n = config.candidate_count or 1
    said.logprobs = bool(config.response_logprobs)
    said.top_logprobs = config.logprobs
    if config.top_k is not None and config.top_k.is_integer():
        said.top_k = int(config.top_k)
    elif config.top_k is not None:
        said.extra["generationConfig.topK"] = Raw(_encoder.encode(config.top_k))
    if config.response_modalities and config.response_modalities != ["TEXT"]:
        said.extra["generationConfig.responseModalities"] = Raw(_encoder.encode(config.response_modalities))


def _shape(config: GenerationConfig, said: Conversation) -> None:
    is_plain = present(config.response_json_schema)
    name = "generationConfig.responseJsonSchema" if is_plain else "generationConfig.responseSchema"
    schema: Json | None = None
    try:
        if is_plain:
            schema = _object.decode(config.response_json_schema)
        elif present(config.response_schema):
            schema = json_schema(_object.decode(config.response_schema))
    except (msgspec.ValidationError, RecursionError):
        said.extra[name] = config.response_json_schema if is_plain else config.response_schema
    if config.response_mime_type == "application/json":
        shaped = schema is not None
        said.response_format = ResponseFormat(
            "json_schema" if shaped else "json_object", schema=schema, any_json=not shaped
        )
        return
    if config.response_mime_type not in (None, "", "text/plain"):
        said.extra["generationConfig.responseMimeType"] = Raw(_encoder.encode(config.response_mime_type))
    if schema is not None:
        said.extra[name] = Raw(_encoder.encode(schema))


def _effort(config: ThinkingConfig) -> Effort:
    level = config.thinking_level.lower() if config.thinking_level else None
    return Effort(
        level=None if level == "thinking_level_unspecified" else level,
        budget=config.thinking_budget if config.thinking_budget and config.thinking_budget > 0 else None,
        enabled=config.thinking_budget != 0,
        show=config.include_thoughts,
    )
