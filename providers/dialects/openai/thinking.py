"""What a stream thinks, as its pieces come: in clear, and with the proofs that a caller sends back."""

from __future__ import annotations

from providers.chat import Json, Reasoning, ReasoningDelta
from providers.dialects import proofs
from providers.dialects.openai.reply import rendered_proof


class Thinking:
    """A proof goes out once, with all that it proves: callers need not put pieces together."""

    def __init__(self) -> None:
        """Nothing thought yet."""
        #: What each choice thought since its last proof.
        self._thoughts: dict[int, list[str]] = {}

    def proof(self, chunk: ReasoningDelta) -> Json | None:
        """The entry of `reasoning_details` that a piece of thought completes, if it does."""
        thoughts = self._thoughts.setdefault(chunk.choice, [])
        if chunk.text:
            thoughts.append(chunk.text)
        # Gemini's stands with its own text or, without any, for the answer's.
        is_own = chunk.signature is not None and chunk.signature.startswith(proofs.GEMINI)
        proven = chunk.text if is_own else "".join(thoughts)
        detail = rendered_proof(Reasoning(proven, chunk.signature, chunk.redacted))
        if detail is not None:
            thoughts.clear()
        return detail
