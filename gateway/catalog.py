"""Who can answer: a model or route name → deployments, validated at start.

A name may be a bare model (`gpt-4o-mini`: every deployment that serves it), `provider/model`, a configured route, or
`auto` (every chat deployment). Deployments that lack a capability the request needs, or whose window is too small for
it, cannot answer and are left out here; whether the others should is the DWA's business.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from difflib import get_close_matches
from math import inf

from msgspec import Struct

from dwa import Candidate
from gateway.errors import BadRequest, GatewayError, UnknownModel
from providers.chat import Usage
from providers.client import Endpoint
from providers.dialect import Dialect, Target

AUTO = "auto"
EMBEDDINGS = "embeddings"
#: The model writes on from a prompt, by OpenAI's older endpoint.
COMPLETIONS = "completions"
MODERATION, IMAGES, SPEECH, TRANSCRIPTION = "moderation", "images", "speech", "transcription"
#: What a model does instead of holding conversations; requests for these are passed on as they are.
PASSED = frozenset({MODERATION, IMAGES, SPEECH, TRANSCRIPTION})
_APART = PASSED | {EMBEDDINGS, COMPLETIONS}
#: Characters of a name that are repeated in a message, and looked for among the known ones.
_LONGEST_NAME = 200
#: Times a window that a prompt may be estimated at: what is plainly longer is turned away.
_ROUGHLY = 1.25


class Price(Struct, frozen=True):
    """USD per token."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_hour: float | None = None

    def of(self, usage: Usage) -> float:
        """What these tokens cost, in USD. Without a price of their own, cached tokens cost what others do.

        Nor have written ones a price then, and those written for an hour that of the others.
        """
        cached = self.input if self.cached_input is None else self.cached_input
        # No provider's miscount may turn a price into a gift.
        read = min(usage.cached_tokens, usage.input_tokens)
        fresh = usage.input_tokens - read
        prompt = fresh * self.input + read * cached
        if usage.cache_write_tokens and (self.cache_write is not None or self.cache_write_hour is not None):
            written = min(usage.cache_write_tokens, fresh)
            hour = min(usage.cache_write_hour_tokens, written)
            short = self.input if self.cache_write is None else self.cache_write
            long = short if self.cache_write_hour is None else self.cache_write_hour
            prompt += (written - hour) * (short - self.input) + hour * (long - self.input)
        return prompt + usage.output_tokens * self.output


class Deployment(Struct, frozen=True, eq=False):
    """An upstream model at an endpoint, with all that is needed to call it, price it and rank it."""

    provider: str
    model: str
    dialect: Dialect
    endpoint: Endpoint
    target: Target
    price: Price
    candidate: Candidate
    context: int | None
    #: None: not known, so nothing is concluded from it.
    capabilities: frozenset[str] | None
    simulated: bool = False

    @property
    def key(self) -> str:
        """`provider/model`: how metrics, logs and the DWA call it."""
        return self.candidate.key

    @property
    def chats(self) -> bool:
        """It holds conversations; a model that embeds does not, nor one that can nothing but something else."""
        able = self.capabilities
        return not able or (EMBEDDINGS not in able and not able <= _APART)


class Route(Struct, frozen=True):
    """Distinct deployments and an objective under a name: a virtual model. `fallback` names further ones, in order."""

    name: str
    deployments: tuple[Deployment, ...]
    strategy: str | None = None
    objective: str | None = None
    fallback: tuple[str, ...] = ()
    cache: bool | None = None
    cache_ttl: float | None = None
    drop_params: bool = False
    #: Its answers may be graded by the judge.
    judge: bool = True
    #: A request whose answer is overdue may be sent to a second deployment as well.
    hedge: bool = False
    #: An answer whose stream breaks off may be continued by another deployment.
    continue_streams: bool = False
    #: Names of the guardrails that hold for it, beside those that always do.
    guardrails: tuple[str, ...] = ()


class Asked(Struct, frozen=True):
    """What of a request decides who can answer it. Tokens are estimates."""

    needs: frozenset[str]
    input_tokens: int
    output_tokens: int
    providers: tuple[str, ...] = ()
    #: A model that writes on from prompts will do, though it holds no conversations.
    completes: bool = False


class _Group(Struct, frozen=True, eq=False):
    """The deployments behind a name, and what each of them can: most requests ask for no more, of however many.

    Windows and answers in tokens; infinite where none is known.
    """

    deployments: tuple[Deployment, ...]
    #: None: what any of them can is not known, so nothing is concluded from it.
    capabilities: frozenset[str] | None
    chats: bool
    window: float
    longest: float

    @classmethod
    def of(cls, deployments: Sequence[Deployment]) -> _Group:
        """Look at each once."""
        known = [one.capabilities for one in deployments if one.capabilities is not None]
        return cls(
            tuple(deployments),
            known[0].intersection(*known) if known else None,
            all(one.chats for one in deployments),
            min((one.context for one in deployments if one.context is not None), default=inf) * _ROUGHLY,
            min((one.target.max_output for one in deployments if one.target.max_output is not None), default=inf),
        )

    def fits(self, asked: Asked) -> bool:
        """Whether any of them can answer this; False is not said of all of them."""
        return (
            not asked.providers
            and self.chats
            and (self.capabilities is None or asked.needs <= self.capabilities)
            and asked.input_tokens <= self.window
            and asked.output_tokens <= self.longest
        )


class Resolution(Struct, frozen=True):
    """Who can answer, in tiers: a later tier is asked only when every deployment before it has failed."""

    tiers: tuple[tuple[Deployment, ...], ...]
    route: Route | None = None

    def without(self, providers: Set[str]) -> tuple[tuple[Deployment, ...], ...]:
        """The tiers without what these providers serve."""
        if not providers:
            return self.tiers
        tiers = (tuple(one for one in tier if one.provider not in providers) for tier in self.tiers)
        return tuple(tier for tier in tiers if tier)


class Catalog:
    """Every deployment and route, by name."""

    def __init__(self, deployments: Sequence[Deployment], routes: Sequence[Route] = ()) -> None:
        """Index once; nothing changes afterwards."""
        self.deployments = tuple(deployments)
        self.routes = {route.name: route for route in routes}
        self.providers = tuple(dict.fromkeys(deployment.provider for deployment in deployments))
        names: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            names.setdefault(deployment.model, []).append(deployment)
            names.setdefault(deployment.key, []).append(deployment)
            if deployment.chats and deployment.model != AUTO:
                names.setdefault(AUTO, []).append(deployment)
        self._names = dict.fromkeys(names)
        self.by_key = {deployment.key: deployment for deployment in deployments}
        # `provider/model` means that one, even if somebody else calls a model so; and a route may be called anything.
        self._groups = {name: _Group.of(found) for name, found in names.items()}
        self._groups.update((key, _Group.of([one])) for key, one in self.by_key.items())
        self._groups.update((route.name, _Group.of(route.deployments)) for route in routes)

    def resolve(self, name: str, asked: Asked, *, ordered: bool = False) -> Resolution:
        """The deployments that can answer for `name`.

        Args:
            name: what the caller asked for.
            asked: what the answer takes.
            ordered: one tier per provider of `asked.providers`, in that order.

        Raises:
            UnknownModel: nothing has that name; names the nearest.
            BadRequest: what has that name lacks a capability, or is too small.
        """
        for wanted in asked.providers:
            if wanted not in self.providers and wanted not in self.by_key:
                hint = _nearest(wanted, [*self.providers, *self.by_key])
                raise BadRequest(
                    f"There is no provider '{wanted[:_LONGEST_NAME]}'.{hint} GET /api/llm/providers lists them all.",
                    param="providers",
                    code="provider_not_found",
                )
        route = self.routes.get(name)
        named = self._able(asked.needs & PASSED) if name == AUTO and asked.needs & PASSED else self._named(name)
        tiers = [_fitting(named, asked)]
        tiers.extend(_fitting(self._named(other), asked) for other in (route.fallback if route else ()))
        if not any(tiers):
            raise self._nobody(name, named.deployments, asked)
        if ordered and asked.providers:
            everyone = [deployment for tier in tiers for deployment in tier]
            tiers = [tuple(one for one in everyone if _is(one, wanted)) for wanted in asked.providers]
        return Resolution(_each_once(tiers), route)

    def deployments_of(self, provider: str) -> list[Deployment]:
        """What a provider serves."""
        return [one for one in self.deployments if one.provider == provider]

    def known(self, name: str) -> bool:
        """Does anything have that name?"""
        return name in self.routes or name in self._names

    def names(self) -> list[str]:
        """Every name a caller may use but `provider/model`, in order: routes, models, `auto`."""
        models = [name for name in self._names if name not in self.by_key and name != AUTO]
        auto = [AUTO] if AUTO in self._names else []
        return [*self.routes, *(name for name in models if name not in self.routes), *auto]

    def serving(self, name: str) -> tuple[Deployment, ...]:
        """The deployments behind a name, whatever they can. Raises `UnknownModel`."""
        return self._named(name).deployments

    def _hide(self, name: str, deployments: Sequence[Deployment]) -> None:
        """Have these behind a name that nobody may ask for by itself."""
        self._names.pop(name, None)
        self._groups[name] = _Group.of(deployments)

    def _named(self, name: str) -> _Group:
        found = self._groups.get(name)
        if found is None:
            raise self.refusal(name)
        return found

    def _able(self, wanted: frozenset[str]) -> _Group:
        """Who is known to be able, when no model is named. Raises `BadRequest`."""
        found = tuple(one for one in self.deployments if one.capabilities and wanted <= one.capabilities)
        if not found:
            raise BadRequest(
                f"No configured model has the capability {', '.join(sorted(wanted))}. Name a model, or have one given "
                "that capability in the gateway's configuration.",
                param="model",
                code="unsupported_capability",
            )
        return _Group.of(found)

    def refusal(self, name: str) -> GatewayError:
        """What a request for a name that is not known is refused with."""
        return UnknownModel(self.unknown(name), param="model")

    def unknown(self, name: str) -> str:
        """The sentence for a name that nothing has, with the nearest that something has."""
        hint = _nearest(name, [*self.routes, *self._names])
        return f"The model '{name[:_LONGEST_NAME]}' does not exist.{hint} GET /v1/models lists every model."

    def _with(self, capability: str) -> str:
        """A hint at models that have it."""
        able = [one.model for one in self.deployments if one.capabilities and capability in one.capabilities]
        return f" These do: {', '.join(dict.fromkeys(able[:5]))}." if able else " No configured model does."

    def _nobody(self, name: str, deployments: tuple[Deployment, ...], asked: Asked) -> BadRequest:
        obstacles = [_obstacle(one, asked) for one in deployments]
        if "provider" in obstacles and set(obstacles) == {"provider"}:
            return BadRequest(
                f"None of the providers {', '.join(asked.providers)} serves '{name}'. "
                f"These do: {', '.join(sorted({one.provider for one in deployments}))}.",
                param="providers",
                code="provider_not_found",
            )
        if "context" in obstacles:
            largest = max(one.context or 0 for one, why in zip(deployments, obstacles, strict=True) if why == "context")
            return BadRequest(
                f"The request needs about {asked.input_tokens + asked.output_tokens} tokens; "
                f"'{name}' takes at most {largest}. Shorten the messages or lower max_tokens.",
                param="messages",
                code="context_length_exceeded",
            )
        if "output" in obstacles:
            longest = max(
                one.target.max_output or 0 for one, why in zip(deployments, obstacles, strict=True) if why == "output"
            )
            return BadRequest(
                f"max_tokens is {asked.output_tokens}, and '{name}' answers with at most {longest}. Lower max_tokens.",
                param="max_tokens",
                code="invalid_value",
            )
        lacking = next(obstacle for obstacle in obstacles if obstacle not in {"provider", "context", "output"})
        return BadRequest(
            f"'{name}' does not support {lacking}, which this request needs.{self._with(lacking)}",
            param="model",
            code="unsupported_capability",
        )


def _fitting(group: _Group, asked: Asked) -> tuple[Deployment, ...]:
    """Who of them can answer. Within what all can, looking at each would cost a request more for every deployment."""
    if group.fits(asked):
        return group.deployments
    return tuple(one for one in group.deployments if not _obstacle(one, asked))


def _nearest(name: str, known: list[str]) -> str:
    """A hint at the name that was probably meant; looking for one among long names would take seconds."""
    near = get_close_matches(name, known, n=1, cutoff=0.6) if len(name) <= _LONGEST_NAME else []
    return f" Did you mean '{near[0]}'?" if near else ""


def _each_once(tiers: Sequence[tuple[Deployment, ...]]) -> tuple[tuple[Deployment, ...], ...]:
    """The tiers without whoever stands in an earlier one already, and without empty ones."""
    if len(tiers) == 1:
        return (tiers[0],)
    seen: set[str] = set()
    kept: list[tuple[Deployment, ...]] = []
    for tier in tiers:
        fresh = tuple({one.key: one for one in tier if one.key not in seen}.values())
        seen.update(one.key for one in fresh)
        if fresh:
            kept.append(fresh)
    return tuple(kept)


def _will_do(deployment: Deployment, asked: Asked) -> bool:
    """It holds conversations, or none is asked for."""
    if deployment.chats or asked.needs & (PASSED | {EMBEDDINGS}):
        return True
    return asked.completes and COMPLETIONS in (deployment.capabilities or ())


def _is(deployment: Deployment, wanted: str) -> bool:
    return wanted in {deployment.provider, deployment.key}


def _obstacle(deployment: Deployment, asked: Asked) -> str:
    """Why it cannot answer: `provider`, `context`, `output`, the missing capability, or nothing."""
    if asked.providers and deployment.provider not in asked.providers and deployment.key not in asked.providers:
        return "provider"
    if deployment.capabilities is not None:
        lacking = asked.needs - deployment.capabilities
        if lacking:
            return min(lacking)
        if not _will_do(deployment, asked):
            return "chat"
    # The estimate is rough: only what is plainly too long is turned away here, the provider judges the rest.
    if deployment.context is not None and asked.input_tokens > deployment.context * _ROUGHLY:
        return "context"
    longest = deployment.target.max_output
    if longest is not None and asked.output_tokens > longest:
        return "output"
    return ""
