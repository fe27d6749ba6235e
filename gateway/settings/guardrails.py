"""Guardrails as they are configured: what prompts and answers must not be, by name.

    guardrails:
      private:  {always: true, pattern: {find: [email, iban], action: redact}}
      short:    {prompt_size: {characters: 20000}}

Law: every one says exactly one thing. One with `always` holds for every request; the others for the routes and keys
that name them. They are applied in the order in which they stand here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.settings.sections import Count, Seconds

#: Of prompts, of answers, or of both.
Side = Literal["request", "response", "both"]
#: What is known by name; `gateway.guardrails.patterns` says how each is found.
Known = Literal["email", "phone", "card", "iban", "api_key", "private_key", "jwt"]
#: Ways of writing that are told apart; `japanese` is kana, which go along with `han`.
Script = Literal[
    "latin",
    "greek",
    "cyrillic",
    "armenian",
    "georgian",
    "hebrew",
    "arabic",
    "devanagari",
    "bengali",
    "tamil",
    "thai",
    "han",
    "japanese",
    "hangul",
]


class Pattern(Struct, frozen=True, kw_only=True):
    """Texts that must not pass: those that `find` names, and your own `regexes` (name → RE2 expression).

    `redact` puts the name in brackets in their place, `block` refuses. In streams a match of an expression of your own
    is found wherever it is cut, up to `longest` characters; so many are held back.
    """

    find: tuple[Known, ...] = ()
    regexes: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")], str] = {}
    action: Literal["block", "redact"] = "block"
    side: Side = "both"
    longest: Annotated[int, Meta(ge=1, le=4096)] = 128


class PromptSize(Struct, frozen=True, kw_only=True):
    """The longest prompt: characters of its texts, or tokens as the gateway estimates them."""

    characters: Count | None = None
    tokens: Count | None = None


class Language(Struct, frozen=True, kw_only=True):
    """The scripts of an answer's words; up to the share `foreign` of its letters may be of others."""

    scripts: Annotated[tuple[Script, ...], Meta(min_length=1)]
    foreign: Annotated[float, Meta(ge=0, le=1)] = 0.1


class OutputSchema(Struct, frozen=True, kw_only=True):
    """The JSON schema that every answer in words must follow. A stream is given whole, when it has ended."""

    schema: dict[str, Any]


class Moderation(Struct, frozen=True, kw_only=True):
    """A model that judges: one of a provider's `/moderations`, or with a `policy` any chat model, asked in words.

    Of `categories`, where they are given, at least one must be flagged. When it cannot be asked, `fail` decides:
    `closed` refuses, `open` lets pass. An answer that streams is given whole, when it has ended.
    """

    model: str
    policy: str | None = None
    side: Side = "request"
    fail: Literal["open", "closed"] = "closed"
    categories: tuple[str, ...] = ()
    timeout: Seconds = 10.0


class Guardrail(Struct, frozen=True, kw_only=True):
    """One of them: exactly one of its kinds. With `always` it holds for every request."""

    always: bool = False
    pattern: Pattern | None = None
    prompt_size: PromptSize | None = None
    language: Language | None = None
    output_schema: OutputSchema | None = None
    moderation: Moderation | None = None

    @property
    def kinds(self) -> list[str]:
        """What it says."""
        return [name for name in self.__struct_fields__ if name != "always" and getattr(self, name) is not None]
