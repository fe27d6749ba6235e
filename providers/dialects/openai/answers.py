"""What is read of answers, whole and streamed, and what their numbers mean.

Lenient where compatible servers differ: `id`, `model`, `created`, `usage` and the index of a choice may be missing, a
call's arguments may be an object, thoughts stand in `reasoning_content` or `reasoning`. Strict where a mistake would be
passed on as an answer: `choices` is a list of choices.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from providers.chat import Citation, Usage
from providers.dialects.openai.shapes import ABSENT, NULL, ExtraContent
from providers.errors import Garbled

#: Counts are never negative, and fit what reads JSON numbers as doubles.
Count = Annotated[int, Meta(ge=0, le=2**53)]


class PromptDetails(Struct):
    """Parts of the prompt's tokens."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(Struct):
    """Parts of the answer's tokens."""

    reasoning_tokens: Count | None = None


class Counted(Struct):
    """Tokens as the API counts them."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class TextPart(Struct):
    """A piece of a text that came as a list."""

    text: str


class Called(Struct):
    """The function called; its arguments are JSON text, or the JSON itself."""

    name: str | None = None
    arguments: Raw = ABSENT


class CallPart(Struct):
    """A tool call, or a piece of one in a stream."""

    index: int | None = None
    id: str | None = None
    function: Called | None = None
    extra_content: ExtraContent | None = None


class Source(Struct):
    """A web page, and the characters of the message that it is the source of."""

    url: str = ""
    title: str = ""
    start_index: int = 0
    end_index: int = 0


class Annotation(Struct):
    """Something about a message; sources are all that is read."""

    type: str = ""
    url_citation: Source | None = None


class Said(Struct):
    """A message, or a piece of one in a stream."""

    content: str | list[TextPart] | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    reasoning_content: str | None = None
    #: Text where it is one; some servers put structures here.
    reasoning: Any = None
    annotations: list[Annotation] | None = None


class Option(Struct):
    """One of the choices: a whole answer, or a piece of it."""

    index: int | None = None
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    logprobs: Raw = ABSENT
    #: Of the older completions.
    text: str | None = None


class Answer(Struct):
    """A chat completion, or a chunk of one."""

    choices: list[Option] | UnsetType = UNSET
    id: str | None = None
    model: str | None = None
    created: Annotated[float, Meta(ge=0, le=2**53)] | None = None
    usage: Counted | None = None
    service_tier: str | None = None
    object: str | None = None
    error: Raw = ABSENT


class Seen(Struct):
    """A choice at a glance."""

    finish_reason: str | None = None
    message: SeenMessage | None = None


class SeenMessage(Struct):
    """A message at a glance."""

    refusal: str | None = None


class Glimpse(Struct):
    """A chat completion at a glance."""

    choices: list[Seen] | UnsetType = UNSET
    id: str | None = None
    model: str | None = None
    usage: Counted | None = None
    object: str | None = None
    error: Raw = ABSENT


answer_decoder = msgspec.json.Decoder(Answer)
glimpse_decoder = msgspec.json.Decoder(Glimpse)
_string = msgspec.json.Decoder(str)


def usage(counted: Counted | None) -> Usage:
    """Tokens in the gateway's convention, zeros when the server counted none.

    OpenAI counts reasoning among the completion tokens, xAI beside them, so that its total is the sum of three
    (https://docs.x.ai/docs/key-information/consumption-and-rate-limits). The total tells the two apart.
    """
    if counted is None:
        return Usage()
    prompt = counted.prompt_tokens or 0
    output = counted.completion_tokens or 0
    details = counted.prompt_tokens_details
    reasoning = counted.completion_tokens_details.reasoning_tokens if counted.completion_tokens_details else None
    if reasoning and counted.total_tokens == prompt + output + reasoning:
        output += reasoning
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_tokens=(details and details.cached_tokens) or 0,
        cache_write_tokens=(details and details.cache_write_tokens) or 0,
        reasoning_tokens=reasoning or 0,
    )


def finish(reason: str | None, *, refused: bool) -> str | None:
    """The canonical reason. The API says `stop` when the model refused, and `function_call` for a tool of old."""
    if reason == "function_call":
        return "tool_calls"
    return "refusal" if reason == "stop" and refused else reason


def text(content: str | list[TextPart] | None) -> str:
    """The content as one text."""
    return "".join(part.text for part in content) if isinstance(content, list) else content or ""


def thoughts(said: Said) -> str:
    """The reasoning in clear, in whichever of the two fields it stands."""
    if said.reasoning_content:
        return said.reasoning_content
    return said.reasoning if isinstance(said.reasoning, str) else ""


def citations(said: Said) -> list[Citation]:
    """The sources of a message."""
    found = [note.url_citation for note in said.annotations or () if note.url_citation is not None]
    return [Citation(source.url, source.title, source.start_index, source.end_index) for source in found]


def arguments(called: Called) -> str:
    """The arguments as JSON text, each number as the model wrote it. Raises `Garbled`."""
    raw = bytes(called.arguments)
    if raw == NULL:
        return ""
    try:
        return _string.decode(raw) if raw.startswith(b'"') else _object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise garbled(f"the arguments of a tool call are not text: {exc}") from exc


def _object(raw: bytes) -> str:
    if not raw.startswith(b"{"):
        raise garbled("the arguments of a tool call are neither text nor an object")
    return raw.decode()


def signature(call: CallPart) -> str | None:
    """The token that the server wants back with this call."""
    extension = call.extra_content
    return extension.google.thought_signature if extension and extension.google else None


def logprobs(option: Option) -> Raw | None:
    """The choice's logprobs object, apart from the buffer it came in. Raises `Garbled`."""
    raw = bytes(option.logprobs)
    if raw == NULL:
        return None
    try:
        raw.decode()
    except UnicodeDecodeError as exc:
        raise garbled(f"logprobs are not UTF-8: {exc}") from exc
    return Raw(raw)


def failed(answer: Answer | Glimpse) -> bool:
    """Whether this is an error in the place of an answer, as some servers send it with status 200."""
    return bytes(answer.error) != NULL or answer.object == "error"


def garbled(what: str) -> Garbled:
    """This is not the dialect."""
    return Garbled(f"The provider's answer is not in the openai format: {what}.")
