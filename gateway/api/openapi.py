"""The LLM surfaces in the OpenAPI document: they are bare ASGI handlers, so Litestar cannot describe them itself.

Bodies of OpenAI's, Anthropic's and Gemini's formats are described by the fields the gateway reads; further fields are
passed on.
"""

from dataclasses import dataclass, fields
from inspect import getdoc
from typing import Any

import msgspec
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)

from gateway.api import openapi_absent, openapi_trust, openapi_workflows
from gateway.api.answers import (
    administration,
    artifacts,
    audit,
    catalog,
    dwa,
    executions,
    feedback,
    health,
    keys,
    mcp,
    models,
    records,
    replay,
    responses,
    schedules,
    sessions,
    spend,
    workflows,
)
from gateway.api.answers.beside import ENDPOINTS
from gateway.api.answers.formats import (
    CHAT_COMPLETION,
    EMBEDDED,
    EMBEDDED_MANY,
    EMBEDDINGS,
    GENERATED,
    GENERATED_PIECES,
    MESSAGE,
    MESSAGE_TOKENS,
    TOTAL_TOKENS,
)
from gateway.api.answers.orchestrate import OrchestrateAnswer
from gateway.api.orchestrate import OrchestrateRequest

_JSON, _EVENTS = "application/json", "text/event-stream"
_WHOLE = (_JSON,)
_ERRORS = {
    "400": "The request is not valid; `error.param` names the field.",
    "401": "The API key is missing or not valid.",
    "404": "There is no such model.",
    "408": "The deadline passed.",
    "413": "The body is too large, or the request alone beyond a limit of its caller.",
    "429": "A limit of the caller is reached, or every provider asks for fewer requests; see `Retry-After`.",
    "502": "Every provider answered with rubbish.",
    "503": "No provider is healthy; `error.attempts` lists what was tried.",
    "504": "Every provider timed out.",
}
_MESSAGES: dict[str, Any] = {"type": "array", "minItems": 1, "items": {"type": "object"}}
_CHAT: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "description": "A model, `provider/model`, a route, or `auto`."},
        "messages": _MESSAGES,
        "stream": {"type": "boolean", "default": False},
        "max_tokens": {"type": "integer", "minimum": 1},
        "temperature": {"type": "number"},
        "tools": {"type": "array", "items": {"type": "object"}},
        "response_format": {"type": "object"},
    },
    "additionalProperties": True,
}
_ANTHROPIC: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages", "max_tokens"],
    "properties": {
        "model": _CHAT["properties"]["model"],
        "messages": _MESSAGES,
        "max_tokens": {"type": "integer", "minimum": 1},
        "system": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
        "stream": {"type": "boolean", "default": False},
        "tools": {"type": "array", "items": {"type": "object"}},
    },
    "additionalProperties": True,
}
_ANTHROPIC_COUNT: dict[str, Any] = {**_ANTHROPIC, "required": ["model", "messages"]}
_GEMINI: dict[str, Any] = {
    "type": "object",
    "required": ["contents"],
    "properties": {
        "contents": _MESSAGES,
        "systemInstruction": {"type": "object"},
        "generationConfig": {"type": "object"},
        "tools": {"type": "array", "items": {"type": "object"}},
        "toolConfig": {"type": "object"},
        "safetySettings": {"type": "array", "items": {"type": "object"}},
    },
    "additionalProperties": True,
}
_GEMINI_COUNT: dict[str, Any] = {
    "type": "object",
    "description": "Either `contents`, or a whole request.",
    "properties": {"contents": _MESSAGES, "generateContentRequest": _GEMINI},
    "additionalProperties": True,
}
_EMBEDDING: dict[str, Any] = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": {"type": "string"},
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
        "dimensions": {"type": "integer", "minimum": 1},
        "encoding_format": {"enum": ["float", "base64"]},
    },
    "additionalProperties": True,
}
_GEMINI_EMBEDDING: dict[str, Any] = {
    "type": "object",
    "required": ["content"],
    "properties": {
        "content": {"type": "object"},
        "outputDimensionality": {"type": "integer", "minimum": 1},
        "taskType": {"type": "string"},
        "title": {"type": "string"},
    },
    "additionalProperties": True,
}
_GEMINI_EMBEDDINGS: dict[str, Any] = {
    "type": "object",
    "required": ["requests"],
    "properties": {"requests": {"type": "array", "minItems": 1, "items": _GEMINI_EMBEDDING}},
    "additionalProperties": True,
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "source": {"enum": ["caller", "policy", "gateway", "provider"]},
            },
        },
        "request_id": {"type": "string"},
    },
}


_ANTHROPIC_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"const": "error"},
        "error": {"type": "object", "properties": {"type": {"type": "string"}, "message": {"type": "string"}}},
        "request_id": {"type": "string"},
    },
}
_GOOGLE_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
#: What a POST to an address answers with beyond what Litestar knows of.
_FURTHER = {
    "/api/llm/dwa/simulate": {
        "404": "Nothing that can be replayed is recorded in the period.",
        "408": "The deadline passed before the replay had ended.",
        "429": "A replay is being worked out already; see `Retry-After`.",
        "503": "The database is not available right now.",
    },
    "/api/schedules": {
        "404": "There is no such workflow.",
        "422": "The line, the time zone or the inputs mean nothing; `error.problems` lists all that is wrong.",
        "503": "The database is not available right now.",
    },
    "/api/schedules/{schedule_id}/run-now": {
        "404": "There is no such schedule, or it is not yours.",
        "422": "The workflow takes these inputs no more; `error.problems` lists all that is wrong.",
        "503": "The database is not available right now.",
    },
    "/api/spend/budgets/reset": {
        "404": "There is no such key, tag or provider, or it has no budget.",
        "503": "The database is not available right now.",
    },
    "/api/feedback": {
        "404": "There is no such request, or it is not yours.",
        "409": "No deployment answered the request.",
        "503": "The database is not available right now.",
    },
    "/api/mcp-tools/{server}/{tool}": {
        "404": "There is no such server or tool.",
        "422": "The input does not follow the tool's schema; `error.problems` lists all that is wrong.",
        "502": "The server answered with an error of the protocol instead of running the tool.",
        "503": "The server is not there right now; see `Retry-After`.",
        "504": "The tool took longer than the server's `timeout`.",
    },
}
#: And a GET.
_FURTHER_GET = {
    "/api/spend": {"503": "The database is not available right now."},
    "/api/spend/budgets": {"503": "The database is not available right now."},
    "/api/mcp-servers/{server}/tools": {
        "403": "The key has not the scope `use`, or may not use this server.",
        "404": "There is no such server.",
        "503": "The server is not there right now; see `Retry-After`.",
    },
}
_VERBS = ("get", "post", "put", "patch", "delete")
_PUBLIC = ("/health", "/openapi.json")
_ANSWERS = (
    administration,
    artifacts,
    audit,
    catalog,
    dwa,
    executions,
    feedback,
    health,
    keys,
    mcp,
    models,
    records,
    replay,
    responses,
    schedules,
    sessions,
    spend,
    workflows,
)


@dataclass
class Document(OpenAPI):
    """The document, described whole when it is first asked for: that takes longer than the rest of an application."""

    def to_schema(self) -> dict[str, Any]:
        """The document as JSON's values; Litestar keeps them for its page."""
        if not self._described:
            self._described = True
            _describe(self)
        return super().to_schema()

    def __post_init__(self) -> None:
        """Nothing is described yet."""
        self._described = False


@dataclass
class Config(OpenAPIConfig):
    """What makes such a document."""

    def to_openapi_schema(self) -> Document:
        """The document, to which Litestar adds its paths."""
        made = super().to_openapi_schema()
        return Document(**{field.name: getattr(made, field.name) for field in fields(made)})


def _describe(document: OpenAPI) -> None:
    """Add the LLM surfaces to the document, and to every other operation the errors it answers with."""
    (request, answer), components = msgspec.json.schema_components(
        [OrchestrateRequest, OrchestrateAnswer], ref_template="#/components/schemas/{name}"
    )
    known: dict[str, Any] = document.components.schemas
    _tell_meanings(known)
    known.update(components)
    known["GatewayError"] = _ERROR
    known["AnthropicError"] = _ANTHROPIC_ERROR
    known["GoogleError"] = _GOOGLE_ERROR
    paths = document.paths if document.paths is not None else {}
    for path, item in paths.items():
        for verb in _VERBS:
            operation: Operation | None = getattr(item, verb)
            if operation is not None:
                told = {"post": _FURTHER, "get": _FURTHER_GET}.get(verb, {})
                further = dict(told.get(path, {}))
                for module in (openapi_workflows, openapi_trust, openapi_absent):
                    further |= module.further(verb, path)
                error = "GoogleError" if path.startswith("/v1beta/") else "GatewayError"
                _tell_errors(operation, error, public=path.startswith(_PUBLIC), further=further)
    openapi_workflows.describe(paths, known)
    spent: Any = paths["/api/spend"].get
    spent.responses["200"].content["text/csv"] = _media({"type": "string"})
    paths["/v1/chat/completions"] = _path("OpenAI", "Create a chat completion", _CHAT, CHAT_COMPLETION)
    paths["/v1/embeddings"] = _path("OpenAI", "Create embeddings", _EMBEDDING, EMBEDDINGS, kinds=_WHOLE)
    paths["/v1/messages"] = _path("Anthropic", "Create a message", _ANTHROPIC, MESSAGE, error="AnthropicError")
    for path, endpoint in ENDPOINTS.items():
        made = _path("OpenAI", endpoint.summary, endpoint.body, endpoint.answer, endpoint.form, endpoint.kinds)
        paths[path] = made
    paths["/api/llm/orchestrate"] = _path("Routing", "Ask, and learn who answered and why", request, answer)
    paths["/v1/messages/count_tokens"] = _path(
        "Anthropic", "Count a message's tokens", _ANTHROPIC_COUNT, MESSAGE_TOKENS, kinds=_WHOLE, error="AnthropicError"
    )
    paths.update(_of_gemini())
    document.paths = paths


def _of_gemini() -> dict[str, PathItem]:
    """Gemini's addresses, whose model stands in the path, and with it a provider's name if it has one."""
    said = {
        "generateContent": _path("Gemini", "Generate content", _GEMINI, GENERATED, kinds=_WHOLE, error="GoogleError"),
        "streamGenerateContent": _path("Gemini", "Stream content", _GEMINI, GENERATED_PIECES, error="GoogleError"),
        "countTokens": _path(
            "Gemini", "Count a prompt's tokens", _GEMINI_COUNT, TOTAL_TOKENS, kinds=_WHOLE, error="GoogleError"
        ),
        "embedContent": _path(
            "Gemini", "Embed content", _GEMINI_EMBEDDING, EMBEDDED, kinds=_WHOLE, error="GoogleError"
        ),
        "batchEmbedContents": _path(
            "Gemini", "Embed contents", _GEMINI_EMBEDDINGS, EMBEDDED_MANY, kinds=_WHOLE, error="GoogleError"
        ),
    }
    model = Parameter("model", "path", schema=Schema(type=OpenAPIType.STRING), required=True)
    for item in said.values():
        assert item.post is not None
        item.post.parameters = [model]
    form = Parameter("alt", "query", schema=Schema(enum=["sse", "json"], default="json"))
    streaming = said["streamGenerateContent"].post
    assert streaming is not None
    streaming.parameters = [model, form]
    return {f"/v1beta/models/{{model}}:{verb}": item for verb, item in said.items()}


def _tell_meanings(known: dict[str, Any]) -> None:
    """Litestar leaves out what the answers' docstrings say, units above all."""
    for module in _ANSWERS:
        for name in vars(module).keys() & known.keys():
            known[name].description = getdoc(vars(module)[name])


def _tell_errors(operation: Operation, error: str, *, public: bool, further: dict[str, str]) -> None:
    """Litestar documents its own error shape, which the exception handlers replace by ours."""
    responses = operation.responses if operation.responses is not None else {}
    failures = {status for status in responses if status.startswith(("4", "5"))} - {"503"}
    for status in failures if public else failures | {"401", "403"}:
        text = _ERRORS.get(status, "This key may not do that.")
        responses[status] = OpenAPIResponse(text, content=_error(error))
    for status, text in further.items():
        responses[status] = OpenAPIResponse(text, content=_error(error))
    operation.responses = responses


def _error(name: str) -> dict[str, OpenAPIMediaType]:
    return {"application/json": _media({"$ref": f"#/components/schemas/{name}"})}


def _path(
    tag: str,
    summary: str,
    body: Any,
    answer: Any,
    form: str = _JSON,
    kinds: tuple[str, ...] = (_JSON, _EVENTS),
    *,
    error: str = "GatewayError",
) -> PathItem:
    content = {kind: _media({"type": "string"} if kind.startswith("text/") else answer) for kind in kinds}
    responses: dict[str, OpenAPIResponse | Reference] = {"200": OpenAPIResponse("The answer.", content=content)}
    responses.update((status, OpenAPIResponse(text, content=_error(error))) for status, text in _ERRORS.items())
    operation = Operation(
        tags=[tag],
        summary=summary,
        operation_id=summary.title().replace(" ", "").replace(",", "").replace("'", ""),
        request_body=RequestBody(content={form: _media(body)}, required=True),
        responses=responses,
    )
    return PathItem(post=operation)


def _media(schema: Any) -> OpenAPIMediaType:
    """Litestar writes a plain mapping out as it is, though its type asks for a Schema."""
    plain: Schema = schema
    return OpenAPIMediaType(schema=plain)
