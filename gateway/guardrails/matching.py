"""Looks for all patterns of one side of a request at once, in a text or in every text of a JSON body.

Law: wherever two matches overlap, all of both is redacted. A pattern that blocks goes before any that redacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from gateway.guardrails import patterns
from gateway.guardrails.patterns import Pattern
from gateway.guardrails.regexes import either
from gateway.guardrails.spots import Scanned, Spot, TooMany, edited, scan, written
from gateway.guardrails.views import views

#: Between two texts, so that one look tells of both.
_APART = "\n\0\n"
#: Within a text that is JSON itself, and so has escapes of its own.
_NESTED = frozenset({"arguments", "partial_json"})
_any_json = msgspec.json.Decoder(msgspec.Raw)


class Rule(Struct, frozen=True):
    """A pattern of a guardrail, and what becomes of its matches."""

    guardrail: str
    pattern: Pattern
    redacts: bool


class Match(Struct):
    """Something that was found."""

    start: int
    end: int
    rule: Rule

    @property
    def instead(self) -> str:
        """What stands in its place."""
        return f"[{self.rule.pattern.name}]"


class Blocked(Exception):
    """A guardrail does not let this pass."""

    def __init__(self, guardrail: str) -> None:
        """Name the guardrail."""
        super().__init__(guardrail)
        self.guardrail = guardrail


#: Is told which guardrail has redacted something.
Redacted = Callable[[str], None]


class Matcher:
    """Some rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """At least one."""
        self._rules = tuple(rules)
        self._any = either([rule.pattern.expression for rule in rules])

    @property
    def first(self) -> str:
        """The first guardrail among them."""
        return self._rules[0].guardrail

    def find(self, text: str) -> list[Match]:
        """All matches, in order and apart from each other. Raises `TooMany`."""
        if not self._may_have(text):
            return []
        found = [Match(*span, rule) for rule in self._rules for span in rule.pattern.find(text)]
        found.sort(key=lambda one: (one.start, one.rule.redacts, -one.end))
        apart: list[Match] = []
        for one in found:
            if not apart or one.start >= apart[-1].end:
                apart.append(one)
                continue
            last = apart[-1]
            last.end = max(last.end, one.end)
            if last.rule.redacts and not one.rule.redacts:
                last.rule = one.rule
        return apart

    def _may_have(self, text: str) -> bool:
        return any(self._any.search(view) is not None for view in views(text))

    def may_begin(self, text: str) -> int:
        """From where on the end of a text may be the beginning of a match."""
        longest = len(text)
        return min(max(rule.pattern.may_begin(text), longest - rule.pattern.longest) for rule in self._rules)

    def cleaned(self, text: str, redacted: Redacted) -> str:
        """The text with everything redacted that is to be. Raises `Blocked` and `TooMany`."""
        pieces: list[str] = []
        at = 0
        for one in _allowed(self.find(text), redacted):
            pieces += [text[at : one.start], one.instead]
            at = one.end
        return "".join([*pieces, text[at:]]) if pieces else text

    def purged(self, body: bytes, redacted: Redacted) -> bytes:
        """The same of every text in a JSON body. Raises `Blocked` and `TooMany`."""
        return self.purge(body, scan(body), redacted)

    def purge(self, body: bytes, scanned: Scanned, redacted: Redacted) -> bytes:
        """The same of a body that was scanned. Where a text changes, the probabilities of its tokens are left out."""
        spots = scanned.spots
        if not any(map(_is_nested, spots)) and not self._may_have(_APART.join(spot.text for spot in spots)):
            return body
        changes: list[tuple[int, int, bytes]] = []
        found = 0

        def counted(guardrail: str) -> None:
            nonlocal found
            found += 1
            if found > patterns.MOST:
                raise TooMany
            redacted(guardrail)

        for spot in spots:
            said = self.spot(spot, counted)
            if said != spot.text:
                changes.append((spot.start, spot.end, written(said)))
        if not changes:
            return body
        return edited(body, [*changes, *blanked(body, scanned)])

    def spot(self, spot: Spot, redacted: Redacted) -> str:
        """What a text of a body becomes. Raises `Blocked` and `TooMany`."""
        text = spot.text
        if _is_nested(spot):
            raw = text.encode("utf-8", "replace")
            try:
                _any_json.decode(raw)
            except (msgspec.DecodeError, RecursionError):
                return self.cleaned(text, redacted)
            clean = self.purge(raw, scan(raw, free=True), redacted)
            text = text if clean == raw else clean.decode()
            if _of_call(spot):
                return text
        return self.cleaned(text, redacted)


def _of_call(spot: Spot) -> bool:
    return spot.keys[-1:] != () and spot.keys[-1] in _NESTED


def _is_nested(spot: Spot) -> bool:
    """It may be JSON itself, in which escapes hide something."""
    return ("\\u" in spot.text or _of_call(spot)) and spot.text.lstrip()[:1] in ("{", "[")


def blanked(body: bytes, scanned: Scanned) -> Iterable[tuple[int, int, bytes]]:
    """What is put in the place of the probabilities of tokens: nothing of the same kind."""
    for start, end in scanned.again:
        yield start, end, b"[]" if body[start : start + 1] == b"[" else b"null"


def _allowed(found: Iterable[Match], redacted: Redacted) -> Iterable[Match]:
    matches = list(found)
    for one in matches:
        if not one.rule.redacts:
            raise Blocked(one.rule.guardrail)
    for one in matches:
        redacted(one.rule.guardrail)
    return matches
