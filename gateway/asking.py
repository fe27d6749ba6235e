"""What a caller wants, and the first stage of serving it: everything that is decided before anybody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from dwa import Objective, Shape
from gateway.allowing import Allowing
from gateway.caching import AnswerCache, Family, Plan
from gateway.calls import Chat, Work
from gateway.catalog import Asked, Catalog, Resolution
from gateway.counting import Counting
from gateway.errors import BadRequest, DeadlineExceeded, GatewayError
from gateway.exchange import Exchange
from gateway.failover import Choosing
from gateway.governance.keys import Principal
from gateway.guardrails.watch import Watch
from gateway.settings.names import suggestion
from providers.chat import Json


class Defaults(Struct, frozen=True):
    """What applies when neither request, route nor key says otherwise; `timeout` in seconds."""

    strategy: str
    objective: str
    timeout: float


class Wanted(Struct):
    """The work, and what decides who may do it; `output_cap` is the caller's bound on the answer, in tokens."""

    work: Work | Counting
    asked: Asked
    output_cap: int | None


class Talk(Struct):
    """A request within a session: its own messages, and how to ask again with the earlier ones before them.

    `recall` is given the candidates' windows (tokens) and gives the earlier messages.
    """

    messages: list[Json]
    after: Callable[[list[Json]], Wanted]
    recall: Callable[[Sequence[int | None]], Awaitable[list[Json]]] | None = None


class Ending(Protocol):
    """What becomes of a good answer before its caller has seen the last of it; and how a broken stream ends.

    `watch` looks at what it recalls and keeps.
    """

    watch: Watch | None

    async def whole(self, body: bytes) -> bytes:
        """The body to send."""
        ...

    async def last(self) -> bytes:
        """The last events of a stream."""
        ...

    def broken(self, error: GatewayError) -> bytes:
        """The same of a stream that broke."""
        ...


class Ask(Struct):
    """A request on its way through the pipeline. `body` is what the caller sent.

    `reread` understands another body in its place, by the same address, headers and key; `watch` are its guardrails.
    """

    exchange: Exchange
    wanted: Wanted
    body: bytes
    family: Family
    deterministic: bool
    talk: Talk | None = None
    ending: Ending | None = None
    reread: Callable[[bytes], Ask] | None = None
    watch: Watch | None = None

    def told(self, said: Json) -> Json:
        """What was said, as the caller was told it: of a stream it was collected before any guardrail had seen it."""
        return said if self.watch is None else self.watch.final(said)


class Prepared(Struct, frozen=True):
    """Who can answer, how they are ordered, what the cache means, and until when; times on the monotonic clock.

    `shared_deadline` bounds work that others may be waiting for too: one caller's hurry is not theirs.
    """

    resolution: Resolution
    choosing: Choosing
    plan: Plan
    deadline: float
    shared_deadline: float


class Amiss(Struct, frozen=True):
    """What a request would be refused for: where, and why."""

    where: tuple[str | int, ...]
    message: str


class Objectives(Protocol):
    """Objectives by name, or by weights."""

    def __call__(self, name: str, weights: dict[str, float] | None) -> Objective:
        """The objective. Raises `ValueError` for an unknown name, or weights that are none."""
        ...


class Preparing:
    """The first stage."""

    def __init__(
        self,
        catalog: Catalog,
        cache: AnswerCache,
        defaults: Defaults,
        objectives: Objectives,
        strategies: frozenset[str],
    ) -> None:
        """Decide with these."""
        self._catalog = catalog
        self._allowing = Allowing(catalog)
        self._cache = cache
        self._defaults = defaults
        self._objectives = objectives
        self._strategies = strategies

    async def prepare(self, ask: Ask) -> Prepared:
        """Decide. Raises a `GatewayError`."""
        exchange = ask.exchange
        wishes = exchange.preferences
        timeout = wishes.timeout if wishes.timeout is not None else self._defaults.timeout
        deadline = exchange.began + timeout
        if ask.talk is not None and ask.talk.recall is not None:
            await self._recall(ask, ask.talk, deadline)
        wanted = ask.wanted
        catalog = self.allowed(exchange.caller)
        resolution = catalog.resolve(exchange.requested_model, wanted.asked, ordered=wishes.ordered)
        route = resolution.route
        exchange.route = route.name if route else None
        shape = Shape(
            wanted.asked.input_tokens, wanted.output_cap, route=exchange.requested_model, stream=exchange.stream
        )
        choosing = self.choosing(exchange, resolution, shape, wishes.objective, exchange.caller)
        if isinstance(wanted.work, Chat):
            wanted.work.validate = wishes.validate
        if wishes.drop_params is not None:
            wanted.work.drop = wishes.drop_params
        elif route is not None:
            wanted.work.drop = route.drop_params
        plan = self._cache.plan(ask.body, exchange, route, family=ask.family, deterministic=ask.deterministic)
        if ask.talk is not None:
            # A session's earlier turns are part of the question and not of the body.
            plan = Plan()
        return Prepared(resolution, choosing, plan, deadline, max(deadline, exchange.began + self._defaults.timeout))

    def choosing(
        self,
        exchange: Exchange | None,
        resolution: Resolution,
        shape: Shape,
        objective: str | None,
        caller: Principal | None,
    ) -> Choosing:
        """How candidates are ordered: the request's word before the route's before the key's before the gateway's.

        A route is what the caller asked for by name, this once; his key is only who he is, whatever he asks for.
        """
        route = resolution.route
        wishes = exchange.preferences if exchange else None
        defaults = self._defaults
        strategy = (
            (wishes and wishes.strategy)
            or (route and route.strategy)
            or (caller and caller.strategy)
            or defaults.strategy
        )
        if strategy not in self._strategies:
            raise BadRequest(
                f"Unknown strategy '{strategy[:100]}'. Use one of: {', '.join(sorted(self._strategies))}.",
                param="strategy",
            )
        name = objective or (route and route.objective) or (caller and caller.objective) or defaults.objective
        try:
            chosen = self._objectives(name, wishes.weights if wishes else None)
        except ValueError as exc:
            raise BadRequest(f"The objective cannot be used: {exc}.", param="objective") from exc
        sticky = None
        if exchange is not None and wishes is not None:
            exchange.strategy, exchange.objective = strategy, chosen.name
            if wishes.session_id is not None:
                sticky = f"{exchange.principal}:{wishes.session_id}"
        return Choosing(shape, strategy, chosen, sticky)

    def allowed(self, caller: Principal | None) -> Catalog:
        """What a caller may ask for; None: everything."""
        return self._allowing.of(caller)

    def amiss(self, model: str, providers: Sequence[str]) -> Iterator[Amiss]:
        """What a request with these would be refused for now."""
        catalog = self._catalog
        if not catalog.known(model):
            yield Amiss(("model",), catalog.unknown(model))
        for place, wanted in enumerate(providers):
            if wanted not in catalog.providers and wanted not in catalog.by_key:
                hint = suggestion(wanted, [*catalog.providers, *catalog.by_key])
                yield Amiss(("providers", place), f"There is no provider '{wanted:.100}'. {hint}")

    async def _recall(self, ask: Ask, talk: Talk, deadline: float) -> None:
        assert talk.recall is not None
        exchange = ask.exchange
        windows = [one.context for one in self.allowed(exchange.caller).serving(exchange.requested_model)]
        try:
            async with asyncio.timeout_at(deadline):
                earlier = await talk.recall(windows)
        except TimeoutError as exc:
            raise DeadlineExceeded from exc
        # What the earlier turns hold (pictures, tools, length) decides who can answer just as much.
        ask.wanted = talk.after(earlier)
