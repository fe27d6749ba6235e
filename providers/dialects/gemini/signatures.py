"""Thought signatures: opaque tokens that Gemini wants back with what it wrote.

Law: a signature goes to the provider that wrote it and to no other. A `ToolCall`'s is Gemini's by definition. A
`Reasoning`'s might be anybody's, so this dialect marks its own with `gemini:` and sends none without that mark.

From Gemini 3 on, the first call of a model's turn must be signed or the request is refused with 400. For calls that
another model made, the documentation gives a token to put in place; without it, one answer of another provider would
make a conversation unanswerable here. It is written on translated requests, and on answers of other providers
for callers of this dialect, who send it back in a body that then travels untouched.
"""

from __future__ import annotations

from providers.chat import Json

_MARK = "gemini:"
#: "Thought signatures" in the API's documentation. Valid base64, so that SDKs that decode it give it back unchanged.
_FOREIGN = "skip_thought_signature_validator"
#: Models that neither demand signatures nor know `thinkingLevel`.
_OLD_MODELS = ("gemini-1.", "gemini-2.")


def mark(signature: str | None) -> str | None:
    """A signature of the provider's, as `Reasoning` carries it."""
    return signature and _MARK + signature


def unmark(signature: str | None) -> str | None:
    """The provider's own signature; None for anybody else's."""
    return signature.removeprefix(_MARK) if signature and signature.startswith(_MARK) else None


def is_old(model: str) -> bool:
    """Whether a model is older than Gemini 3. Families with other names are taken for new ones."""
    return model.removeprefix("models/").startswith(_OLD_MODELS)


def sign_first_call(parts: list[Json]) -> None:
    """See above; signed calls stay as they are."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", _FOREIGN)
