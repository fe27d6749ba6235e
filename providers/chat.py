"""A chat request and its answer, in no provider's dialect.

Law: bytes stay bytes as long as they can. A `ChatRequest` is a typed view of the few fields the gateway reads, beside
the caller's untouched body; only when the chosen provider speaks another dialect is it unfolded into a `Conversation`,
which names every field that can be carried across. What cannot be named lands in `Conversation.extra`, so that a
translation can refuse it instead of losing it.

Token counts follow one convention everywhere: `input_tokens` includes cached and cache-writing tokens,
`output_tokens` includes reasoning tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import Raw, Struct, field

from providers.searching import WebSearch

#: Stop sequences of one request. The longest list a provider documents is five; each is looked for in every piece of an
#: answer where the gateway enforces it. Doubled: nobody asks for so many; halved: still six times what providers take.
MOST_STOPS = 64
Role = Literal["system", "user", "assistant"]
Json = dict[str, Any]


class Text(Struct, tag=True):
    """Plain text. `cache_control` is the caller's prompt-cache marker, kept where the provider has such markers."""

    text: str
    cache_control: Json | None = None


class Image(Struct, tag=True):
    """A picture by URL, or as base64 `data` with its `media_type`; exactly one of `url` and `data` is set."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache_control: Json | None = None


class Audio(Struct, tag=True):
    """Sound as base64 `data`; `format` is `wav`, `mp3` …."""

    data: str
    format: str


class Document(Struct, tag=True):
    """A file as base64 `data` with its `media_type`, by URL, or by the provider's own `file_id`."""

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    filename: str | None = None
    cache_control: Json | None = None


class Reasoning(Struct, tag=True):
    """What the model thought. `signature` proves it to the provider that wrote it; `redacted` is its opaque form."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class RefusalText(Struct, tag=True):
    """The model's own words of refusal."""

    text: str


class ToolCall(Struct, tag=True):
    """A call the model asks for; `arguments` is JSON text, exactly as the model wrote it.

    `signature` is an opaque token that some providers want back with the call (Gemini's thought signature).
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None


class ToolResult(Struct, tag=True):
    """What the caller's tool answered to the call `id`; `name` is filled from the call when the dialect has none."""

    id: str
    parts: list[Text | Image | Document]
    name: str | None = None
    is_error: bool = False
    cache_control: Json | None = None


Part = Text | Image | Audio | Document | Reasoning | RefusalText | ToolCall | ToolResult


class Turn(Struct):
    """One message. Tool results stand in user turns; developer messages are system turns."""

    role: Role
    parts: list[Part]
    name: str | None = None


class Tool(Struct):
    """A function the model may call; `parameters` is its JSON schema."""

    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    cache_control: Json | None = None


class ToolChoice(Struct):
    """Which tool must be called: `named` names it. `allowed` are the only ones that may be, when not all of them."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    allowed: list[str] = []


class ResponseFormat(Struct):
    """The shape the answer must have. With `any_json` a `json_object` may be any other JSON as well."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    any_json: bool = False


class Effort(Struct):
    """How long to think: in words (`minimal` … `xhigh`), in tokens, or switched off by `enabled=False`.

    `show` asks for the thoughts, or their summary, to be part of the answer; with `show_if_any`, where there are any to
    be had.
    """

    level: str | None = None
    budget: int | None = None
    enabled: bool = True
    show: bool | None = None
    show_if_any: bool = False


class Conversation(Struct):
    """Everything a chat request says that can be said in more than one dialect."""

    turns: list[Turn]
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: ResponseFormat | None = None
    n: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    effort: Effort | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    #: Whether the provider keeps the exchange for whoever asked: among stored completions, or in a project's logs.
    store: bool | None = None
    #: A hint at which of the provider's prompt caches to look in, for those that have several.
    cache_key: str | None = None
    search: WebSearch | None = None
    #: Fields of the caller's dialect that have no name here: field name → its JSON, to be refused or dropped aloud.
    extra: dict[str, Raw] = {}


class ChatRequest(Struct):
    """What the gateway reads of a request, beside the untouched `body`.

    `input_tokens` is an estimate (a quarter of the prompt's bytes): the path never tokenises. `needs` names the
    capabilities a model must have: `tools`, `vision`, `audio`, `documents`, `json_schema`, `reasoning`.
    `include_usage` says whether a streaming caller wants the usage event that the gateway always asks for.
    """

    dialect: str
    body: bytes
    model: str
    unfold: Callable[[], Conversation]
    stream: bool = False
    include_usage: bool = True
    input_tokens: int = 0
    max_tokens: int | None = None
    temperature: float | None = None
    n: int = 1
    stop: list[str] = []
    needs: frozenset[str] = frozenset()
    user: str | None = None
    metadata: Json | None = None
    #: Caller's headers that belong to the dialect (`anthropic-beta` …) and go along on same-dialect calls.
    headers: tuple[tuple[str, str], ...] = ()
    #: What cannot be expressed is named in OpenAI's words: these → the caller's, where its dialect has other ones.
    words: Mapping[str, str] = {}
    _conversation: Conversation | None = None

    def named(self, lost: Iterable[str]) -> tuple[str, ...]:
        """Fields that were lost, each once, under the names that the caller gave them."""
        return tuple(dict.fromkeys(self.words.get(name, name) for name in lost))

    def conversation(self) -> Conversation:
        """The request unfolded; made once, on the first call that needs another dialect."""
        if self._conversation is None:
            self._conversation = self.unfold()
        return self._conversation


class Usage(Struct):
    """Tokens of one answer. Cached and cache-writing tokens are part of the input, reasoning of the output.

    `cache_write_hour_tokens` are those of the cache-writing ones that are kept for an hour, where that has its price.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_hour_tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        """The tokens of both."""
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


def total(usages: Iterable[Usage]) -> Usage:
    """All of these tokens."""
    given = list(usages)
    return Usage(*(sum(getattr(one, name) for one in given) for name in Usage.__struct_fields__))


class Citation(Struct):
    """A source of an answer, and what it is the source of: characters `start` to `end` of the choice's text."""

    url: str
    title: str = ""
    start: int = 0
    end: int = 0


class Choice(Struct):
    """One alternative answer.

    `finish_reason` is `stop`, `length`, `tool_calls`, `content_filter` or `refusal`; a dialect's own further reasons
    (`pause_turn` …) travel on as they are: a finish reason is never laundered.
    """

    parts: list[Part]
    finish_reason: str | None = None
    stop_sequence: str | None = None
    #: OpenAI's logprobs object, carried as it came.
    logprobs: Raw | None = None
    citations: list[Citation] = []


class ChatReply(Struct):
    """A complete answer; `created` is in Unix seconds."""

    id: str
    model: str
    choices: list[Choice]
    usage: Usage
    created: int = 0
    service_tier: str | None = None


class Glance(Struct):
    """The little the gateway must know of an answer it passes on untouched."""

    id: str
    model: str
    usage: Usage
    finish_reason: str | None


class Begin(Struct):
    """A stream opens. Not content: failing over is still possible."""

    id: str
    model: str
    created: int = 0
    service_tier: str | None = None


class TextDelta(Struct):
    """More text of choice `choice`."""

    text: str
    choice: int = 0
    logprobs: Raw | None = None


class ReasoningDelta(Struct):
    """More thinking; `signature` and `redacted` as in `Reasoning`, each complete in one event."""

    text: str = ""
    choice: int = 0
    signature: str | None = None
    redacted: str | None = None


class RefusalDelta(Struct):
    """More of the model's words of refusal."""

    text: str
    choice: int = 0


class ToolCallDelta(Struct):
    """More of the `index`-th call of a choice; `id` and `name` come with its first event only."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    choice: int = 0
    signature: str | None = None


class ImageDelta(Struct):
    """A picture that the model made, whole."""

    image: Image
    choice: int = 0


class Cited(Struct):
    """Sources of choice `choice`, by their place in all of its text."""

    citations: list[Citation]
    choice: int = 0


class Finish(Struct):
    """A choice is complete."""

    reason: str
    choice: int = 0
    stop_sequence: str | None = None


class UsageReport(Struct):
    """The tokens of the stream so far; the last one counts. Not content."""

    usage: Usage


ChatChunk = (
    Begin | TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta | ImageDelta | Cited | Finish | UsageReport
)
#: Events after which the caller has seen part of an answer, so that another provider can no longer take over.
CONTENT = (TextDelta, ReasoningDelta, RefusalDelta, ToolCallDelta, ImageDelta, Finish)


class EmbeddingRequest(Struct):
    """Texts (or lists of token ids) to embed, beside the untouched `body`."""

    dialect: str
    body: bytes
    model: str
    inputs: list[str] | list[list[int]]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    input_tokens: int = 0
    user: str | None = None
    extra: dict[str, Raw] = field(default_factory=dict[str, Raw])
    #: Where the body asks for vectors of what is no single text, or of unlike lengths: for its own format alone.
    unlike: tuple[str, ...] = ()


class EmbeddingReply(Struct):
    """One vector per input, in order."""

    model: str
    vectors: list[list[float]]
    usage: Usage
