"""`ChatRequest` → the call of `/v1/messages`.

Law: a request that is already in this dialect keeps its bytes, but for the model's name and for thinking blocks that
Claude did not sign: with an empty signature, or one that says whose it is (`proofs`).
Those were written by another provider's model and rendered by us in this dialect (`reply`, `emit`);
the API refuses a conversation that holds one, so that without this a single failover to another provider would make
every later turn of the conversation unanswerable here.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

from providers.chat import ChatRequest, Json, ResponseFormat
from providers.dialect import Amends, Call, Fit, Inexpressible, Limits, Target
from providers.dialects import limits, proofs, wire
from providers.dialects.anthropic import models
from providers.dialects.anthropic.options import options, samples, thinks
from providers.dialects.anthropic.shapes import binds
from providers.dialects.anthropic.turns import Lost, messages

PATH = "/v1/messages"
#: What a model is told that must answer in JSON, and what its answer must be.
_TELLING = "Answer with one JSON {} and nothing else: no words before or after it, and no code fence around it."
_OBJECT, _ANY = Amends(schema={"type": "object"}, bare=True), Amends(schema={}, bare=True)
_UNSIGNED = re.compile(rb'"signature"\s*:\s*"(?:"|gemini)')


class _Block(Struct):
    type: str = ""
    signature: str | None = None


_encoder = msgspec.json.Encoder()
_turns = msgspec.json.Decoder(list[dict[str, Raw]])
_blocks = msgspec.json.Decoder(list[Raw])
_block = msgspec.json.Decoder(_Block)


def limits_of(target: Target) -> Limits:
    """One answer to a request; any number of stop sequences, but none of white space alone (it is refused with a 400).

    A model that thinks first cannot be made to call a tool ("Extended thinking": only `auto` and `none`).
    """
    shapes = models.shapes(target.upstream)
    return limits.limits(target, 1, None, blank_stops=False, shapes=shapes, binds=binds, forces_thinking=False)


def refit(body: bytes, changes: Fit) -> bytes:
    """A message's body with these changes; the caller's own words for the shape of the answer are left to the API."""
    found: dict[str, object] = dict(wire.fields(body))
    if changes.stop is not None:
        found["stop_sequences"] = changes.stop
        if not changes.stop:
            del found["stop_sequences"]
    return _encoder.encode(found)


def encode(request: ChatRequest, target: Target, *, drop: bool) -> Call:
    """The call to make. Raises `Inexpressible` unless `drop`."""
    if request.dialect == "anthropic":
        return Call(PATH, _own(request, target), request.headers)
    lost: Lost = []
    body = _translated(request, target, lost)
    dropped = request.named(lost)
    if dropped and not drop:
        raise Inexpressible(dropped, "anthropic", _why(lost, target, thinking=thinks(body)))
    wanted = _json_wanted(request)
    amends = None if wanted is None else _ANY if wanted.any_json else _OBJECT
    return Call(PATH, _encoder.encode(body), dropped=dropped, amends=amends)


def _why(lost: Lost, target: Target, *, thinking: bool) -> str:
    """What is to be known of sampling, where that is lost: other models of the same provider take it."""
    sampling = {"temperature", "top_p", "top_k"}.intersection(lost)
    if sampling and not samples(target):
        return "This model takes no sampling parameters but their defaults."
    if sampling and thinking:
        return "This model takes no such sampling while it thinks."
    if "top_p" in sampling:
        return "This model takes a temperature or a top_p, not both."
    return ""


def _json_wanted(request: ChatRequest) -> ResponseFormat | None:
    """That the answer is to be JSON of no schema, if it is."""
    wanted = request.conversation().response_format
    return wanted if wanted is not None and wanted.kind == "json_object" else None


def _own(request: ChatRequest, target: Target) -> bytes:
    changes: dict[str, object] = {}
    if target.upstream != request.model:
        changes["model"] = target.upstream
    if _UNSIGNED.search(request.body):
        changes["messages"] = _signed_only(wire.fields(request.body)["messages"])
    return wire.edit(request.body, changes) if changes else request.body


def _signed_only(raw: Raw) -> list[dict[str, object]]:
    """The messages without unsigned thinking, every other block in its own bytes."""
    kept: list[dict[str, object]] = []
    for message in wire.read_request(_turns, bytes(raw)):
        content: object = message["content"]
        if bytes(message["content"]).startswith(b"["):
            content = [block for block in _blocks.decode(message["content"]) if not _unsigned(block)]
        if content:
            kept.append({**message, "content": content})
    return kept


def _unsigned(raw: Raw) -> bool:
    block = wire.read_request(_block, bytes(raw))
    return block.type == "thinking" and (block.signature == "" or proofs.is_labelled(block.signature))


def _translated(request: ChatRequest, target: Target, lost: Lost) -> Json:
    said = request.conversation()
    body: Json = {"model": target.upstream}
    placed = messages(said.turns, lost, instructs=models.instructs(target.upstream))
    if wanted := _json_wanted(request):
        told = _TELLING.format("value, an object unless another is asked for," if wanted.any_json else "object")
        placed.system.append({"type": "text", "text": told})
    if placed.system:
        body["system"] = placed.system
    body["messages"] = placed.messages
    body |= options(said, target, lost)
    if request.stream:
        body["stream"] = True
    return body
