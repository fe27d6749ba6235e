"""What a feature is, and how its cells are decided.

A feature says the same thing in every ingress's format and knows how to find it in every provider's: written once per
format, so that nobody writes down what a cell should be. A cell is what execution shows:

- exact: caller and provider speak the same format, and the bytes went through in both directions;
- equivalent: other bytes, and the probes found the meaning, there and back;
- refused: a 400 that names field and provider, and with dropping allowed an answer that names what was dropped;
- impossible: refused, or left unsaid, because one of the two formats has no way to say it; the reason is written down;
- lost: anything else. No cell may be lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import msgspec
from msgspec import Raw

from tests.fidelity.wire import ASKED, DIALECTS, PLAIN, Json
from tests.fidelity.world import Heard, World

_UNSENT, _UNTOLD = "not in what was sent", "the answer does not say it"
#: What `World` adds to a question.
_OURS = ("model", "stream", "stream_options")
#: The first name in the path of a field.
_NAME = re.compile(r"\w+")
_fields = msgspec.json.Decoder(dict[str, Raw])
Probe = Callable[[Any], object]
#: (the first request, what its caller got) → the caller's next request.
Again = Callable[[Json, Json], Json]


@dataclass(frozen=True)
class Gap:
    """Why a format cannot say a feature. `absent`: names that its official SDK must not know for this to be true."""

    reason: str
    absent: tuple[str, ...] = ()
    #: The caller's answer is an error with these words, since without what cannot be told it would be another answer.
    error: str = ""
    #: Callers of whom it is not true: what they say is the provider's own.
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feature:
    """See the module. `ask` is by ingress; `sent` and `reply` by provider; `got` and `again` by ingress.

    `gaps` is by who has the gap: `ask:<ingress>` has no words for the question, `<provider>` none to pass it on,
    `hint:<provider>` neither, of what may be left out, `tell:<ingress>` none for the answer. `loose`: a
    strict server may refuse it.
    """

    name: str
    ask: Mapping[str, Json]
    sent: Mapping[str, Probe] = field(default_factory=dict[str, Probe])
    reply: Mapping[str, Json] = field(default_factory=dict[str, Json])
    got: Mapping[str, Probe] = field(default_factory=dict[str, Probe])
    again: Mapping[str, Again] = field(default_factory=dict[str, Again])
    gaps: Mapping[str, Gap] = field(default_factory=dict[str, Gap])
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    #: The next request goes to each of the other providers, which must not be shown the first one's proofs.
    moves: bool = False
    #: Callers for whom the gateway itself does what is asked: only their answer shows it.
    own: tuple[str, ...] = ()
    #: What the provider says is no answer: callers of other formats get an error 400, in which `got` is looked for.
    blocked: bool = False
    #: What is looked for is that something is not said: its probes find it in a plain request, too.
    absence: bool = False
    loose: bool = False
    #: Asked of a provider's older model, where its newer ones no longer take it.
    older: bool = False


@dataclass(frozen=True)
class Words:
    """How callers of one more format say features and hear them, by the features' names; see `Feature`.

    `gaps` are by name and then by `ask` or `tell`; of the features `own`, see there.
    """

    ingress: str
    ask: Mapping[str, Json]
    got: Mapping[str, Probe]
    again: Mapping[str, Again]
    gaps: Mapping[str, Mapping[str, Gap]]
    own: tuple[str, ...] = ()

    def added(self, feature: Feature) -> Feature:
        """The feature, in these words, too."""
        name, who = feature.name, self.ingress
        gaps = {f"{side}:{who}": gap for side, gap in self.gaps.get(name, {}).items()}
        return replace(
            feature,
            ask={**feature.ask, **({who: self.ask[name]} if name in self.ask else {})},
            got={**feature.got, **({who: self.got[name]} if name in self.got else {})},
            again={**feature.again, **({who: self.again[name]} if name in self.again else {})},
            gaps={**feature.gaps, **gaps},
            own=(*feature.own, *([who] if name in self.own else [])),
        )


@dataclass(frozen=True)
class Cell:
    """One cell, decided."""

    feature: str
    ingress: str
    provider: str
    stream: bool
    verdict: str
    why: str = ""


def found(probe: Probe | None, value: object) -> bool:
    """Whether the probe finds its meaning; a path that does not exist is a meaning not found."""
    if probe is None:
        return True
    try:
        return bool(probe(value))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return False


def at(path: str, *values: object) -> Probe:
    """The value at a path (`a.0.b`) is one of these."""

    def probe(value: Any) -> bool:
        for name in path.split("."):
            value = value[int(name)] if isinstance(value, list) else value[name]
        return value in values

    return probe


def has(**items: object) -> Probe:
    """Somewhere stands an object with these items; those of an inner object are looked for in the same way."""

    def probe(value: Any) -> bool:
        if isinstance(value, dict):
            fields = cast("Json", value)
            return _holds(fields, items) or any(map(probe, fields.values()))
        return isinstance(value, list) and any(map(probe, cast("list[Any]", value)))

    return probe


def _holds(value: Any, items: Mapping[str, object]) -> bool:
    if not isinstance(value, dict):
        return False
    for name, wanted in items.items():
        if name not in value:
            return False
        if isinstance(wanted, dict):
            if not _holds(value[name], cast("Json", wanted)):
                return False
        elif value[name] != wanted:
            return False
    return True


def says(text: str) -> Probe:
    """The text stands somewhere."""
    return lambda value: text in json.dumps(value, ensure_ascii=False)


def every(*probes: Probe) -> Probe:
    """All of them find what they look for."""
    return lambda value: all(found(probe, value) for probe in probes)


def no(probe: Probe) -> Probe:
    """It finds nothing."""
    return lambda value: not found(probe, value)


async def decide(world: World, feature: Feature, ingress: str, provider: str, stream: bool) -> Cell:
    """Run one cell."""
    verdict, why = await _decided(world, feature, ingress, provider, stream)
    return Cell(feature.name, ingress, provider, stream, verdict, why)


async def _decided(world: World, feature: Feature, ingress: str, provider: str, stream: bool) -> tuple[str, str]:
    if (gap := feature.gaps.get(f"ask:{ingress}")) and ingress not in feature.ask:
        return "impossible", gap.reason
    if feature.reply and provider not in feature.reply and provider not in feature.sent:
        # Nothing to ask for and nobody who says it: that is no cell unless the reason is known.
        gap = feature.gaps.get(provider)
        return ("impossible", gap.reason) if gap else ("lost", "no script and no reason")
    ask = feature.ask[ingress]
    reply = feature.reply.get(provider) or PLAIN[provider]
    heard = await world.ask(ingress, provider, ask, reply, stream=stream, older=feature.older)
    is_blocked = feature.blocked and ingress != provider
    if heard.status == 400 and not is_blocked:
        return await _refusal(world, feature, ingress, provider, stream, heard)
    why = _wrong(feature, ingress, provider, heard)
    if ingress != provider and (gap := _open_gap(feature, ingress, provider)):
        # Neither refused nor found: left unsaid, as the gap has it. Anything else is a false reason, or a loss.
        where, reason = gap
        return ("impossible", reason) if why.startswith(where) else ("lost", why or "said to be impossible, and said")
    if why:
        return "lost", why
    if again := feature.again.get(ingress):
        return await _next_turn(world, feature, ingress, provider, stream, again(ask, heard.answer))
    return ("equivalent", feature.notes.get(provider, "")) if ingress != provider else _same(ask, heard)


def _open_gap(feature: Feature, ingress: str, provider: str) -> tuple[str, str] | None:
    """What will be wrong with an exchange in which something is left unsaid, and why it is."""
    hint, tell, gap = (feature.gaps.get(name) for name in (f"hint:{provider}", f"tell:{ingress}", provider))
    if hint and ingress not in hint.but:
        return _UNSENT, hint.reason
    if tell:
        return _UNTOLD, tell.reason
    if gap and provider in feature.sent and ingress not in (*gap.but, *feature.own):
        return "refused", gap.reason
    return None


def _wrong(feature: Feature, ingress: str, provider: str, heard: Heard, *, asked: bool = True) -> str:
    """What is not as it should be in an exchange, or nothing."""
    untold = feature.gaps.get(f"tell:{ingress}")
    if untold and untold.error and untold.error.encode() in heard.body:
        return _UNTOLD
    status = 400 if feature.blocked and ingress != provider else 200
    if heard.status != status or "broken" in heard.answer:
        return f"{heard.status}: {heard.answer.get('broken') or heard.body[:300]!r}"
    if heard.complaint and not feature.loose:
        return f"the provider refuses it: {heard.complaint}"
    if dropped := heard.headers.get("x-steelyard-dropped-params"):
        return f"dropped without leave: {dropped}"
    is_sent = asked and not feature.again and ingress not in feature.own
    if is_sent and not found(feature.sent.get(provider), heard.sent):
        return f"{_UNSENT}: {json.dumps(heard.sent)[:600]}"
    if asked and not found(feature.got.get(ingress), heard.answer):
        return _UNTOLD if untold and not untold.error else f"not told: {heard.body[:900]!r}"
    return ""


def _same(ask: Json, heard: Heard) -> tuple[str, str]:
    """Same format: each field of the question but the model's name is the caller's, byte for byte; so is the answer."""
    asked = {name: bytes(value) for name, value in _fields.decode(heard.raw).items() if name not in _OURS}
    if asked != {name: json.dumps(value).encode() for name, value in ask.items()}:
        return "lost", f"the question was changed: {heard.raw[:600]!r}"
    return ("exact", "") if heard.body == heard.told else ("lost", f"the answer was changed: {heard.body[:600]!r}")


async def _refusal(
    world: World, feature: Feature, ingress: str, provider: str, stream: bool, heard: Heard
) -> tuple[str, str]:
    """A refusal names the provider and the fields; with leave to drop them it is an answer that names the same."""
    message = heard.answer["error"]["message"]
    head = f"Not supported by {provider}/"
    if not message.startswith(head) or heard.sent is not None:
        return "lost", f"a 400 that is no refusal: {heard.body[:300]!r}"
    fields = message.partition(": ")[2].partition(". ")[0]
    if strangers := [one for one in fields.split(", ") if not _is_of(feature.ask[ingress], ASKED[ingress], one)]:
        return "lost", f"refused {strangers}, which nobody asked for"
    reply = PLAIN[provider] if feature.again else feature.reply.get(provider) or PLAIN[provider]
    asked = feature.ask[ingress]
    dropped = await world.ask(ingress, provider, asked, reply, stream=stream, drop=True, older=feature.older)
    named = dropped.headers.get("x-steelyard-dropped-params", "")
    if dropped.status == 200 and sorted(named.split(",")) != sorted(fields.split(", ")):
        return "lost", f"refused {fields}, dropped {named}"
    if dropped.status != 200:
        return "lost", f"cannot be dropped: {dropped.body[:300]!r}"
    if gap := feature.gaps.get(provider):
        return "impossible", gap.reason
    note = feature.notes.get(provider)
    return "refused", f"`{fields}`: {note}" if note else f"`{fields}`"


def _is_of(ask: Json, plain: Json, field: str) -> bool:
    """Whether what was refused is of the feature: its first name is a field that a plain question has otherwise."""
    name = _NAME.match(field)
    return name is not None and ask.get(name[0]) != plain.get(name[0])


async def _next_turn(
    world: World, feature: Feature, ingress: str, provider: str, stream: bool, ask: Json
) -> tuple[str, str]:
    """The conversation goes on with what was answered: with the same provider, or with each of the others."""
    for to in [one for one in DIALECTS if one != provider] if feature.moves else [provider]:
        heard = await world.ask(ingress, to, ask, PLAIN[to], stream=stream)
        if why := _wrong(feature, ingress, to, heard, asked=False):
            return "lost", f"the next turn, by {to}: {why}"
        if not found(feature.sent.get(to), heard.sent):
            return "lost", f"not in the next turn, by {to}: {json.dumps(heard.sent)[:1200]}"
    is_exact = ingress == provider and not feature.moves
    return ("exact", "") if is_exact else ("equivalent", feature.notes.get(provider, ""))


def credulous(feature: Feature, plain: Mapping[str, Json], told: Mapping[str, Json]) -> list[str]:
    """Probes that find their meaning where nobody said it: they would call anything equivalent.

    `plain` are questions as they are sent to providers, `told` answers as callers get them, that say nothing.
    """
    if feature.absence:
        return []
    loose = [f"{feature.name} sent {to}" for to, probe in feature.sent.items() if found(probe, plain[to])]
    return loose + [f"{feature.name} got {by}" for by, probe in feature.got.items() if found(probe, told[by])]
