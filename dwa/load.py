"""load(n) = ⁴√(1 + (n/K)⁴), and who joins pays (1 + 2(n/K)⁴) / (1 + (n/K)⁴)^¾: its own wait and the others'.

Below the knee K requests in flight hardly notice each other, as in servers that batch; far beyond it the host's
throughput is constant, so each waits in proportion to n. The root joins both without a corner: a corner (max(1, n/K))
has no slope below the knee, so a knee set too high could never be learned from the first signs of crowding. A square
root was the first choice and bends too early: a host that was not yet slowed at nine tenths of its knee was believed to
have one twice as high, and overrun as soon as the best host failed.

Who joins a crowd slows all who are in it. n·∂load/∂n = (n/K)⁴ / load³ is what the others lose and is charged to the
joiner; without it every caller acts alone and the host is driven to twice the load that is best for all.

K is the fourth unknown of the latency model (`latency.py`), learned from how the surprises grow with n; it starts
optimistic, at the operator's concurrency limit or `Params.knee`.
"""

from __future__ import annotations

from math import sqrt

UNLIMITED = 1 << 30


def slowdown(busy: float, inverse_knee: float) -> float:
    """How much slower an answer is with `busy` requests in flight, itself included; 1 when idle."""
    square = (busy * inverse_knee) ** 2
    return sqrt(sqrt(1.0 + square * square))


def slope(busy: float, inverse_knee: float) -> float:
    """∂ log load / ∂ log(1/K), in 0..1: how much an answer under this load can tell about the knee."""
    square = (busy * inverse_knee) ** 2
    return square * square / (1.0 + square * square)


def allotted(most: int | None, peers: int, elsewhere: int) -> int:
    """Of what `peers` replicas and we may have in flight together, ours: what they left as last told, or a fair share.

    The share keeps those who fill their places again and again from starving one that looks once a second.
    """
    if most is None:
        return UNLIMITED
    return max(most - elsewhere, most // (1 + peers), 1) if peers else most


def charged(busy: int, inverse_knee: float) -> float:
    """What joining as the `busy`-th request costs, in idle answers: its own slow-down and that of the others."""
    square = (busy * inverse_knee) ** 2
    fourth = 1.0 + square * square
    return (2.0 * fourth - 1.0) / (fourth / sqrt(sqrt(fourth)))
