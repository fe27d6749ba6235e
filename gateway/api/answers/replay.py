"""What a what-if replay answers: the facts, the recorded policy in the model, and the asked one."""

from datetime import UTC, datetime
from math import isnan

from msgspec import Struct, convert

from dwa import Objective
from dwa.simulate.recorded import Estimate, Figures, Run, Spread
from gateway.replaying import Outcome


class FactFigures(Struct):
    """What happened to the requests that are replayed. Seconds of answered requests; null without any.

    `cost_usd` of all of them together, `error_share` of the requests whose caller met a failure, `failovers` requests
    that took more than one attempt, `shares` of the answered requests by `provider/model`.
    """

    requests: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cost_usd: float
    error_share: float
    failovers: int
    shares: dict[str, float]


class SpreadAnswer(Struct):
    """A modelled figure: its mean over the seeds, the least and the greatest; null where nobody was answered."""

    mean: float | None
    min: float | None
    max: float | None


class ObjectiveAnswer(Struct):
    """What loss was made of."""

    name: str
    latency: float
    cost: float
    errors: float
    quality: float


class RunAnswer(Struct):
    """One policy in the model; figures as in the facts, each over the seeds."""

    strategy: str
    objective: ObjectiveAnswer
    requests: int
    mean_s: SpreadAnswer
    p50_s: SpreadAnswer
    p95_s: SpreadAnswer
    p99_s: SpreadAnswer
    cost_usd: SpreadAnswer
    error_share: SpreadAnswer
    failovers: SpreadAnswer
    shares: dict[str, SpreadAnswer]


class Changes(Struct):
    """Per cent by which each mean differs; null where it cannot be said, as when the first is zero."""

    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cost_usd: float | None
    error_share: float | None
    failovers: float | None


class EstimateAnswer(Struct):
    """What the model believes of a deployment (`key` is `provider/model`), from its recorded attempts.

    A typical answer takes `start_s` seconds, and so many more for 1,000 tokens of input and of output. Prices are as
    billed, in USD per million tokens; `spells` counts the times between which its speed or its errors changed.
    """

    key: str
    attempts: int
    answers: int
    start_s: float
    s_per_1k_input: float
    s_per_1k_output: float
    error_share: float | None
    input_usd_per_1m: float
    output_usd_per_1m: float
    spells: int


class LeftOut(Struct):
    """Requests of the period that cannot be replayed.

    `cached` were answered without asking anybody, `caller` were wrong in themselves or not allowed, `left` were given
    up by their callers, `unknown` have no recorded candidate or attempt.
    """

    cached: int = 0
    caller: int = 0
    left: int = 0
    unknown: int = 0


class SimulateAnswer(Struct):
    """What would have happened; `began` and `ended` are the first and the last replayed request.

    `off` is how far the model of the recorded policy is from the facts, `change` how far the asked policy is from the
    recorded one, both in the model. Read `limits`: they say what is modelled, and what the log lacked.
    """

    began: datetime
    ended: datetime
    seeds: int
    facts: FactFigures
    recorded: RunAnswer
    asked: RunAnswer
    off: Changes
    change: Changes
    left_out: LeftOut
    deployments: list[EstimateAnswer]
    limits: list[str]


def simulated(outcome: Outcome, seeds: int) -> SimulateAnswer:
    """The outcome as it is told."""
    return SimulateAnswer(
        began=datetime.fromtimestamp(outcome.began, UTC),
        ended=datetime.fromtimestamp(outcome.ended, UTC),
        seeds=seeds,
        facts=_facts(outcome.facts),
        recorded=_run(outcome.recorded),
        asked=_run(outcome.asked),
        off=Changes(**{name: _known(one) for name, one in outcome.off.items()}),
        change=Changes(**{name: _known(one) for name, one in outcome.change.items()}),
        left_out=convert(outcome.left_out, LeftOut),
        deployments=[_estimate(one) for one in outcome.deployments],
        limits=outcome.limits,
    )


def _known(value: float) -> float | None:
    return None if isnan(value) else value


def _facts(found: Figures) -> FactFigures:
    return FactFigures(
        found.requests,
        _known(found.mean_s),
        _known(found.p50_s),
        _known(found.p95_s),
        _known(found.p99_s),
        found.cost_usd,
        found.error_share,
        found.failovers,
        found.shares,
    )


def _run(run: Run) -> RunAnswer:
    return RunAnswer(
        strategy=run.strategy,
        objective=_objective(run.objective),
        requests=run.requests,
        shares={key: _spread(one) for key, one in run.shares.items()},
        **{name: _spread(one) for name, one in run.spread.items()},
    )


def _objective(one: Objective) -> ObjectiveAnswer:
    return ObjectiveAnswer(one.name, one.latency, one.cost, one.errors, one.quality)


def _spread(one: Spread) -> SpreadAnswer:
    return SpreadAnswer(_known(one.mean), _known(one.least), _known(one.most))


def _estimate(one: Estimate) -> EstimateAnswer:
    return EstimateAnswer(
        key=one.key,
        attempts=one.attempts,
        answers=one.answers,
        start_s=one.speed.start_s,
        s_per_1k_input=one.speed.prompt_s * 1e3,
        s_per_1k_output=one.speed.answer_s * 1e3,
        error_share=_known(one.error_share),
        input_usd_per_1m=one.price_in * 1e6,
        output_usd_per_1m=one.price_out * 1e6,
        spells=one.spells,
    )
