"""A sample of the answers is graded by a model, and its grades teach the DWA like votes do, within a cap of their own.

    sampling ─► queue ─► budget left? ─► ask the judge's model ─► read the grade ─► keep it, teach it
               │ full: dropped

Law: a caller never waits for the judge, nor hears of it. Grading goes through the gateway's own pipeline as surface and
principal `judge`, so what it costs is in the records and metrics like everything else. When a day's grades (UTC, of all
processes on this database) have cost the budget, no more are asked for until the next; those under way when the last
cent goes are finished. An outcome is counted for every sample:

    graded · unreadable (no grade in the form asked for: none is guessed) · unfit (not all text, or too long)
    dropped (the queue was full) · over_budget · failed (no answer, or no record of the request to keep it with)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from gateway.errands import Asking, Errands
from gateway.errors import GatewayError
from gateway.quality import grading
from gateway.quality.feedback import Feedback
from gateway.quality.sampling import JUDGE, Sample
from gateway.records import Records, StoreUnavailable

_log = logging.getLogger("steelyard.judge")
#: Grades asked for at once, per process: the judge is in no hurry, and its provider has callers to serve.
CONCURRENCY = 2
#: Samples that wait; at `grading.LARGEST` bytes twice each, 32 MiB.
QUEUE = 64
#: Seconds for one grade.
_TIMEOUT = 60.0
_DAY = 86_400


class Judge:
    """Grades what it is offered. `work` must run for it, `CONCURRENCY` times."""

    def __init__(
        self,
        model: str,
        budget_usd: float,
        *,
        pipeline: Callable[[], Asking],
        feedback: Feedback,
        records: Records,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
        counted: Callable[[str], None],
    ) -> None:
        """Ask `model` for grades for at most `budget_usd` a day; `counted` is told of every sample's outcome."""
        self._model = model
        self._budget = budget_usd
        self._feedback = feedback
        self._records = records
        self._wall = wall
        self._errands = Errands(pipeline, JUDGE, wall=wall, monotonic=monotonic, rng=rng)
        self._counted = counted
        self._queue: asyncio.Queue[Sample] = asyncio.Queue(QUEUE)
        #: The day, and what this process has spent on it: the records lag a moment behind.
        self._spent = (0, 0.0)

    def offer(self, sample: Sample) -> None:
        """Take a sample, or drop it when too many wait."""
        try:
            self._queue.put_nowait(sample)
        except asyncio.QueueFull:
            self._counted("dropped")

    async def work(self) -> None:
        """Grade one after the other, until cancelled."""
        while True:
            sample = await self._queue.get()
            try:
                outcome = await self._judge(sample)
            except (GatewayError, StoreUnavailable) as exc:
                outcome = "failed"
                _log.warning("no grade", extra={"request_id": sample.request_id, "error": str(exc)[:200]})
            except Exception as exc:  # noqa: BLE001 - a defect that one sample meets must not end all grading
                outcome = "failed"
                _log.error("grading failed", extra={"request_id": sample.request_id}, exc_info=exc)
            self._counted(outcome)

    async def _judge(self, sample: Sample) -> str:
        body = grading.question(sample, self._model)
        if body is None:
            return "unfit"
        day = int(self._wall() // _DAY)
        if not await self._afford(day):
            return "over_budget"
        score = await self._ask(sample.request_id, body, day)
        if score is None:
            return "unreadable"
        return "graded" if await self._feedback.grade(sample.request_id, score) else "failed"

    async def _afford(self, day: int) -> bool:
        known, spent = self._spent
        if known != day:
            self._spent = (day, 0.0)
            spent = 0.0
        return max(spent, await self._records.spent(JUDGE, float(day * _DAY))) < self._budget

    async def _ask(self, request_id: str, body: bytes, day: int) -> float | None:
        exchange = self._errands.exchange(JUDGE, self._model, {"judged": request_id}, timeout=_TIMEOUT)
        try:
            reply = await self._errands.chat(exchange, body)
        finally:
            if self._spent[0] == day:
                self._spent = (day, self._spent[1] + exchange.cost)
        return grading.grade(reply)
