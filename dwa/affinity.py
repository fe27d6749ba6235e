"""saving = cached·(price_in - price_cached)·hit + cached·F·(1 - 0.1)·hit, for the host that answered this session last.

A session or prompt prefix stays where its prompt cache is warm, priced as what it saves and not as a rule: a cache is
worth leaving when the host has become slower by more than it saves. `cached` is the smaller of the last prompt and
this one; `hit` is the share of what could have been cached that the host said it read from its cache, learned per
deployment: a provider without a prompt cache keeps nobody.
"""

from __future__ import annotations

from dwa.params import Params

HIT_GAIN = 0.1
"""Weight of one answer in the hit share. Doubled: jumpy; halved: twenty answers to find out there is no cache."""


class Affinity:
    """Which deployment is warm for which session. Memory bounded: the least recent session is dropped."""

    __slots__ = ("_params", "_warm")

    def __init__(self, params: Params) -> None:
        self._params = params
        self._warm: dict[str, tuple[str, int, float]] = {}

    def warm(self, sticky: str, now: float) -> tuple[str, int] | None:
        """(key, prompt tokens of the last request) of the host that is still warm, or None."""
        seen = self._warm.get(sticky)
        if seen is None or now - seen[2] > self._params.warm_s:
            return None
        return seen[0], seen[1]

    def remember(self, sticky: str, key: str, input_tokens: int, now: float) -> None:
        """`key` has just answered this session."""
        self._warm.pop(sticky, None)
        self._warm[sticky] = (key, input_tokens, now)
        if len(self._warm) > self._params.sessions:
            del self._warm[next(iter(self._warm))]

    def forget(self, key: str) -> None:
        """Drop all sessions of a deployment."""
        self._warm = {sticky: seen for sticky, seen in self._warm.items() if seen[0] != key}
