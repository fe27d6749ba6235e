"""What a replay may not be taken for, in sentences: always what is modelled at all, and what this log lacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dwa.simulate.recorded.fit import FEW, Fitted
from dwa.simulate.recorded.log import Facts, Fate
from dwa.simulate.recorded.world import ATTEMPTS

ALWAYS = (
    "Seconds, failures and costs of both runs are modelled from the attempts in this log: what a deployment would have "
    "done with a request that it never got cannot be measured. 'off' says how far the model of the recorded policy is "
    "from the facts; a change smaller than that is no finding.",
    "What more traffic would do to a deployment's speed or limits is not known from the log and not modelled.",
    "Both runs begin expecting of each deployment the speed it has at the beginning of the log, and knowing nothing "
    "else of it; what the recorded gateway knew by then is not recorded.",
    f"A request is tried at {ATTEMPTS} deployments at most, each once; pauses, second rounds, sessions, prompt caches "
    "and the gateway's own milliseconds are not modelled.",
)
_LEFT_OUT: dict[Fate, str] = {
    "cached": "answered from the cache or by another's answer",
    "caller": "wrong in themselves or not allowed",
    "left": "given up by their callers",
    "unknown": "without any recorded candidate or attempt",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell of one replay."""

    facts: Facts
    fitted: Sequence[Fitted]
    known: frozenset[str]
    """Deployments of today's configuration."""
    usual: float
    """Share of the requests that had the recorded policy."""
    unsized: int
    guessed: int
    refused: bool
    """Rate limits were met."""


def sentences(told: Told) -> list[str]:
    """The limits of one replay."""
    found = list(ALWAYS)
    total = len(told.facts.requests)
    left = [f"{count} {_LEFT_OUT[why]}" for why, count in told.facts.left_out.items()]
    if left:
        found.append(f"Left out of facts and runs are requests that cannot be replayed: {', '.join(sorted(left))}.")
    if told.usual < 1.0:
        found.append(
            f"The recorded policy is the one of {100 * told.usual:.0f} % of the requests; in the model all have it."
        )
    if told.unsized:
        found.append(
            f"{told.unsized} of {total} requests were never answered, so their lengths are not recorded: they are "
            "replayed with the median lengths of those that asked for the same."
        )
    if told.guessed:
        found.append(
            f"The candidates of {told.guessed} of {total} requests are not recorded: whoever was tried or ranked for "
            "the same model stands in."
        )
    if told.refused:
        found.append("Rate limits are replayed as the share of refusals of their time, whatever is sent there.")
    return found + _deployments(told)


def _deployments(told: Told) -> list[str]:
    found = [
        f"{one.key} has {one.answers} answers in this log, fewer than {FEW}: its speed is mostly that of the whole log."
        for one in told.fitted
        if one.thin
    ]
    gone = [one.key for one in told.fitted if one.key not in told.known]
    if gone:
        found.append(f"No longer configured, and replayed as recorded: {', '.join(gone)}.")
    free = [one.key for one in told.fitted if not one.priced]
    if free:
        found.append(f"Neither a bill nor a price list says what these cost, so they cost nothing: {', '.join(free)}.")
    return found
