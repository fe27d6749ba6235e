"""Proofs of thought: opaque tokens that a provider wants back with what its model wrote.

Law: a proof comes home to the provider that wrote it and is shown to no other, whatever format the caller speaks. In a
`Conversation`, and on their way through a caller of another format, proofs say whose they are: `anthropic:…` or
`gemini:…`. Neither provider's own tokens, which are base64, hold a colon. So what is sent back can be told from what
the provider itself wrote, and taken out of bodies that go elsewhere.
"""

from __future__ import annotations

CLAUDE, GEMINI = "anthropic:", "gemini:"
#: Before Gemini's proof of a call, where a format has no place for it but beside the call.
GEMINI_CALL = "gemini-call:"
_FOREIGN = (CLAUDE, GEMINI, GEMINI_CALL)


def proof_in(token: str | None) -> str | None:
    """The proof that a caller sent back; None for anything that does not say whose it is."""
    return token if token is not None and token.startswith((CLAUDE, GEMINI)) else None


def is_labelled(token: str | None) -> bool:
    """Whether this was written for a caller of another format than the provider's."""
    return token is not None and token.startswith(_FOREIGN)
