"""When a failed step is tried again, and after which pause: exponential, with full jitter.

    pause of try n = random(0, min(60 s, 1 s · 2ⁿ⁻¹))

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Only transient faults are tried
again, unless the node's `retry_if` says otherwise.
"""

from __future__ import annotations

import random

import msgspec

from gateway.workflows.kept import Failure
from gateway.workflows.spec import Node
from gateway.workflows.templates import evaluate

#: Seconds. Doubled: a provider's hiccup of a second costs two; halved: three tries are over before it has passed.
FIRST_PAUSE = 1.0
#: Seconds. Doubled: the last of ten tries waits needlessly; halved: an outage of minutes eats all tries.
LONGEST_PAUSE = 60.0


def again(node: Node, failure: Failure, tries: int, *, transient: bool, default: int) -> bool:
    """Whether to try again after so many tries. Raises `BadTemplate` when `retry_if` cannot be told."""
    if tries > (default if node.retries is None else node.retries):
        return False
    if node.retry_if is None:
        return transient
    return bool(evaluate(node.retry_if, {"error": msgspec.to_builtins(failure)}))


def pause(tries: int, rng: random.Random) -> float:
    """Seconds until the next try, after so many."""
    return rng.uniform(0.0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 30)))
