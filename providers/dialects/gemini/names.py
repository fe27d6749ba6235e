"""A caller's body in one spelling, and the fields in it that `Conversation` has no name for.

Google's JSON front end takes every field in camelCase and snake_case, and a lone object where a list belongs (its own
older examples write `"system_instruction": {"parts": {"text": …}}`). This puts both right along the known tree of names
and nowhere else: arguments, schemas and labels are the caller's own and keep their bytes.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from providers.dialects import wire


class Node(Struct):
    """The names of an object; `many` when it stands in a list."""

    names: dict[str, Node | None]
    many: bool = False


def _leaves(*names: str) -> dict[str, Node | None]:
    return dict.fromkeys(names)


def _content(*, many: bool) -> Node:
    media: dict[str, Node | None] = {
        "inlineData": Node(_leaves("mimeType", "data", "displayName")),
        "fileData": Node(_leaves("fileUri", "mimeType", "displayName")),
    }
    part: dict[str, Node | None] = {
        **_leaves("text", "thought", "thoughtSignature"),
        **media,
        "functionCall": Node(_leaves("name", "args", "id")),
        "functionResponse": Node({**_leaves("name", "response", "id"), "parts": Node(media, many=True)}),
    }
    return Node({"role": None, "parts": Node(part, many=True)}, many=many)


_GENERATION = _leaves(
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "candidateCount",
    "stopSequences",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseLogprobs",
    "logprobs",
    "responseModalities",
)
_DECLARATION = Node(
    _leaves("name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema"), many=True
)
_TREE = Node(
    {
        **_leaves("labels", "serviceTier", "model", "store"),
        "contents": _content(many=True),
        "systemInstruction": _content(many=False),
        "generationConfig": Node(
            {
                **_GENERATION,
                "thinkingConfig": Node(_leaves("includeThoughts", "thinkingBudget", "thinkingLevel")),
            }
        ),
        "tools": Node({"functionDeclarations": _DECLARATION, "googleSearch": None}, many=True),
        "toolConfig": Node({"functionCallingConfig": Node(_leaves("mode", "allowedFunctionNames"))}),
    }
)

_OF_VECTORS = _leaves("taskType", "title", "outputDimensionality")
_FURTHER = _leaves("autoTruncate", "documentOcr", "audioTrackExtraction")
_EMBEDDING: dict[str, Node | None] = {
    **_OF_VECTORS,
    "model": None,
    "content": _content(many=False),
    "embedContentConfig": Node({**_OF_VECTORS, **_FURTHER}),
}
#: The names of a request for one vector, and for many.
EMBEDDING = Node(_EMBEDDING)
BATCH_EMBEDDING = Node({"requests": Node(_EMBEDDING, many=True)})

#: What others call differently; a picture and a document may stand in more than one field of a part.
WORDS = {
    **{name: f"generationConfig.{name}" for name in ("temperature", "seed")},
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "n": "generationConfig.candidateCount",
    "stop": "generationConfig.stopSequences",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "presence_penalty": "generationConfig.presencePenalty",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "response_format": "generationConfig.responseSchema",
    "response_format.json_schema": "generationConfig.responseSchema",
    "reasoning_effort": "generationConfig.thinkingConfig.thinkingLevel",
    "effort.enabled": "generationConfig.thinkingConfig.thinkingBudget",
    "effort.budget": "generationConfig.thinkingConfig.thinkingBudget",
    "effort.show": "generationConfig.thinkingConfig.includeThoughts",
    "metadata": "labels",
    "service_tier": "serviceTier",
    "messages.role.system.content": "systemInstruction.parts",
    "messages.content": "contents.parts",
    "messages.role.user.content": "contents.parts",
    "messages.role.assistant.content": "contents.parts",
    "messages.content.image_url": "contents.parts",
    "messages.content.image_url.detail": "generationConfig.mediaResolution",
    "messages.content.file": "contents.parts",
    "messages.content.input_audio": "contents.parts.inlineData",
    "messages.content.input_audio.format": "contents.parts.inlineData.mimeType",
    "messages.tool_calls": "contents.parts.functionCall",
    "messages.tool_calls.arguments": "contents.parts.functionCall.args",
    "messages.tool_call_id": "contents.parts.functionResponse.id",
}

#: The same of a request whose schema is plain JSON Schema.
_PLAIN_SCHEMA = "generationConfig.responseJsonSchema"
PLAIN_WORDS = {**WORDS, "response_format": _PLAIN_SCHEMA, "response_format.json_schema": _PLAIN_SCHEMA}

_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_encoder = msgspec.json.Encoder()
_SNAKE = re.compile(r"_([a-z0-9])")
_NOTHING = (b"null", b"[]")


class Spelled(Struct):
    """The body in camelCase without its strangers, and the strangers by path, each as its bytes."""

    body: bytes
    strangers: dict[str, Raw]


def spelled(body: bytes, tree: Node = _TREE) -> Spelled:
    """Sort out a body with these names. Raises `InvalidRequest` when it is no JSON object."""
    strangers: dict[str, Raw] = {}
    return Spelled(_encoder.encode(_fields(wire.fields(body), tree, "", strangers)), strangers)


def camel(name: str) -> str:
    """A name in camelCase."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)


def _fields(found: dict[str, Raw], node: Node, path: str, strangers: dict[str, Raw]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for written, raw in found.items():
        name = written if written in node.names else camel(written)
        where = f"{path}.{name}" if path else name
        if name not in node.names:
            if bytes(raw) not in _NOTHING:
                strangers.setdefault(where, raw)
            continue
        child = node.names[name]
        kept[name] = raw if child is None else _value(raw, child, where, strangers)
    return kept


def _value(raw: Raw, node: Node, path: str, strangers: dict[str, Raw]) -> object:
    """The object or list in one spelling; anything else as it is, for the typed decoding to complain of."""
    if _starts(raw, b"{"):
        fields = _fields(_object.decode(raw), node, path, strangers)
        return [fields] if node.many else fields
    if node.many and _starts(raw, b"["):
        return [
            _fields(_object.decode(item), node, path, strangers) if _starts(item, b"{") else item
            for item in _list.decode(raw)
        ]
    return raw


def _starts(raw: Raw, mark: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == mark
