"""A caller's body → `ChatRequest`.

Law: validation says what the API would say, before a provider is asked: types, ranges of the API reference, empty
contents, unknown roles. A name we do not know is no error: the body may travel on to Google as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from providers.chat import ChatRequest, Conversation
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.gemini import media
from providers.dialects.gemini.names import PLAIN_WORDS, WORDS, spelled
from providers.dialects.gemini.unfold import ROLES, unfold
from providers.dialects.gemini.wire import Ask, Content, GenerationConfig, Part, present

_decoder = msgspec.json.Decoder(Ask)
_NEEDS = {"image": "vision", "video": "vision", "audio": "audio"}
_DEFAULTS = GenerationConfig()


def parse_call(body: bytes, model: str, *, stream: bool) -> ChatRequest:
    """The typed view of a call whose `model` and `stream` the path has told. Raises `InvalidRequest`.

    The path is `/v1beta/models/{model}:generateContent` or `:streamGenerateContent`; `models/` before the name is
    taken off.
    """
    ask = _read(body)
    if not ask.contents:
        raise InvalidRequest("'contents' must hold at least one content.", param="contents", code="invalid_value")
    config = ask.generation_config or _DEFAULTS
    found = _Found()
    for index, content in enumerate(ask.contents):
        found.look(content, index)

    def conversation() -> Conversation:
        return unfold(ask, spelled(body).strangers)

    return ChatRequest(
        dialect="gemini",
        body=body,
        model=model.removeprefix("models/"),
        unfold=conversation,
        stream=stream,
        input_tokens=(len(body) - found.media) // 4,
        max_tokens=config.max_output_tokens,
        temperature=config.temperature,
        n=config.candidate_count or 1,
        stop=config.stop_sequences or [],
        needs=frozenset((*found.needs, *_needs(ask, config))),
        metadata=dict(ask.labels) if ask.labels else None,
        words=PLAIN_WORDS if present(config.response_json_schema) else WORDS,
    )


def _read(body: bytes) -> Ask:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        # Another spelling, a field we do not know, or an error, which is then told in the one spelling.
        return wire.read_request(_decoder, spelled(body).body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return wire.read_request(_decoder, body)


def _needs(ask: Ask, config: GenerationConfig) -> Iterator[str]:
    if ask.tools and any(tool.function_declarations for tool in ask.tools):
        yield "tools"
    if present(config.response_json_schema) or present(config.response_schema):
        yield "json_schema"
    thinking = config.thinking_config
    if thinking and (thinking.thinking_level is not None or thinking.thinking_budget):
        yield "reasoning"


class _Found:
    """What the contents hold: the capabilities they need, and how many bytes of them are media."""

    def __init__(self) -> None:
        self.needs: set[str] = set()
        self.media = 0

    def look(self, content: Content, index: int) -> None:
        """Check one content and take it in."""
        where = f"contents[{index}]"
        if content.role is not None and content.role not in ROLES:
            message = f"Unknown role '{content.role[:50]}' at '{where}.role': use 'user' or 'model'."
            raise InvalidRequest(message, param=f"{where}.role", code="invalid_value")
        if not content.parts:
            message = f"'{where}.parts' must hold at least one part."
            raise InvalidRequest(message, param=f"{where}.parts", code="invalid_value")
        for part in content.parts:
            self._part(part)

    def _part(self, part: Part) -> None:
        if part.inline_data is not None:
            self._media(part.inline_data.mime_type, part.inline_data.data)
        elif part.file_data is not None:
            self._media(part.file_data.mime_type or media.of_url(part.file_data.file_uri) or "", "")
        elif part.function_response is not None:
            for inner in part.function_response.parts or ():
                self._part(Part(inline_data=inner.inline_data, file_data=inner.file_data))

    def _media(self, media_type: str, data: str) -> None:
        self.needs.add(_NEEDS.get(media_type.partition("/")[0], "documents"))
        self.media += len(data)
