"""What the gateway tells of itself: its log lines, and traces of OpenTelemetry.

The `OTEL_…` variables are those of OpenTelemetry's specification, and mean what they mean there. They are read here and
handed on, so that they count in `.env` and in a file as well, and a mistake is told at the start. What is not named
here (`OTEL_BSP_…`, certificates, compression) its library reads from the environment by itself.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from msgspec import Meta, Struct

from gateway.settings.build import Builder
from gateway.settings.names import suggestion
from gateway.settings.secrets import Secret, SecretUrl
from gateway.settings.sections import LogLevel, option

#: `auto`: text on a terminal, else JSON.
LogFormat = Literal["auto", "json", "text"]
Sampler = Literal[
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
    "always_on",
    "always_off",
    "traceidratio",
]
#: What has to be there to send traces; imported by `gateway.tracing.sending` alone.
_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
#: Where collectors take gRPC, and by which gRPC alone is meant.
_GRPC = re.compile(r"^https?://[^/]*:4317(?:/|$)")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Log(Struct, frozen=True, kw_only=True):
    """What the process itself writes: to standard error, or to a file."""

    level: Annotated[LogLevel, option("LOG_LEVEL", "How much is logged.")] = "info"
    format: Annotated[
        LogFormat, option("STEELYARD_LOG_FORMAT", "How a line looks; `auto` is text on a terminal, else JSON.")
    ] = "auto"
    requests: Annotated[
        Literal["failed", "all"],
        option("STEELYARD_LOG_REQUESTS", "Which requests have a line at LOG_LEVEL `info`; `debug` shows all."),
    ] = "failed"
    file: Annotated[
        Path | None,
        option("STEELYARD_LOG_FILE", "File to write to instead of standard error, shared by all processes."),
    ] = None
    file_size: Annotated[
        Annotated[int, Meta(ge=0, extra={"unit": "bytes"})],
        option("STEELYARD_LOG_FILE_SIZE", "Size from which on a new file is begun. 0: never; leave it to logrotate."),
    ] = 100 * 1024**2
    file_count: Annotated[
        Annotated[int, Meta(ge=1, le=1000)],
        option("STEELYARD_LOG_FILE_COUNT", "Older files that are kept, as `<file>.1` and so on."),
    ] = 5


class Tracing(Struct, frozen=True, kw_only=True):
    """Traces, sent to an OpenTelemetry collector (OTLP). They take the extra `steelyard[otel]`."""

    enabled: Annotated[bool | None, option("STEELYARD_TRACING", "Send traces. Unset: when an OTLP address is set.")] = (
        None
    )
    disabled: Annotated[bool, option("OTEL_SDK_DISABLED", "Send none, whatever else is set.")] = False
    endpoint: Annotated[
        SecretUrl | None,
        option(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "The collector, which takes OTLP over HTTP: `http://collector:4318`; `/v1/traces` is added.",
            schemes=("http", "https"),
        ),
    ] = None
    traces_endpoint: Annotated[
        SecretUrl | None,
        option(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "The whole address for traces, where it is another.",
            schemes=("http", "https"),
        ),
    ] = None
    headers: Annotated[
        Secret | None,
        Meta(extra={"spaces": True}),
        option("OTEL_EXPORTER_OTLP_HEADERS", "Headers for it, such as a key: `name=value,name=value`."),
    ] = None
    service_name: Annotated[
        str, Meta(min_length=1), option("OTEL_SERVICE_NAME", "What the gateway is called in traces.")
    ] = "steelyard"
    resource: Annotated[
        str, option("OTEL_RESOURCE_ATTRIBUTES", "More about it: `deployment.environment.name=prod,…`.")
    ] = ""
    sampler: Annotated[
        Sampler,
        option(
            "OTEL_TRACES_SAMPLER",
            "Which requests are traced; `parentbased_…` does as the caller's `traceparent` says, where there is one.",
        ),
    ] = "parentbased_always_on"
    sampler_arg: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        option("OTEL_TRACES_SAMPLER_ARG", "The share of them, for the samplers with `traceidratio`."),
    ] = 1.0
    propagate: Annotated[
        str,
        option(
            "STEELYARD_TRACING_PROPAGATE",
            "Providers that are sent `traceparent` and `tracestate`, with commas; `*`: all. Unset: none.",
        ),
    ] = ""
    bodies: Annotated[
        bool,
        option(
            "STEELYARD_TRACING_BODIES",
            "Prompts and answers in spans too: those that are recorded (STEELYARD_LOG_BODIES), masked as there.",
        ),
    ] = False

    @property
    def used(self) -> bool:
        """Traces are sent at all."""
        if self.disabled:
            return False
        named = self.endpoint is not None or self.traces_endpoint is not None
        return named if self.enabled is None else self.enabled

    @property
    def told(self) -> list[str]:
        """Of `propagate`, each."""
        return [one.strip() for one in self.propagate.split(",") if one.strip()]

    @property
    def header_pairs(self) -> dict[str, str]:
        """Of `headers`, each; percent-encoding undone, as the specification has it."""
        return pairs_of(self.headers.reveal()) if self.headers is not None else {}

    @property
    def resource_pairs(self) -> dict[str, str]:
        """Of `resource`, each."""
        return pairs_of(self.resource)


def pairs_of(text: str) -> dict[str, str]:
    """`name=value,…` as a mapping. Raises `ValueError` for what is no pair."""
    found: dict[str, str] = {}
    for one in filter(None, map(str.strip, text.split(","))):
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise ValueError("a pair without a name or without '='")
        found[name.strip()] = unquote(value.strip())
    return found


def check_tracing(tracing: Tracing, providers: list[str], builder: Builder) -> None:
    """What is asked for is there, and understood. Problems go to the builder."""
    try:
        fine = all(map(_HEADER.fullmatch, tracing.header_pairs))
        fine = fine and all(value.isascii() and value.isprintable() for value in tracing.header_pairs.values())
    except ValueError:
        fine = False
    if not fine:
        builder.blame(("tracing", "headers"), "is not valid: write name=value,name=value.")
    try:
        pairs_of(tracing.resource)
    except ValueError:
        builder.blame(("tracing", "resource"), "is not valid: write name=value,name=value.")
    for field in ("endpoint", "traces_endpoint"):
        url: SecretUrl | None = getattr(tracing, field)
        if url is not None and _GRPC.search(url.reveal()):
            builder.blame(("tracing", field), "is the port of gRPC, which is not spoken here; that of HTTP is 4318.")
    for name in tracing.told:
        if name != "*" and name not in providers:
            told = f"there is no provider '{name:.60}'. {suggestion(name, sorted(providers))}"
            builder.blame(("tracing", "propagate"), told)
    if tracing.used and not _installed():
        where = ("tracing", "enabled" if tracing.enabled else "endpoint" if tracing.endpoint else "traces_endpoint")
        builder.blame(
            where,
            "traces take the extra 'otel', which is not installed: pip install 'steelyard[otel]'. "
            "Or set STEELYARD_TRACING=false.",
        )


def _installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:
        return False
