"""`POST /api/llm/dwa/simulate`: the recorded requests of a period under another strategy or objective."""

from asyncio import CancelledError
from datetime import datetime
from typing import Annotated

from litestar import Controller, Request, post
from litestar.datastructures import State
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct
from msgspec.structs import asdict

from dwa import STRATEGIES, Objective
from gateway.api.access import Gateway, principal_of, reader
from gateway.api.answers.replay import SimulateAnswer, simulated
from gateway.api.orchestrate import Weights
from gateway.api.times import unix
from gateway.api.wire import HungUp, Listener
from gateway.errors import BadRequest, Busy, GatewayError, NotFound
from gateway.parts import Parts
from gateway.replaying import DEFAULT_ROWS, MOST_ROWS, MOST_SEEDS, Asked, Period, question_of
from gateway.settling import HUNG_UP

#: Seconds: the period when none is given.
_DAY = 86_400.0


class SimulateRequest(Struct, forbid_unknown_fields=True):
    """What to replay: the newest `limit` requests of since..until (until exclusive), by default of the last 24 hours.

    `strategy`, `objective` (a name, or weights) or both say under what; what is left out stays as recorded. `model`
    narrows it to requests that asked for that name. `timeout` in seconds.
    """

    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = DEFAULT_ROWS
    strategy: str | None = None
    objective: str | Weights | None = None
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    seeds: Annotated[int, Meta(ge=1, le=MOST_SEEDS)] = 3
    timeout: Annotated[float, Meta(gt=0, le=86_400)] | None = None


class Replay(Controller):
    """What would have happened."""

    path = "/api/llm/dwa"
    guards = [reader]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["DWA"]  # noqa: RUF012 - as above

    @post("/simulate", summary="Replay recorded requests under another strategy or objective", status_code=HTTP_200_OK)
    async def simulate(
        self, gateway: Gateway, data: JSONBody[SimulateRequest], request: Request[object, object, State]
    ) -> SimulateAnswer:
        """What would have happened: the facts, the recorded policy in a model of them, and the asked one in the same.

        Callers replay their own requests, the administrator everybody's. One replay runs at a time.
        """
        strategy, objective = _strategy(data), _objective(gateway, data)
        if strategy is None and objective is None:
            raise BadRequest("Give 'strategy', 'objective' or both: what to replay the requests under.")
        principal = principal_of(request)
        question = question_of(
            gateway.settings,
            gateway.catalog,
            _period(data, gateway.wall(), None if principal.admin else principal.name),
            Asked(strategy, objective, data.seeds, gateway.defaults.timeout),
        )
        try:
            with Listener(request.receive):
                outcome = await gateway.replays.ask(question, data.timeout or gateway.defaults.timeout)
        except HungUp as exc:
            gone = GatewayError("The caller hung up.", code="hung_up")
            gone.status = HUNG_UP
            raise gone from exc
        except CancelledError as exc:
            # The grace of a stop is over.
            raise Busy("The gateway is being stopped. Try again in a moment.", retry_after=1.0) from exc
        if outcome is None:
            raise NotFound(
                "Nothing that can be replayed is recorded in this period"
                + (f" for the model '{data.model}'" if data.model else "")
                + ": requests that reached a provider, and were not answered from the cache."
            )
        return simulated(outcome, data.seeds)


def _period(data: SimulateRequest, now: float, tenant: str | None) -> Period:
    # Nothing is recorded of the future, whose last year no database can tell.
    until = min(unix(data.until, "until"), now) if data.until else now
    since = unix(data.since) if data.since else max(until - _DAY, 0.0)
    if since >= until:
        raise BadRequest("'since' must be earlier than 'until', which is now at the latest.", param="since")
    return Period(since, until, data.limit, tenant, data.model)


def _strategy(data: SimulateRequest) -> str | None:
    if data.strategy is not None and data.strategy not in STRATEGIES:
        raise BadRequest(
            f"Unknown strategy '{data.strategy[:100]}'. Use one of: {', '.join(sorted(STRATEGIES))}.", param="strategy"
        )
    return data.strategy


def _objective(gateway: Parts, data: SimulateRequest) -> Objective | None:
    if data.objective is None:
        return None
    try:
        if isinstance(data.objective, Weights):
            return gateway.objectives("custom", asdict(data.objective))
        return gateway.objectives(data.objective, None)
    except ValueError as exc:
        raise BadRequest(f"The objective cannot be used: {exc}.", param="objective") from exc
