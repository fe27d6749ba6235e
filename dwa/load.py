"""load(n) = √(1 + (n/K)²), and a request that joins pays (1 + 2(n/K)²) / √(1 + (n/K)²): its own wait and the others'.

Below the knee K requests in flight do not notice each other; far beyond it the host's throughput is constant, so each
waits in proportion to n. The root joins both without a corner: a corner (max(1, n/K)) has no slope below the knee, so
a knee set too high could never be learned from the first signs of crowding.

Who joins a crowd slows all who are in it. n·∂load/∂n = (n/K)² / load is what the others lose and is charged to the
joiner; without it every caller acts alone and the host is driven to twice the load that is best for all.

K is the fourth unknown of the latency model (`latency.py`), learned from how the surprises grow with n; it starts
optimistic, at the operator's concurrency limit or `Params.knee`.
"""

from __future__ import annotations

from math import sqrt


def slowdown(busy: int, inverse_knee: float) -> float:
    """How much slower an answer is with `busy` requests in flight, itself included; 1 when idle."""
    crowd = busy * inverse_knee
    return sqrt(1.0 + crowd * crowd)


def slope(busy: int, inverse_knee: float) -> float:
    """∂ log load / ∂ log(1/K), in 0..1: how much an answer under this load can tell about the knee."""
    crowd = busy * inverse_knee
    return crowd * crowd / (1.0 + crowd * crowd)


def charged(busy: int, inverse_knee: float) -> float:
    """What joining as the `busy`-th request costs, in idle answers: its own slow-down and that of the others."""
    crowd = busy * inverse_knee
    square = crowd * crowd
    return (1.0 + 2.0 * square) / sqrt(1.0 + square)
