"""What we read of Gemini's bodies.

Requests are strict: an unknown name fails the fast decoding, and `names` then sorts out what it was (snake_case, a lone
object where a list belongs, or a field we do not know). Fields typed `Raw` are known and without a name in
`Conversation`; they stand here only so that common bodies stay on the fast path. Answers are lenient: a new field of
the provider's breaks nothing. A null is an absent field.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from providers.chat import MOST_STOPS

Ratio = Annotated[float, Meta(ge=0, le=1)]
_ABSENT = Raw(b"null")


class Sent(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of a caller's body."""


class Blob(Sent):
    """Base64 data."""

    mime_type: str
    data: str
    display_name: str | None = None


class FileData(Sent):
    """A file by address."""

    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(Sent):
    """A call the model made."""

    name: str
    args: dict[str, Raw] | None = None
    id: str | None = None


class ResponsePart(Sent):
    """Media in a function's answer."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Sent):
    """What a function answered."""

    name: str
    response: dict[str, Raw] | None = None
    id: str | None = None
    parts: list[ResponsePart] | None = None


class Part(Sent):
    """One part of a content; only one of the payloads is set."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    video_metadata: Raw = _ABSENT
    media_resolution: Raw = _ABSENT
    executable_code: Raw = _ABSENT
    code_execution_result: Raw = _ABSENT


class Content(Sent):
    """One turn."""

    parts: list[Part] | None = None
    role: str | None = None


class FunctionDeclaration(Sent):
    """A function; parameters and result in Google's own schema words, or as plain JSON Schema."""

    name: str
    description: str | None = None
    parameters: Raw = _ABSENT
    parameters_json_schema: Raw = _ABSENT
    response: Raw = _ABSENT
    response_json_schema: Raw = _ABSENT


class Tool(Sent):
    """Functions; the other kinds of tool run at Google."""

    function_declarations: list[FunctionDeclaration] | None = None
    google_search: Raw = _ABSENT
    url_context: Raw = _ABSENT
    code_execution: Raw = _ABSENT


class FunctionCallingConfig(Sent):
    """Which functions may or must be called."""

    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(Sent):
    """The choice among tools."""

    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Raw = _ABSENT


class ThinkingConfig(Sent):
    """How long to think."""

    include_thoughts: bool | None = None
    thinking_budget: Annotated[int, Meta(ge=-1)] | None = None
    thinking_level: str | None = None


class GenerationConfig(Sent):
    """Sampling and the shape of the answer, in the ranges of the API reference."""

    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Ratio | None = None
    top_k: Annotated[float, Meta(ge=0)] | None = None
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | None = None
    #: The API takes five, and the gateway looks for the others.
    stop_sequences: Annotated[list[str], Meta(max_length=MOST_STOPS)] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_mime_type: str | None = None
    response_schema: Raw = _ABSENT
    response_json_schema: Raw = _ABSENT
    response_logprobs: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: Raw = _ABSENT
    response_modalities: list[str] | None = None
    speech_config: Raw = _ABSENT


class Ask(Sent, kw_only=True):
    """The body of `generateContent` and `streamGenerateContent`."""

    contents: list[Content]
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    labels: dict[str, str] | None = None
    service_tier: str | None = None
    model: str | None = None
    safety_settings: Raw = _ABSENT
    cached_content: Raw = _ABSENT
    store: bool | None = None


class Told(Struct, rename="camel"):
    """A part of the provider's answer."""


class ToldCall(Told):
    """A call the model makes."""

    name: str = ""
    args: dict[str, Raw] | None = None
    id: str | None = None


class ToldBlob(Told):
    """Media the model made."""

    mime_type: str | None = None
    data: str = ""


class ToldPart(Told):
    """One part of an answer."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: ToldCall | None = None
    inline_data: ToldBlob | None = None


class ToldContent(Told):
    """The parts of an answer."""

    parts: list[ToldPart] | None = None


class ToldToken(Told):
    """A token and the natural logarithm of its probability."""

    token: str = ""
    log_probability: float | None = None


class ToldTop(Told):
    """The likeliest tokens of one step."""

    candidates: list[ToldToken] | None = None


class ToldLogprobs(Told):
    """One entry per step."""

    chosen_candidates: list[ToldToken] | None = None
    top_candidates: list[ToldTop] | None = None


class ToldSource(Told):
    """A page, and the bytes of the text, in UTF-8, that it is the source of."""

    uri: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class ToldSources(Told):
    """The sources of an alternative; Vertex has the other name."""

    citation_sources: list[ToldSource] | None = None
    citations: list[ToldSource] | None = None


class ToldPage(Told):
    """A page that a search found."""

    uri: str | None = None
    title: str | None = None


class ToldFinding(Told):
    """What a search found; of a kind that is no page there is nothing to tell."""

    web: ToldPage | None = None


class ToldSegment(Told):
    """A stretch of the text, in bytes of UTF-8."""

    start_index: int | None = None
    end_index: int | None = None


class ToldSupport(Told):
    """Which findings a stretch of the text rests on, by their numbers."""

    segment: ToldSegment | None = None
    grounding_chunk_indices: list[int] | None = None


class ToldGrounding(Told):
    """What a search found, and what of it the text rests on."""

    grounding_chunks: list[ToldFinding] | None = None
    grounding_supports: list[ToldSupport] | None = None


class ToldCandidate(Told):
    """One alternative answer; an index of 0 may be left out."""

    content: ToldContent | None = None
    finish_reason: str | None = None
    index: int | None = None
    logprobs_result: ToldLogprobs | None = None
    citation_metadata: ToldSources | None = None
    grounding_metadata: ToldGrounding | None = None


class Feedback(Told):
    """Why a prompt was blocked."""

    block_reason: str | None = None


class ToldUsage(Told):
    """Token counts. The prompt's includes cached tokens; thoughts are counted apart from the candidates."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None


class Answer(Told):
    """A whole answer, or one chunk of a stream: they are the same thing."""

    candidates: list[ToldCandidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: ToldUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Raw = _ABSENT


class GlancedPart(Told):
    """Enough of a part to know a call."""

    function_call: Raw = _ABSENT


class GlancedContent(Told):
    """The parts, glanced at."""

    parts: list[GlancedPart] | None = None


class GlancedCandidate(Told):
    """The end of an alternative."""

    content: GlancedContent | None = None
    finish_reason: str | None = None


class GlancedAnswer(Told):
    """An answer that is passed on untouched."""

    candidates: list[GlancedCandidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: ToldUsage | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Raw = _ABSENT


def present(raw: Raw) -> bool:
    """Whether a field is there and not null."""
    return bytes(raw) != b"null"
