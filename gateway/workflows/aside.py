"""Answers that were paid and do not count yet: kept under their call's name, and found by whoever begins a step again.

    answer → set aside (one statement) → the step's success (a transaction that may wait for its execution)

Law: what has a record, hence a price, is set aside as soon as it is here, and counts once: its cost comes into the sums
with the step's success, which is written once, whoever asked. It is the answer to this try and to this question only: a
try has a name (`Context.idempotency_key`), and a question that another version or other inputs make is another one.

What remains is what no gateway can close alone: a process that dies after the provider has answered, and before the
answer is set aside, has paid for nothing. It lasts as long as that one statement; longer while the database is away.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from gateway.workflows.kept import Json
from gateway.workflows.memo import Memory
from gateway.workflows.running import Context, Result
from gateway.workflows.spec import Node


class _Answer(msgspec.Struct):
    """What is kept."""

    name: str
    question: str
    result: Result


class Aside:
    """Where such answers lie."""

    def __init__(self, memory: Memory) -> None:
        """In this memory."""
        self._memory = memory

    async def keep(self, context: Context, node: Node, result: Result) -> None:
        """Keep what a try has come to, if it was paid; `node` has its templates filled in."""
        if result.request_ids and not result.spent.cached_steps and not result.waiting:
            answer = _Answer(context.idempotency_key, _question(node), result)
            await self._memory.set_aside(context.step, msgspec.to_builtins(answer))

    async def find(self, context: Context, node: Node) -> Result | None:
        """What this try had come to, for the same question; it is spent now. None: nobody knows."""
        found = _read(await self._memory.aside(context.step))
        if found is None or (found.name, found.question) != (context.idempotency_key, _question(node)):
            return None
        if context.purse is not None:
            context.purse.settle(found.result.spent.cost_usd)
        return found.result


def _question(node: Node) -> str:
    return sha256(msgspec.json.encode(node, order="deterministic")).hexdigest()


def _read(kept: Json) -> _Answer | None:
    if kept is None:
        return None
    try:
        return msgspec.convert(kept, _Answer)
    except msgspec.ValidationError:
        return None  # another version of this program has written it: asked anew
