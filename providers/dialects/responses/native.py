"""OpenAI's Responses API, towards providers that have it: a request goes on in its own bytes, and state stays here.

What must change, and nothing else: the model's name; `store: false`, for what is kept is kept by the gateway, whoever
answers next; so `previous_response_id`, references and `metadata` stay behind, and what was said before goes along as
items. Whoever keeps nothing needs thoughts back in full: where a model thinks, they are asked for sealed.

Ids. An item's id must lead to the response that holds it, which is ours: `rs_abc` is `rs_<response>_uabc` to the
caller (`h` and hexadecimal digits for one of another form). Sent back, an id of ours becomes what it was where the API
wants one, of what its own tools did; of messages, thoughts and functions it is left out: a server that keeps nothing
takes an id for something it ought to have.

Seals. What a provider sealed (thoughts, compactions) it alone can open: towards the caller a seal says whose it is,
`steelyard:<provider>:…`. Others are not shown a thought. A compaction is the conversation itself, and cannot be left
out: it is named instead. A seal that does not say whose it is came from the caller, and goes along. Thoughts in plain
words without a seal, as servers of open models tell them, get one of ours that says whose they are and no more.

Refused by name: `background`, whose answer would have to be fetched from that provider, and `conversation`, whose turns
would be: state that no failover reaches and that all tenants of one key share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from providers.chat import Json
from providers.dialect import Call, Inexpressible, Target
from providers.dialects.openai.shapes import NULL
from providers.dialects.proofs import is_labelled
from providers.dialects.responses import custom
from providers.dialects.responses.items import SEAL, in_place
from providers.dialects.responses.parse import Asked
from providers.dialects.wire import fields

PATH = "/responses"
_SEALED = "reasoning.encrypted_content"
_WHOSE = "steelyard:"
_PLAIN = re.compile(r"[A-Za-z0-9]+")
_OURS = re.compile(r"([A-Za-z]+)_[0-9A-Z]{26}_(?:u([A-Za-z0-9]+)|h((?:[0-9a-f]{2})+)|i?[0-9]+)")
#: Fields that stay here.
_HERE = ("previous_response_id", "metadata")
#: Fields that cannot be asked of a provider, with the values that ask for nothing.
_REFUSED: dict[str, frozenset[bytes]] = {
    "background": frozenset({NULL, b"false"}),
    "conversation": frozenset({NULL}),
}
#: Items whose ids the API can do without.
_NAMELESS = frozenset({"message", "reasoning", "function_call", "function_call_output"})
_value = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def encode(
    asked: Asked, earlier: Sequence[Json], referenced: Mapping[str, Json], target: Target, *, thinks: bool, drop: bool
) -> Call:
    """The call to make, with what was said before. Raises `Inexpressible` unless `drop`."""
    body: dict[str, Any] = {name: raw for name, raw in fields(asked.body).items() if name not in _HERE}
    lost = [name for name, nothing in _REFUSED.items() if bytes(body.pop(name, NULL)) not in nothing]
    if earlier or isinstance(asked.request.input, list):
        given = in_place(asked.given, referenced)
        paths = [*("previous_response_id" for _ in earlier), *(f"input[{at}]" for at in range(len(given)))]
        body["input"] = _sent([*earlier, *given], paths, target.provider, lost)
    body |= {"model": target.upstream, "store": False}
    if thinks and asked.request.store is not False and _SEALED not in (asked.request.include or ()):
        body["include"] = [*(asked.request.include or ()), _SEALED]
    if lost and not drop:
        raise Inexpressible(tuple(lost), "responses")
    return Call(PATH, _encoder.encode(body), dropped=tuple(lost))


def _sent(items: Iterable[Json], paths: Iterable[str], provider: str, lost: list[str]) -> list[Json]:
    """The items as this provider may see them."""
    kept: list[Json] = []
    for item, path in zip(items, paths, strict=True):
        kind = item.get("type") or "message"
        sent = {name: value for name, value in item.items() if not (name == "extra_content" and _foreign(value))}
        sealed = item.get("encrypted_content")
        if isinstance(sealed, str):
            sent["encrypted_content"] = sealed = _opened(sealed, provider)
        if sealed == "":
            del sent["encrypted_content"]
        if sealed is None and kind == "reasoning":
            continue  # another's thought, or one without its seal: nothing that a server without a memory can read
        if sealed is None and "encrypted_content" in item:
            lost.append(f"{path} ({kind})")
            continue
        own = _theirs(item.get("id"))
        sent.pop("id", None)
        if own is not None and kind not in _NAMELESS:
            sent["id"] = own
        kept.append(sent)
    return kept


def _foreign(extension: Any) -> bool:
    """Gemini's proof of a call, which no other provider is shown."""
    told = cast("Json", extension).get("google") if isinstance(extension, dict) else None
    return isinstance(told, dict) and is_labelled(cast("Json", told).get("thought_signature"))


def _opened(seal: str, provider: str) -> str | None:
    """The seal as the provider wrote it; None when it is another's."""
    own = f"{_WHOSE}{provider}:"
    if seal.startswith(own):
        return seal.removeprefix(own)
    return None if seal.startswith((_WHOSE, SEAL)) else seal


def _theirs(identity: Any) -> str | None:
    """An item's id as the provider wrote it; None for one that the gateway made."""
    if not isinstance(identity, str):
        return None
    found = _OURS.fullmatch(identity)
    if found is None:
        return identity
    prefix, rest, coded = found.groups()
    if coded is not None:
        return bytes.fromhex(coded).decode(errors="replace")
    return None if rest is None else f"{prefix}_{rest}"


class Adopting:
    """What a provider said, as the gateway's own response: a part of the caller's `Form`."""

    def __init__(self, asked: Asked, identity: str, provider: str) -> None:
        """Name the response by `identity`; it is this provider's."""
        given = asked.request
        self.identity = identity
        #: Tools that take free text: somebody without them may have to go on.
        self.customs = custom.names(given.tools)
        self._provider = provider
        self._told: Json = {
            "id": f"resp_{identity}",
            "previous_response_id": given.previous_response_id,
            "metadata": given.metadata or {},
            "store": given.store is not False,
        }

    def response(self, told: Json) -> Json:
        """A response, in any state. Raises `msgspec.ValidationError` when its output is no list of items."""
        items = msgspec.convert(told.get("output") or [], list[Json])
        return {**told, **self._told, "output": [self.item(one, place) for place, one in enumerate(items)]}

    def item(self, item: Json, place: int) -> Json:
        """One of its items, which is in this place; without an id it is named by that."""
        theirs = item.get("id")
        kept = {**item, "id": f"item_{self.identity}_{place}" if theirs is None else self.name(str(theirs))}
        sealed = item.get("encrypted_content")
        if sealed is None and item.get("type") == "reasoning" and item.get("content"):
            sealed = ""
        if isinstance(sealed, str):
            kept["encrypted_content"] = f"{_WHOSE}{self._provider}:{sealed}"
        return kept

    def name(self, theirs: str) -> str:
        """Our id of an item."""
        prefix, _, rest = theirs.partition("_")
        if prefix.isalpha() and prefix.isascii() and _PLAIN.fullmatch(rest):
            return f"{prefix}_{self.identity}_u{rest}"
        return f"item_{self.identity}_h{theirs.encode(errors='replace').hex()}"
