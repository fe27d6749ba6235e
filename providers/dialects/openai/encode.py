"""`ChatRequest` → the call of `/chat/completions`.

Law: a request that is already in this dialect keeps its bytes, but for the model's name, `stream_options`, where the
gateway always asks for usage, and the proofs of other providers' thoughts that we rendered in this dialect (`reply`):
they are no field of the API, and no other provider's business. Its `max_tokens` stays as the caller spelled it: which
of the two names a server knows is the caller's to say there, and the profile's default must not break what was right.

Servers that would ignore `parallel_tool_calls` (`Profile`) are held to it on the way back (`providers.single`), whoever
asks: to keep the bytes of an answer that calls several tools would be to lose the field without a word.

A request in another dialect is written anew, out of its conversation (`turns`, `options`).
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from providers.chat import ChatRequest, Json
from providers.dialect import Call, Fit, Inexpressible, Limits, Target
from providers.dialects import limits, proofs, wire
from providers.dialects.openai.options import MAX_STOPS, choice_of, options, tool_of
from providers.dialects.openai.shapes import details
from providers.dialects.openai.turns import Lost, messages

PATH = "/chat/completions"
COMPLETIONS_PATH = "/completions"
_MOST_CHOICES = 128
_encoder = msgspec.json.Encoder()
#: A label (`proofs`) at the beginning of a string; only a body that holds one anywhere is looked into.
_LABELS = tuple(f'"{label}'.encode() for label in (proofs.CLAUDE, proofs.GEMINI))
#: Looked for in the bytes first: most requests do not say it.
_ONE_CALL = b"parallel_tool_calls"
_turns = msgspec.json.Decoder(list[dict[str, Raw]])
_raws = msgspec.json.Decoder(list[Raw])
_options = msgspec.json.Decoder(dict[str, Raw] | None)


def encode(request: ChatRequest, target: Target, *, drop: bool) -> Call:
    """The call to make. Raises `Inexpressible` unless `drop`."""
    if request.dialect == "openai":
        return Call(PATH, _own(request, target), request.headers, first_call_only=_one_call(request, target))
    lost: Lost = []
    body = _translated(request, target, lost)
    dropped = request.named(lost)
    if dropped and not drop:
        raise Inexpressible(dropped, "openai")
    return Call(PATH, _encoder.encode(body), dropped=dropped, first_call_only=_one_call(request, target))


def _one_call(request: ChatRequest, target: Target) -> bool:
    """The caller wants one tool call at a time, and the server would not hear of it."""
    if target.profile.parallel_tool_calls:
        return False
    if request.dialect != "openai":
        return request.conversation().parallel_tool_calls is False
    return _ONE_CALL in request.body and bytes(wire.fields(request.body).get(_ONE_CALL.decode(), b"")) == b"false"


def limits_of(target: Target) -> Limits:
    """What the API reference allows: 128 answers, four stop sequences."""
    return limits.limits(target, _MOST_CHOICES, MAX_STOPS, shapes=target.profile.json_schema, own_shapes=True)


def refit(body: bytes, changes: Fit) -> bytes:
    """A chat completion's body with these changes."""
    found: dict[str, object] = dict(wire.fields(body))
    if changes.n is not None:
        found["n"] = changes.n
    if changes.stop is not None:
        found["stop"] = changes.stop
        if not changes.stop:
            del found["stop"]
    if changes.tools is not None and changes.choice is not None:
        found.pop("response_format", None)
        given = wire.fields(body).get("tools", Raw(b"null"))
        if tools := [*(_raws.decode(given) if bytes(given) != b"null" else []), *map(tool_of, changes.tools)]:
            found["tools"], found["tool_choice"] = tools, choice_of(changes.choice)
    return _encoder.encode(found)


def encode_completion(request: ChatRequest, target: Target) -> Call:
    """The call of `/completions`, for a request to that endpoint and a server that has it."""
    return Call(COMPLETIONS_PATH, _own(request, target))


def _own(request: ChatRequest, target: Target) -> bytes:
    changes: dict[str, object] = {}
    if target.upstream != request.model:
        changes["model"] = target.upstream
    if request.stream and target.profile.stream_usage and not request.include_usage:
        given = wire.fields(request.body).get("stream_options", Raw(b"null"))
        changes["stream_options"] = {**(_options.decode(given) or {}), "include_usage": True}
    if _labelled(request.body):
        changes["messages"] = [_unproven(message) for message in _turns.decode(wire.fields(request.body)["messages"])]
    return wire.edit(request.body, changes) if changes else request.body


def _labelled(body: bytes) -> bool:
    return any(label in body for label in _LABELS)


def _unproven(message: dict[str, Raw]) -> dict[str, object]:
    """The message without other providers' proofs, everything else in its own bytes."""
    kept: dict[str, object] = dict(message)
    told = message.get("reasoning_details", Raw(b"null"))
    if _labelled(bytes(told)) and (read := details(told)):
        pairs = zip(_raws.decode(told), read, strict=True)
        own = [raw for raw, one in pairs if not (proofs.is_labelled(one.signature) or proofs.is_labelled(one.data))]
        del kept["reasoning_details"]
        if own:
            kept["reasoning_details"] = own
    if _labelled(calls := bytes(message.get("tool_calls", b""))):
        kept["tool_calls"] = [
            {name: raw for name, raw in call.items() if name != "extra_content" or not _labelled(bytes(raw))}
            for call in _turns.decode(calls)
        ]
    return kept


def _translated(request: ChatRequest, target: Target, lost: Lost) -> Json:
    said = request.conversation()
    profile = target.profile
    system = "developer" if profile.developer_role else "system"
    body: Json = {"model": target.upstream, "messages": messages(said.turns, system, lost)}
    body |= options(said, profile, lost)
    if request.stream:
        body["stream"] = True
        if profile.stream_usage:
            body["stream_options"] = {"include_usage": True}
    return body
