"""What proves thoughts to Anthropic, which wants them back with the calls that follow from them.

Law: a proof goes to the provider that wrote it and to no other. It might be anybody's, so this dialect marks its own
with `anthropic:`, as `gemini.signatures` does, and sends none without that mark.
"""

from __future__ import annotations

from providers.dialects.proofs import CLAUDE as _MARK


def mark(proof: str | None) -> str | None:
    """A signature or redacted thoughts of the provider's, as `Reasoning` carries them."""
    return proof and _MARK + proof


def bare(proof: str) -> str:
    """As a caller of this dialect sees it: the provider's own without its mark, anybody else's as it came."""
    return proof.removeprefix(_MARK)


def unmark(proof: str | None) -> str | None:
    """The provider's own; None for anybody else's."""
    return proof.removeprefix(_MARK) if proof and proof.startswith(_MARK) else None
