"""n_out(route, prompt size) = shrunk mean of the answers seen: (k·mean of the size + Σ own) / (k + n), k = 5.

The length of the answer explains more of its latency and cost than the host does, so it is forecast per route and per
octave of prompt tokens, the two things known before. A pair with few answers leans on all answers of its prompt size,
and those on `Params.output_tokens`. The mean, not the median: loss is linear in tokens. Old answers fade at
`length_gain`. The caller's max_tokens caps the forecast.

Memory is bounded: the least recently taught (route, size) pair is dropped.
"""

from __future__ import annotations

from typing import cast

from dwa.candidate import Shape
from dwa.params import Params

LEAN = 5.0
"""Answers that the forecast of the prompt size is worth. Doubled: new routes learn late; halved: they jump."""


class Lengths:
    """Output tokens to expect."""

    __slots__ = ("_means", "_params", "_sizes")

    def __init__(self, params: Params) -> None:
        self._params = params
        self._means: dict[tuple[str, int], tuple[float, float]] = {}
        """(route, octave) → (answers counted, mean)."""
        self._sizes: dict[int, tuple[float, float]] = {}

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
        routes = cast("list[tuple[str, int, float, float]]", rows["routes"])
        sizes = cast("list[tuple[int, float, float]]", rows["sizes"])
        self._means = {(route, octave): (answers, mean) for route, octave, answers, mean in routes}
        self._sizes = {octave: (answers, mean) for octave, answers, mean in sizes}
