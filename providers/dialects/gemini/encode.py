"""`ChatRequest` → the call of `generateContent` or `streamGenerateContent`.

Law: a request that is already in this dialect keeps its bytes. The path names the model and whether to stream; a body
that names the model too, which the API takes, names the one it goes to, and proofs of another provider's thoughts stay
behind (`signatures`). Usage always comes with a stream, nothing has
to be asked for.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from msgspec import Raw

from providers.chat import ChatRequest, Json
from providers.dialect import Call, Fit, Inexpressible, Limits, Target
from providers.dialects import limits, wire
from providers.dialects.gemini.names import camel
from providers.dialects.gemini.options import MAX_CHOICES, MAX_STOPS, options
from providers.dialects.gemini.signatures import is_old, own_only
from providers.dialects.gemini.turns import Lost, contents

_encoder = msgspec.json.Encoder()
_config = msgspec.json.Decoder(dict[str, Raw])
_CONFIG = "generationConfig"


def encode(request: ChatRequest, target: Target, *, drop: bool) -> Call:
    """The call to make. Raises `Inexpressible` unless `drop`."""
    path = path_of(target, "streamGenerateContent?alt=sse" if request.stream else "generateContent")
    if request.dialect == "gemini":
        return Call(path, _own(request.body, target), request.headers)
    lost: Lost = []
    said = request.conversation()
    placed = contents(said.turns, lost, sign=not is_old(target.upstream))
    body: Json = {"contents": placed.contents}
    if placed.system:
        body["systemInstruction"] = {"parts": placed.system}
    body |= options(said, target.upstream, lost)
    dropped = request.named(lost)
    if dropped and not drop:
        raise Inexpressible(dropped, "gemini")
    one = said.parallel_tool_calls is False
    return Call(path, _encoder.encode(body), dropped=dropped, first_call_only=one)


def limits_of(target: Target) -> Limits:
    """What the API reference allows: eight answers, five stop sequences."""
    return limits.limits(target, MAX_CHOICES, MAX_STOPS)


def refit(body: bytes, changes: Fit) -> bytes:
    """A body with these changes, in whichever of the two spellings it is written."""
    found: dict[str, object] = dict(wire.fields(body))
    name = next((given for given in found if camel(given) == _CONFIG), _CONFIG)
    given = found.get(name)
    config: dict[str, object] = dict(_config.decode(given)) if isinstance(given, Raw) else {}
    if changes.n is not None:
        config = {key: value for key, value in config.items() if camel(key) != "candidateCount"}
        if changes.n > 1:
            config["candidateCount"] = changes.n
    if changes.stop is not None:
        config = {key: value for key, value in config.items() if camel(key) != "stopSequences"}
        if changes.stop:
            config["stopSequences"] = changes.stop
    return _encoder.encode({**found, name: config})


def path_of(target: Target, verb: str) -> str:
    """The path of a call to the target's model."""
    return f"/{target.profile.gemini_version}/{quote(resource(target.upstream))}:{verb}"


def resource(model: str) -> str:
    """The model's resource name: `models/…`, or `tunedModels/…` as it is."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


def _own(body: bytes, target: Target) -> bytes:
    # The searches are cheap; only a body with the words anywhere is decoded.
    changes: dict[str, object] = {}
    if b'"model"' in body and "model" in wire.fields(body):
        changes["model"] = resource(target.upstream)
    if (own := own_only(body)) is not None:
        changes["contents"] = own
    return wire.edit(body, changes) if changes else body
