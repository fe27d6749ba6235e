"""Asking models, and what can be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from steelyard_client.answers.routing import ModelsAnswer, OrchestrateAnswer, ProvidersAnswer, RoutesAnswer
from steelyard_client.asking import Ask, Follow, given
from steelyard_client.errors import StreamCut
from steelyard_client.events import ServerEvent
from steelyard_client.operation import Operation, Streaming

_ORCHESTRATE = "/api/llm/orchestrate"
Mode = Literal["route", "compare", "race", "fallback"]


@dataclass(frozen=True)
class OrchestrateEvent:
    """A part of a streamed answer: `result.delta`, `result.done`, at last `metadata`; of a comparison also `error`."""

    type: str
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """The words it adds to the answer."""
        return self.data.get("text", "") if self.type == "result.delta" else ""


class Routing:
    """`/api/llm/orchestrate` and the catalog."""

    @Operation
    @staticmethod
    def orchestrate(
        prompt: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        model: str | None = None,
        providers: Sequence[str] | None = None,
        mode: Mode | None = None,
        parallel: int | None = None,
        strategy: str | None = None,
        objective: str | Mapping[str, float] | None = None,
        max_cost_usd: float | None = None,
        session_id: str | None = None,
        cache: bool | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Ask[OrchestrateAnswer]:
        """Ask, and learn who answered, why, and at what cost. Exactly one of `prompt` and `messages`.

        `sampling` are the usual fields: temperature, max_tokens, top_p, stop, tools, response_format …
        """
        body = given(**_named(locals()), **sampling)
        return Ask(method="POST", address=_ORCHESTRATE, body=body, answer=OrchestrateAnswer)

    @Streaming
    @staticmethod
    def orchestrate_stream(
        prompt: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        model: str | None = None,
        providers: Sequence[str] | None = None,
        mode: Mode | None = None,
        parallel: int | None = None,
        strategy: str | None = None,
        objective: str | Mapping[str, float] | None = None,
        max_cost_usd: float | None = None,
        session_id: str | None = None,
        cache: bool | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Follow[OrchestrateEvent]:
        """The same as it is written. Raises `StreamCut` when it breaks; of a comparison one may fail alone."""
        body = given(**_named(locals()), **sampling) | {"stream": True}
        return Follow(method="POST", address=_ORCHESTRATE, body=body, understand=_understood, ends=_last)

    @Operation
    @staticmethod
    def providers() -> Ask[ProvidersAnswer]:
        """Every provider and its models."""
        return Ask(method="GET", address="/api/llm/providers", answer=ProvidersAnswer)

    @Operation
    @staticmethod
    def models() -> Ask[ModelsAnswer]:
        """Every deployment, with its price and its limits."""
        return Ask(method="GET", address="/api/llm/models", answer=ModelsAnswer)

    @Operation
    @staticmethod
    def routes() -> Ask[RoutesAnswer]:
        """Every configured route."""
        return Ask(method="GET", address="/api/llm/routes", answer=RoutesAnswer)


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an operation that it names itself."""
    return {name: value for name, value in arguments.items() if name != "sampling"}


def _understood(event: ServerEvent) -> OrchestrateEvent:
    # What one of several says of its own failure names whose it is, and the others go on.
    if event.type == "error" and "provider" not in event.data:
        error: Any = event.data.get("error")
        said: Any = cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else None
        raise StreamCut(said or "The answer broke off.", event.data)
    return OrchestrateEvent(event.type, event.data)


def _last(event: ServerEvent) -> bool:
    return event.type == "metadata"
