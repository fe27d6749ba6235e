"""n_out(route, prompt size) = shrunk mean of the answers seen: (k·mean of the size + Σ own) / (k + n), k = 5.

The length of the answer explains more of its latency and cost than the host does, so it is forecast per route and per
octave of prompt tokens, the two things known before. A pair with few answers leans on all answers of its prompt size,
and those on `Params.output_tokens`. The mean, not the median: loss is linear in tokens. Old answers fade at
`length_gain`. The caller's max_tokens caps the forecast.

Answers are counted in the order in which they were asked for, whoever answers, since the short ones are back first: in
the first seconds of a gateway, or of a rush, a mean of those alone forecasts half of what is coming, and the host with
the most traffic then looks overdue with all of it (three starts in ten benched a healthy host for that). So an answer
waits until none that was asked for before it runs any more, or until `AWAITED` were asked for since.

Memory is bounded: the least recently taught (route, size) pair is dropped.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

from dwa.candidate import Shape
from dwa.params import Params

if TYPE_CHECKING:
    from dwa.ticket import Ticket

RUNNING, UNTOLD, PASSED = -1, -2, -3
"""In place of an answer's tokens: it is still to come; it ended without one; it runs, and is waited for no longer."""
AWAITED = 512
"""Requests in flight among which answers are put in order. Doubled: one that hangs for a minute holds up the lengths of
twice as many; halved: busy gateways count the short ones first again."""
LEAN = 5.0
"""Answers that the forecast of the prompt size is worth. Doubled: new routes learn late; halved: they jump."""


class Lengths:
    """Output tokens to expect."""

    __slots__ = ("_awaited", "_means", "_params", "_sizes")

    def __init__(self, params: Params) -> None:
        self._params = params
        self._means: dict[tuple[str, int], tuple[float, float]] = {}
        """(route, octave) → (answers counted, mean)."""
        self._sizes: dict[int, tuple[float, float]] = {}
        self._awaited: deque[Ticket] = deque()
        """In the order of dispatch; the first of them runs."""

    def expect(self, shape: Shape) -> float:
        """Output tokens expected, at least 1."""
        octave = shape.input_tokens.bit_length()
        answers, mean = self._sizes.get(octave, (0.0, 0.0))
        known = (LEAN * self._params.output_tokens + answers * mean) / (LEAN + answers)
        own = self._means.get((shape.route, octave))
        if own is not None:
            known = (LEAN * known + own[0] * own[1]) / (LEAN + own[0])
        if shape.output_tokens is not None and shape.output_tokens < known:
            known = float(shape.output_tokens)
        return known if known > 1.0 else 1.0

    def sent(self, ticket: Ticket) -> None:
        """A request was dispatched; its end is to be told, once."""
        self._awaited.append(ticket)
        if len(self._awaited) > AWAITED:
            self._awaited[0].tokens = PASSED
            self._settle()

    def ended(self, ticket: Ticket, tokens: int) -> None:
        """It ended, with an answer of so many tokens or `UNTOLD`."""
        passed = ticket.tokens == PASSED
        ticket.tokens = tokens
        if not passed:
            self._settle()
        elif tokens >= 0:
            self.learn(ticket.shape, tokens)

    def _settle(self) -> None:
        awaited = self._awaited
        while awaited and awaited[0].tokens != RUNNING:
            first = awaited.popleft()
            if first.tokens >= 0:
                self.learn(first.shape, first.tokens)

    def learn(self, shape: Shape, output_tokens: int) -> None:
        """An answer of `output_tokens` came to a request of this shape."""
        octave = shape.input_tokens.bit_length()
        self._sizes[octave] = self._moved(self._sizes.get(octave), output_tokens)
        pair = (shape.route, octave)
        self._means[pair] = self._moved(self._means.pop(pair, None), output_tokens)
        if len(self._means) > self._params.routes:
            del self._means[next(iter(self._means))]

    def _moved(self, seen: tuple[float, float] | None, tokens: int) -> tuple[float, float]:
        answers, mean = seen or (0.0, 0.0)
        answers = min(answers + 1.0, 1.0 / self._params.length_gain)
        return answers, mean + (tokens - mean) / answers

    def snapshot(self) -> dict[str, list[list[object]]]:
        """Rows of (route, octave, answers, mean) and of (octave, answers, mean)."""
        return {
            "routes": [[route, octave, *seen] for (route, octave), seen in self._means.items()],
            "sizes": [[octave, *seen] for octave, seen in self._sizes.items()],
        }

    def restore(self, rows: dict[str, list[list[object]]]) -> None:
        """Take over a snapshot; lengths belong to the callers, so age makes no doubt."""
        routes = cast("list[list[Any]]", rows["routes"])
        sizes = cast("list[list[Any]]", rows["sizes"])
        self._means = {(route, octave): (answers, mean) for route, octave, answers, mean in routes}
        self._sizes = {octave: (answers, mean) for octave, answers, mean in sizes}
