"""argmin J*: knows each host's momentary state, its crowd and its bucket; neither the noise nor the answer's length.

The yardstick of regret. It charges itself for crowding: beyond the knee a request slows by (n/K) itself and makes those
who come while it is there wait as much again. Of the answer it knows the mean of its kind (chat, code, long), which no
policy is told. It is greedy: it does not save a limited host's quota for the requests that would gain most by it, and
it shares nothing among equals but the first in the list.
"""

from __future__ import annotations

from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.physics import Line
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.traffic import KINDS, Sized

DEFAULT = "chat"
"""What a shape that does not say its kind is taken for."""


class Oracle:
    """Looks inside the hosts."""

    def __init__(self, setting: Setting, lines: Sequence[Line]) -> None:
        self._setting = setting
        self._lines = lines

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """By expected loss."""
        lines = self._lines
        hosts = [line.host for line in lines]
        crowds = [self._charged(line) for line in lines]
        spent = [line.tokens(now) < 1.0 for line in lines]
        answer = KINDS[shape.kind if isinstance(shape, Sized) else DEFAULT].answer.mean()
        losses = self._setting.yardstick.expected(hosts, crowds, shape.input_tokens, answer, spent)
        present = [place for place, host in enumerate(hosts) if host.present]
        return sorted(present, key=lambda place: (spent[place], losses[place]))

    def _charged(self, line: Line) -> float:
        crowd = line.crowd(1)
        return 2.0 * crowd if crowd > 1.0 else 1.0

    def begin(self, attempt: Attempt, now: float) -> None:
        """Has nothing to learn."""

    def first_token(self, attempt: Attempt, now: float) -> None:
        """Has nothing to learn."""

    def finish(self, attempt: Attempt, now: float) -> None:
        """Has nothing to learn."""

    def relisted(self, now: float) -> None:
        """Sees it anyway."""
