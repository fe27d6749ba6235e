"""What a simulated world is made of, as data: providers, models, speed, prices, limits and misfortune.

Law: an unknown key, a negative time or a probability above one is refused when loading, with its path, and nothing is
clamped. Zero always means "none of it": no latency, no limit of speed, no errors. All times are seconds, all prices US
dollars per million tokens, all shares probabilities in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, convert

Seconds = Annotated[float, Meta(ge=0)]
Usd = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
#: What a model does; all but the first two are OpenAI's alone.
Kind = Literal["chat", "embedding", "completion", "moderation", "image", "speech", "transcription"]
Dialect = Literal["openai", "anthropic", "gemini"]
#: Of an embedding; whoever asks for more is refused. A list of a billion would be the end of the process.
MOST_DIMENSIONS = 4096

#: Every way to misbehave, one word each, used alike by outages, by the control endpoint and by directives in a prompt.
#:
#: down: 500 at once. overloaded: 529 (Anthropic) or 503. throttled: 429. unauthorized: 401. hang: never answers.
#: slow: all latencies times a factor. drip: a pause between tokens. cut: the connection closes half-way.
#: first_event_error: a 200 stream that opens with an error event (500 without a stream). garbled: a 200 with HTML.
#: truncated: a 200 whose JSON stops in the middle.
Trouble = Literal[
    "down",
    "overloaded",
    "throttled",
    "unauthorized",
    "hang",
    "slow",
    "drip",
    "cut",
    "first_event_error",
    "garbled",
    "truncated",
]


class Speed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a model takes: log-normal first token, then a steady stream."""

    first_token_s: Seconds = 0.0  # median
    sigma: Annotated[float, Meta(ge=0, le=3)] = 0.0  # of the logarithm
    straggler_share: Share = 0.0
    straggler_factor: Annotated[float, Meta(ge=1)] = 1.0
    prefill_s_per_1k: Seconds = 0.0  # added per 1,000 uncached prompt tokens
    tokens_per_s: Annotated[float, Meta(ge=0)] = 0.0  # 0: all at once


class Lengths(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a model says when nobody tells it: log-normal, in tokens."""

    median_tokens: Annotated[float, Meta(ge=1)] = 60.0
    sigma: Annotated[float, Meta(ge=0, le=3)] = 0.0


class Prices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Told to whoever builds a catalogue; the simulator itself charges nobody."""

    input_usd_per_1m: Usd = 0.0
    cached_input_usd_per_1m: Usd = 0.0
    output_usd_per_1m: Usd = 0.0


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of a provider."""

    name: Name
    kind: Kind = "chat"
    speed: Speed = Speed()
    lengths: Lengths = Lengths()
    prices: Prices = Prices()
    context_window: Count = 128_000
    max_output: Count = 16_384
    dimensions: Annotated[int, Meta(ge=8, le=MOST_DIMENSIONS)] = 256  # of an embedding model


class Faults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong by chance, as the probability that a request meets it. They exclude each other."""

    down: Share = 0.0
    overloaded: Share = 0.0
    hang: Share = 0.0
    drip: Share = 0.0
    cut: Share = 0.0
    first_event_error: Share = 0.0
    garbled: Share = 0.0
    truncated: Share = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that add up to more than one."""
        if sum(getattr(self, name) for name in self.__struct_fields__) > 1:
            raise ValueError("the fault shares add up to more than 1")


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quota of the provider's one account, each a token bucket that refills evenly."""

    requests_per_min: Count | None = None
    tokens_per_min: Count | None = None


class Knee(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Capacity: each request in flight beyond `in_flight` slows all new ones by `slowdown` (0.1: +10 %)."""

    in_flight: Count
    slowdown: Annotated[float, Meta(ge=0)] = 0.1


class Outage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A planned misfortune, counted from the server's start; `every_s` repeats it."""

    start_s: Seconds
    duration_s: Annotated[float, Meta(gt=0)]
    kind: Trouble = "down"
    every_s: Annotated[float, Meta(gt=0)] | None = None
    factor: Annotated[float, Meta(gt=0)] = 10.0  # of slow

    def __post_init__(self) -> None:
        """Refuse an outage that would not be over before its next beginning."""
        if self.every_s is not None and self.every_s <= self.duration_s:
            raise ValueError("every_s must exceed duration_s")


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One simulated provider, mounted at `/<name>`."""

    name: Name
    dialect: Dialect
    models: Annotated[tuple[Model, ...], Meta(min_length=1)]
    api_key: Annotated[str, Meta(min_length=1)] | None = None  # None: any key, or none at all
    #: Refuse fields the real API does not know, as the real ones do; most OpenAI-compatible servers ignore them.
    strict: bool = True
    faults: Faults = Faults()
    limits: Limits = Limits()
    knee: Knee | None = None
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two models of one name."""
        if len({model.name for model in self.models}) < len(self.models):
            raise ValueError(f"provider {self.name!r} names a model twice")

    def __repr__(self) -> str:
        """Leave the key out."""
        return f"Provider({self.name!r}, {self.dialect}, models={[model.name for model in self.models]})"


class Simulation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cast of providers on one server."""

    providers: Annotated[tuple[Provider, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Refuse two providers of one name."""
        if len({provider.name for provider in self.providers}) < len(self.providers):
            raise ValueError("a provider is named twice")


def load(mapping: Mapping[str, Any]) -> Simulation:
    """Build a simulation from plain data, as JSON or YAML gives it.

    Raises:
        msgspec.ValidationError: an unknown key, a wrong type or a value out of range; the message holds the path.
    """
    return convert(mapping, Simulation)
