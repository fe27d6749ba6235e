"""Which texts of an answer are the answer's words, and which of them come in pieces: what differs between formats."""

from __future__ import annotations

from gateway.guardrails.spots import Box, Spot

_GEMINI = ("candidates", "content", "parts", "text")
#: Where words stand in a whole answer, by the caller's format.
_WHOLE = {
    "openai": {
        ("choices", "message", "content"),
        ("choices", "message", "content", "text"),
        ("choices", "text"),
        ("text",),
    },
    "anthropic": {("content", "text")},
    "gemini": {_GEMINI},
    "responses": {("output", "content", "text")},
    "native": {("choices", "parts", "text")},
}
#: The same in the events of a stream.
_STREAMED = {
    "openai": {("choices", "delta", "content"), ("choices", "text"), ("delta",)},
    "anthropic": {("delta", "text")},
    "gemini": {_GEMINI},
    "responses": {("delta",)},
    "native": {("text",)},
}
#: What comes in pieces, beside all that is within a `delta`.
_PIECEMEAL = {
    "openai": {("choices", "text")},
    "gemini": {_GEMINI},
    "native": {("text",), ("reasoning",), ("refusal",), ("tool_call", "arguments")},
}
_LISTS = frozenset({"choices", "candidates"})
#: Of a piece, what says of which text it is one.
_PARTS = ("index", "output_index", "content_index", "summary_index", "thought")
_CALLS = frozenset({"tool_calls", "tool_call", "function_call", "functionCall", "input", "arguments", "partial_json"})
_FRAGMENTS = frozenset({"arguments", "partial_json"})


def is_piece(spot: Spot, form: str) -> bool:
    """It is a piece of a text that goes on in the next event."""
    return not spot.is_number and ("delta" in spot.keys or spot.keys in _PIECEMEAL.get(form, ()))


def is_fragment(spot: Spot) -> bool:
    """It is a piece of JSON text: the arguments of a call."""
    return spot.keys[-1] in _FRAGMENTS or "arguments" in _kind(spot)


def is_answer(spot: Spot, form: str, *, streamed: bool) -> bool:
    """It is what the model says, and neither thought nor call."""
    if spot.is_number or spot.keys not in (_STREAMED if streamed else _WHOLE).get(form, ()):
        return False
    if spot.box.facts.get("thought") == "true":
        return False
    kind = _kind(spot)
    if form == "responses" and streamed:
        return kind == "response.output_text.delta"
    return form != "native" or streamed or spot.box.facts.get("type") == "Text"


def is_call(spot: Spot) -> bool:
    """It is of a call that the model wants made."""
    return not _CALLS.isdisjoint(spot.keys) or (
        spot.keys[:2] == ("choices", "parts") and spot.box.facts.get("type") == "ToolCall"
    )


def lane(spot: Spot) -> str:
    """Of which of several answers it is a part."""
    if not spot.keys or spot.keys[0] not in _LISTS:
        return ""
    top = [box for box in spot.boxes() if not box.is_list]
    return lane_of(top[-2] if len(top) > 1 else top[-1])


def lane_of(choice: Box) -> str:
    """The same of the choice itself."""
    return choice.facts.get("index", str(choice.place))


def channel(spot: Spot) -> tuple[object, ...]:
    """Of which text it is a piece."""
    facts = tuple(box.facts.get(name) for box in spot.boxes() if box.facts for name in _PARTS)
    return (spot.keys, lane(spot), _kind(spot), facts)


def _kind(spot: Spot) -> str:
    *_, root = spot.boxes()
    return root.facts.get("type", "")
