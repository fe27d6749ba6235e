"""A tracer whose spans go nowhere but into a list."""

from __future__ import annotations

import random

from gateway.tracing.places import Place
from gateway.tracing.spans import Span
from gateway.tracing.tracer import Tracer


class Kept:
    """A sender that keeps what it is sent, and samples what `wanted` says."""

    def __init__(self, wanted: bool = True) -> None:
        self.spans: list[Span] = []
        self.wanted = wanted

    def samples(self, trace: int, parent: Place | None) -> bool:
        return self.wanted

    def send(self, span: Span) -> None:
        self.spans.append(span)

    async def stop(self) -> None: ...


def a_tracer(sender: Kept | None) -> Tracer:
    return Tracer(sender, told=["mine"], bodies=False, wall=lambda: 100.0, rng=random.Random(1), where={})
