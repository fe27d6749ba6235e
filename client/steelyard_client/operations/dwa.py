"""What the DWA knows, whom it would choose, and why it chose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from steelyard_client.answers.dwa import (
    DwaStats,
    Explanation,
    HistoryAnswer,
    RankingAnswer,
    ResetAnswer,
    SimulateAnswer,
)
from steelyard_client.asking import Ask, given
from steelyard_client.operation import Operation


class Dwa:
    """`/api/llm/dwa/*`."""

    @Operation
    @staticmethod
    def dwa_stats() -> Ask[DwaStats]:
        """Statistics, weight and score of every deployment."""
        return Ask(method="GET", address="/api/llm/dwa/stats", answer=DwaStats)

    @Operation
    @staticmethod
    def dwa_reset(provider: str | None = None) -> Ask[ResetAnswer]:
        """Forget one provider or `provider/model`, or everything. For the administrator."""
        body = given(provider=provider)
        return Ask(method="POST", address="/api/llm/dwa/reset", body=body, answer=ResetAnswer, repeatable=True)

    @Operation
    @staticmethod
    def best_provider(
        model: str | None = None,
        *,
        objective: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> Ask[RankingAnswer]:
        """Who would be chosen now, for a request of this size, with reasons."""
        query = {
            "model": model,
            "objective": objective,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
        }
        return Ask(method="GET", address="/api/llm/dwa/best-provider", query=query, answer=RankingAnswer)

    @Operation
    @staticmethod
    def dwa_history(*, since: datetime | None = None, limit: int | None = None) -> Ask[HistoryAnswer]:
        """Weights over time, oldest first: of the last hour, or since a time."""
        query = {"since": since, "limit": limit}
        return Ask(method="GET", address="/api/llm/dwa/history", query=query, answer=HistoryAnswer)

    @Operation
    @staticmethod
    def explain(request_id: str) -> Ask[Explanation]:
        """Why a request went where it went; known after the log's flush interval."""
        place = {"request_id": request_id}
        return Ask(method="GET", address="/api/llm/dwa/explain/{request_id}", place=place, answer=Explanation)

    @Operation
    @staticmethod
    def dwa_simulate(
        *,
        strategy: str | None = None,
        objective: str | Mapping[str, float] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        model: str | None = None,
        seeds: int | None = None,
        timeout: float | None = None,
    ) -> Ask[SimulateAnswer]:
        """What would have happened to the recorded requests under another strategy, objective, or both."""
        body = given(
            strategy=strategy,
            objective=objective,
            since=since,
            until=until,
            limit=limit,
            model=model,
            seeds=seeds,
            timeout=timeout,
        )
        return Ask(method="POST", address="/api/llm/dwa/simulate", body=body, answer=SimulateAnswer, repeatable=True)
