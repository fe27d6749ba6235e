"""Thought signatures: opaque tokens that Gemini wants back with what it wrote.

Law: a signature goes to the provider that wrote it and to no other. A `ToolCall`'s is Gemini's by definition. A
`Reasoning`'s might be anybody's, so this dialect marks its own with `gemini:` and sends none without that mark.

From Gemini 3 on, the first call of a model's turn must be signed or the request is refused with 400. For calls that
another model made, the documentation gives a token to put in place; without it, one answer of another provider would
make a conversation unanswerable here. It is written on translated requests, and on answers of other providers
for callers of this dialect, who send it back in a body that then travels untouched.

Claude's proofs travel through callers of this dialect as signatures, too, and are taken out of what goes to Google.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

import msgspec
from msgspec import Raw

from providers.chat import Json, Reasoning
from providers.dialects import wire
from providers.dialects.proofs import CLAUDE
from providers.dialects.proofs import GEMINI as _MARK

_HIDDEN = "anthropic-redacted:"
#: How Claude's proofs begin in this dialect, where a signature must be base64: the bytes of `anthropic`.
_CLAUDES = b"YW50aHJvcGlj"
_LOOKS_FOREIGN = b'"' + _CLAUDES
_NAMES = ("thoughtSignature", "thought_signature")
_turns = msgspec.json.Decoder(list[dict[str, Raw]])
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


def signature_of(thought: Reasoning) -> str | None:
    """What stands for a thought's proof in this dialect: Gemini's own, or Claude's in base64, as the SDKs want it."""
    if thought.redacted is not None:
        return b64encode((_HIDDEN + thought.redacted).encode()).decode()
    if thought.signature and thought.signature.startswith(CLAUDE):
        return b64encode(thought.signature.encode()).decode()
    return unmark(thought.signature)


def thought_of(text: str, signature: str | None) -> Reasoning:
    """A thought with the proof that a caller sent back, whoever wrote it."""
    if signature and signature.startswith(_CLAUDES.decode()):
        try:
            # SDKs write the bytes back in the alphabet for URLs.
            told = b64decode(signature.replace("-", "+").replace("_", "/"), validate=True).decode()
        except (binascii.Error, ValueError):
            return Reasoning(text, mark(signature))
        if told.startswith(CLAUDE):
            return Reasoning(text, told)
        if told.startswith(_HIDDEN):
            return Reasoning(redacted=told.removeprefix(_HIDDEN))
    return Reasoning(text, mark(signature))


def own_only(body: bytes) -> Raw | None:
    """The contents of a caller's body without Claude's proofs; None when there are none. Everything else stays."""
    if _LOOKS_FOREIGN not in body:
        return None
    contents = wire.fields(body).get("contents", Raw(b""))
    if not bytes(contents).startswith(b"[") or _LOOKS_FOREIGN not in bytes(contents):
        return None
    return Raw(msgspec.json.encode([_own_turn(turn) for turn in _turns.decode(contents)]))


def _own_turn(turn: dict[str, Raw]) -> dict[str, object]:
    if not bytes(turn.get("parts", b"")).startswith(b"["):
        return dict(turn)
    parts: list[dict[str, Raw]] = []
    for part in _turns.decode(turn["parts"]):
        own = {
            name: raw for name, raw in part.items() if name not in _NAMES or not bytes(raw).startswith(_LOOKS_FOREIGN)
        }
        if own == part or set(own) - {"text", "thought"} or bytes(own.get("text", b'""')) != b'""':
            parts.append(own)
    return {**turn, "parts": parts}


def is_old(model: str) -> bool:
    """Whether a model is older than Gemini 3. Families with other names are taken for new ones."""
    return model.removeprefix("models/").startswith(_OLD_MODELS)


def sign_first_call(parts: list[Json]) -> None:
    """See above; signed calls stay as they are."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", _FOREIGN)
