"""`ChatRequest` → the call of `/chat/completions`.

Law: a request that is already in this dialect keeps its bytes, but for the model's name and `stream_options`, where the
gateway always asks for usage. Its `max_tokens` stays as the caller spelled it: which of the two names a server knows is
the caller's to say there, and the profile's default must not break what was right.

A request in another dialect is written anew, out of its conversation (`turns`, `options`).
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from providers.chat import ChatRequest, Json
from providers.dialect import Call, Inexpressible, Target
from providers.dialects import wire
from providers.dialects.openai.options import options
from providers.dialects.openai.turns import Lost, messages

PATH = "/chat/completions"
COMPLETIONS_PATH = "/completions"
_encoder = msgspec.json.Encoder()
_options = msgspec.json.Decoder(dict[str, Raw] | None)


def encode(request: ChatRequest, target: Target, *, drop: bool) -> Call:
    """The call to make. Raises `Inexpressible` unless `drop`."""
    if request.dialect == "openai":
        return Call(PATH, _own(request, target), request.headers)
    lost: Lost = []
    body = _translated(request, target, lost)
    dropped = request.named(lost)
    if dropped and not drop:
        raise Inexpressible(dropped, "openai")
    return Call(PATH, _encoder.encode(body), dropped=dropped)


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
    return wire.edit(request.body, changes) if changes else request.body


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
