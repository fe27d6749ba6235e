"""One request under its guardrails: what becomes of its prompt, and of its answer, whole or as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from gateway.errors import BadRequest, Busy, ContentFiltered, GatewayError
from gateway.exchange import Exchange
from gateway.guardrails.flowing import Flowing
from gateway.guardrails.matching import Blocked, Matcher
from gateway.guardrails.policy import Policy
from gateway.guardrails.said import is_answer, is_call, lane
from gateway.guardrails.scripts import Languages
from gateway.guardrails.spots import Scanned, Spot, TooMany, scan
from gateway.settings.guardrails import Moderation
from providers.chat import Json
from providers.errors import Misshapen
from providers.sse import Parser

Where = Literal["request", "response"]
#: What a guardrail did: `unavailable` is one that could not be asked and lets pass.
Outcome = Literal["blocked", "redacted", "unavailable"]
#: Is told what which guardrail did.
Told = Callable[[str, Where, Outcome], None]
_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()
_ANY_LENGTH = 2**40


class Moderates(Protocol):
    """Asks a model."""

    async def flagged(self, wanted: Moderation, text: str, asked_for: str) -> bool:
        """Whether the text of the request `asked_for` violates. Raises a `GatewayError` when nobody can say."""
        ...


class Watch:
    """What is to be done for one exchange."""

    def __init__(self, policy: Policy, exchange: Exchange, moderator: Moderates, told: Told, *, chat: bool) -> None:
        """By this policy; of what is no `chat` the answer follows no schema."""
        self.policy = policy
        self._exchange = exchange
        self._moderator = moderator
        self._told = told
        self._chat = chat
        #: Characters of the prompt's texts.
        self.characters = 0
        #: Somebody could not be asked, so that the answer has not passed everything.
        self.unsure = False

    # The prompt

    def prompt(self, body: bytes) -> bytes:
        """A prompt's JSON as it goes on. Raises `ContentFiltered`, or `BadRequest` when it cannot be looked through."""
        scanned = scanned_prompt(body)
        self.characters += sum(len(spot.text) for spot in scanned.spots)
        if self.policy.prompts is None:
            return body
        try:
            return self.policy.prompts.purge(body, scanned, self._redacted("request"))
        except TooMany:
            raise _too_many() from None
        except Blocked as exc:
            raise self.refused(exc.guardrail, "request") from None

    def prompt_text(self, text: str) -> str:
        """The same of a text that is no JSON."""
        self.characters += len(text)
        return self._text(self.policy.prompts, text, "request")

    def earlier(self, items: Sequence[Json]) -> list[Json]:
        """The same of what was said before this request's own turn."""
        return [_object.decode(self.prompt(_encoder.encode(item))) for item in items]

    def sized(self, tokens: int) -> None:
        """The prompt has so many tokens, by estimate. Raises `ContentFiltered`."""
        for name, bound in self.policy.sizes:
            if self.characters > (bound.characters or self.characters) or tokens > (bound.tokens or tokens):
                raise self.refused(name, "request")

    async def moderated(self, texts: Iterable[str]) -> None:
        """Have the texts of a prompt moderated. Raises a `GatewayError`."""
        await self._moderate(self.policy.prompt_moderation, "\n".join(texts), "request")

    # The answer

    async def whole(self, body: bytes) -> bytes:
        """A whole answer as it goes on. Raises a `GatewayError`."""
        kind = self._exchange.content_type or "application/json"
        if kind.startswith("text/"):
            said = body.decode("utf-8", "replace")
            self._spoken({"": said})
            clean = self._text(self.policy.answers, said, "response")
            body = body if clean == said else clean.encode()
            await self._judged({"": clean}, calls=False)
            return body
        if not kind.startswith("application/json"):
            return body
        try:
            form, scanned = self._exchange.dialect, scan(body)
        except TooMany:
            raise self.too_long() from None
        self._spoken(_words(scanned.spots, form, streamed=False))
        clean = self._purged(body)
        spots = scanned.spots if clean == body else scan(clean).spots
        await self._judged(_words(spots, form, streamed=False), calls=any(map(is_call, spots)))
        return clean

    def flow(self) -> Flowing:
        """What a stream goes through."""
        languages = Languages(self.policy.languages) if self.policy.languages else None
        return Flowing(self._exchange.dialect, self.policy.answers, self._redacted("response"), languages)

    async def streamed(self, told: bytes) -> None:
        """All events of a stream that nobody has seen yet. Raises a `GatewayError`."""
        form = self._exchange.dialect
        spots = [spot for event in Parser(_ANY_LENGTH).feed(told) for spot in scan(event.data).spots]
        await self._judged(_words(spots, form, streamed=True), calls=any(map(is_call, spots)))

    def final(self, told: Json) -> Json:
        """What is kept or shown of a stream at its end, in one piece. Raises `ContentFiltered`."""
        return _object.decode(self._purged(_encoder.encode(told)))

    def events(self, told: bytes) -> bytes:
        """Events with whole texts in them. Raises `ContentFiltered`."""
        if self.policy.answers is None:
            return told
        return b"".join(
            event.raw.replace(event.data, self._purged(event.data)) for event in Parser(_ANY_LENGTH).feed(told)
        )

    def too_long(self) -> ContentFiltered:
        """The error of an answer that is longer than what may wait to be judged."""
        names = [name for name, _ in (*self.policy.schemas, *self.policy.answer_moderation, *self.policy.languages)]
        if not names and self.policy.answers is not None:
            names = [self.policy.answers.first]
        return self.refused(names[0], "response")

    def refused(self, guardrail: str, where: Where) -> ContentFiltered:
        """The error that says which guardrail it was."""
        self._told(guardrail, where, "blocked")
        return ContentFiltered(guardrail, where)

    def _redacted(self, where: Where) -> Callable[[str], None]:
        def note(guardrail: str) -> None:
            self._told(guardrail, where, "redacted")

        return note

    def _text(self, matcher: Matcher | None, text: str, where: Where) -> str:
        if matcher is None:
            return text
        try:
            return matcher.cleaned(text, self._redacted(where))
        except TooMany:
            raise (_too_many() if where == "request" else self.too_long()) from None
        except Blocked as exc:
            raise self.refused(exc.guardrail, where) from None

    def _purged(self, body: bytes) -> bytes:
        if self.policy.answers is None:
            return body
        try:
            return self.policy.answers.purged(body, self._redacted("response"))
        except TooMany:
            raise self.too_long() from None
        except Blocked as exc:
            raise self.refused(exc.guardrail, "response") from None

    def _spoken(self, answers: dict[str, str]) -> None:
        languages = Languages(self.policy.languages)
        try:
            for which, text in answers.items():
                languages.feed(which, text)
            languages.end()
        except Blocked as exc:
            raise self.refused(exc.guardrail, "response") from None

    async def _judged(self, answers: dict[str, str], *, calls: bool) -> None:
        """By those who need all of it. One that calls tools is no answer yet, and follows no schema."""
        for name, check in self.policy.schemas if self._chat and not calls else ():
            for text in answers.values() or ("",):
                try:
                    check(text)
                except Misshapen as exc:
                    raise self.refused(name, "response") from exc
        if self.policy.answer_moderation and answers:
            await self._moderate(self.policy.answer_moderation, "\n".join(answers.values()), "response")

    async def _moderate(self, moderators: Sequence[tuple[str, Moderation]], text: str, where: Where) -> None:
        for name, wanted in moderators if text.strip() else ():
            try:
                flagged = await self._moderator.flagged(wanted, text, self._exchange.id)
            except GatewayError as exc:
                self._told(name, where, "unavailable")
                if wanted.fail == "closed":
                    raise Busy(
                        f"The guardrail '{name}' cannot be asked right now.", retry_after=exc.retry_after
                    ) from exc
                self.unsure = True
            else:
                if flagged:
                    raise self.refused(name, where)


def scanned_prompt(body: bytes) -> Scanned:
    """Every text in a prompt's JSON. Raises `BadRequest` when there are too many."""
    try:
        return scan(body)
    except TooMany:
        raise _too_many() from None


def _too_many() -> BadRequest:
    return BadRequest("The body has more parts or matches than guardrails look through. Send fewer at a time.")


def _words(spots: Iterable[Spot], form: str, *, streamed: bool) -> dict[str, str]:
    """The words of each answer, of those that have any."""
    answers: dict[str, list[str]] = {}
    for spot in spots:
        if spot.text and is_answer(spot, form, streamed=streamed):
            answers.setdefault(lane(spot), []).append(spot.text)
    return {which: "".join(texts) for which, texts in answers.items()}
