"""Which guardrails hold for a request, and their way into the pipeline.

    screen       first of all: the prompt's texts are looked through; one that is redacted is read as if it had come so
    `Sizes`      a gate, once it is known what else belongs to the prompt: how long may it be?
    `Moderated`  the last gate: what limits and budgets admit is moderated

Law: who names a guardrail that is not configured (a key that outlived it) is refused, and not served without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from gateway.asking import Ask, Prepared, Talk
from gateway.calls import Chat, Embedding, Passed
from gateway.catalog import Route
from gateway.counting import Counting
from gateway.errors import Busy, ContentFiltered
from gateway.exchange import Exchange
from gateway.guardrails.moderating import Moderator
from gateway.guardrails.policy import Policy, policy_of
from gateway.guardrails.spots import edited
from gateway.guardrails.watch import Outcome, Watch, Where, scanned_prompt
from gateway.settings.guardrails import Guardrail
from gateway.settings.shared import GUARDRAIL
from providers.dialects import DIALECTS
from providers.dialects.openai.passed import texts_of

#: Combinations of guardrails that are kept ready; there are about as many as routes and kinds of keys.
_READY = 256
#: Is told what which guardrail did: (guardrail, where, what).
Counted = Callable[[str, Where, Outcome], None]


class Guards:
    """All of them."""

    def __init__(
        self,
        configured: Mapping[str, Guardrail],
        routes: Mapping[str, Route],
        moderator: Moderator,
        counted: Counted,
    ) -> None:
        """As configured; `counted` hears of everything that one does."""
        self._configured = configured
        self._routes = routes
        self._moderator = moderator
        self._counted = counted
        self._always = tuple(name for name, one in configured.items() if one.always)
        self._ready: dict[tuple[str, ...], Policy] = {}

    def screen(self, ask: Ask) -> None:
        """Look at the prompt, before anything else is done. Raises a `GatewayError`."""
        try:
            self._screen(ask)
        except ContentFiltered:
            # What may not go on may not stay, either.
            exchange = ask.exchange
            exchange.tags = exchange.user = None
            exchange.request_body = None if exchange.request_body is None else b""
            raise

    def _screen(self, ask: Ask) -> None:
        exchange = ask.exchange
        route, caller = self._routes.get(exchange.requested_model), exchange.caller
        if not (self._always or (route and route.guardrails) or (caller and caller.guardrails)):
            return
        if exchange.surface == GUARDRAIL:
            return
        policy = self._policy((route.guardrails if route else ()), (caller.guardrails if caller else ()))
        work = ask.wanted.work
        if isinstance(work, Embedding | Counting):
            policy = policy.of_prompts
        if exchange.errand:
            policy = policy.of_errands(own=caller is None)
        watch = Watch(policy, exchange, self._moderator, self._told(exchange), chat=isinstance(work, Chat))
        ask.watch, exchange.guarded = watch, policy.mark
        form = work.request.boundary if isinstance(work, Passed) else None
        body = ask.body if form is not None else watch.prompt(ask.body)
        if isinstance(work, Passed) and form is not None:
            body = _form(work, watch)
        if body != ask.body:
            _read_anew(ask, body)
        if ask.ending is not None:
            ask.ending.watch = watch
        elif ask.talk is not None and ask.talk.recall is not None:
            ask.talk = _screened(ask.talk, watch)

    def _policy(self, *named: tuple[str, ...]) -> Policy:
        names = tuple(dict.fromkeys((*self._always, *(name for some in named for name in some))))
        policy = self._ready.get(names)
        if policy is None:
            for name in names:
                if name not in self._configured:
                    raise Busy(f"The guardrail '{name}', which holds for this request, is not configured.")
            if len(self._ready) >= _READY:
                self._ready.clear()
            policy = self._ready[names] = policy_of(self._configured, names)
        return policy

    def _told(self, exchange: Exchange) -> Counted:
        def told(guardrail: str, where: Where, outcome: Outcome) -> None:
            self._counted(guardrail, where, outcome)
            note = f"{guardrail}={outcome} {where}"
            if note not in exchange.guardrails:
                exchange.guardrails = (*exchange.guardrails, note)

        return told


class Sizes:
    """The gate of prompts that are too long; see `governance.gates.Gate`."""

    async def admit(self, ask: Ask, prepared: Prepared) -> None:
        """Let it pass. Raises `ContentFiltered`."""
        if ask.watch is not None:
            ask.watch.sized(ask.wanted.asked.input_tokens)


class Moderated:
    """The gate of prompts that a model refuses."""

    async def admit(self, ask: Ask, prepared: Prepared) -> None:
        """Let it pass. Raises a `GatewayError`."""
        if ask.watch is None or not ask.watch.policy.prompt_moderation:
            return
        await ask.watch.moderated(_texts(ask))


def _texts(ask: Ask) -> Iterable[str]:
    """All that a prompt says, with what was said before where that is part of what is asked."""
    work = ask.wanted.work
    if isinstance(work, Passed) and work.request.boundary is not None:
        return [ask.body[start:end].decode("utf-8", "replace") for start, end in texts_of(work.request)]
    whole = isinstance(work, Chat) and ask.talk is not None and bool(work.request.body)
    body = work.request.body if whole and isinstance(work, Chat) else ask.body
    return [spot.text for spot in scanned_prompt(body).spots if not spot.is_number]


def _form(work: Passed, watch: Watch) -> bytes:
    """A form whose fields, but for its files, are looked through."""
    body = work.request.body
    changes: list[tuple[int, int, bytes]] = []
    for start, end in texts_of(work.request):
        said = body[start:end].decode("utf-8", "replace")
        if (clean := watch.prompt_text(said)) != said:
            changes.append((start, end, clean.encode()))
    return edited(body, changes) if changes else body


def _read_anew(ask: Ask, body: bytes) -> None:
    """The request as if this had been its body."""
    exchange = ask.exchange
    if exchange.request_body is not None:
        exchange.request_body = body
    if ask.reread is None:
        _exchange_request(ask, body)
        return
    fresh = ask.reread(body)
    ask.body, ask.wanted, ask.deterministic = fresh.body, fresh.wanted, fresh.deterministic
    ask.ending = fresh.ending
    if ask.talk is not None and fresh.talk is not None:
        fresh.talk.recall = fresh.talk.recall or ask.talk.recall
    ask.talk = fresh.talk


def _exchange_request(ask: Ask, body: bytes) -> None:
    """A request of the gateway's own: a chat, whose body is in the format of its request."""
    work = ask.wanted.work
    assert not isinstance(work, Embedding | Passed | Counting), "those come from outside, and say how they are read"
    old = work.request
    request = DIALECTS[old.dialect].parse(body)
    work.request = replace(request, headers=old.headers, metadata=old.metadata)
    ask.body = body


def _screened(talk: Talk, watch: Watch) -> Talk:
    """A session whose earlier turns are looked through as well."""
    recall = talk.recall
    assert recall is not None, "or there is nothing to look through"

    async def recalled(windows: Any) -> list[Any]:
        return watch.earlier(await recall(windows))

    return replace(talk, recall=recalled)
